"""The 13 classes of NYUv2, numbered from 0 as in MTAN's files; -1 is undefined.

Things get their class by the published map from NYU's 40 classes to 13: a door is wall, a rug is floor, a
curtain is window, a shelf is furniture; lamps, pillows and plants are objects.
"""

CLASSES = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = range(13)
