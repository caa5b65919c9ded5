"""The 13 classes of NYUv2, numbered from 0 as MTAN's files do; -1 is undefined.

What counts as what follows the published map of NYU's 40 classes to 13: a door is wall, a rug floor, a
curtain window, a shelf furniture; lamps, pillows and plants are objects.
"""

CLASSES = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = range(13)
