"""Small things that stand on furniture, and things that hang on walls and from the ceiling.

Frames are as in ``furniture``. A small thing stands around its origin and stays within ``reach`` of it
sideways.
"""

from .labels import BOOKS, OBJECTS, PICTURE, TV, WALL, WINDOW
from .solids import Solids, ball, box, column


def drum_lamp(rng, style, reach):
    height, wood = rng.uniform(0.4, 0.55), style.draw("wood", rng)
    return [
        column(0, (0, 0.02), 0, 0.4 * reach, OBJECTS, wood),
        column(0, (0.02, height - 0.2), 0, 0.015, OBJECTS, wood),
        column(0, (height - 0.2, height), 0, 0.9 * reach, OBJECTS, style.draw("shade", rng)),
    ]


def globe_lamp(rng, style, reach):
    height = rng.uniform(0.12, 0.25)
    return [
        column(0, (0, height), 0, 0.35 * reach, OBJECTS, style.draw("wood", rng)),
        ball(0, (height, height + 1.8 * reach), 0, 0.9 * reach, OBJECTS, style.draw("shade", rng)),
    ]


def drum_pendant(rng, style):
    return _pendant(rng, style, column)


def globe_pendant(rng, style):
    return _pendant(rng, style, ball)


def _pendant(rng, style, shape) -> Solids:
    """Hangs from y = 0 downwards; the light is in the middle of its shade, the last solid."""
    drop, radius = rng.uniform(0.2, 0.35), rng.uniform(0.12, 0.2)
    cord = column(0, (-drop, 0), 0, 0.012, OBJECTS, style.draw("wood", rng))
    return [cord, shape(0, (-drop - radius, -drop), 0, radius, OBJECTS, style.draw("shade", rng))]


def bush(rng, style, reach):
    pot, height = rng.uniform(0.1, 0.16), rng.uniform(0.2, 0.34)
    return [
        column(0, (0, pot), 0, 0.6 * reach, OBJECTS, style.draw("accent", rng)),
        ball(0, (pot, pot + height), 0, 0.95 * reach, OBJECTS, style.draw("leaf", rng)),
    ]


def cactus(rng, style, reach):
    pot, height, half = rng.uniform(0.08, 0.12), rng.uniform(0.15, 0.3), 0.6 * reach
    return [
        box((-half, half), (0, pot), (-half, half), OBJECTS, style.draw("accent", rng)),
        column(0, (pot, pot + height), 0, 0.3 * reach, OBJECTS, style.draw("leaf", rng)),
    ]


def mug(rng, style, reach):
    return [column(0, (0, rng.uniform(0.08, 0.14)), 0, min(0.06, reach), OBJECTS, style.draw("accent", rng))]


def carton(rng, style, reach):
    x, z = reach * rng.uniform(0.5, 1.0, 2)
    return [box((-x, x), (0, rng.uniform(0.1, 0.3)), (-z, z), OBJECTS, style.draw("accent", rng))]


def bowl(rng, style, reach):
    return [ball(0, (0, rng.uniform(0.08, 0.14)), 0, 0.9 * reach, OBJECTS, style.draw("accent", rng))]


def jar(rng, style, reach):
    body, neck, colour = rng.uniform(0.08, 0.16), rng.uniform(0.12, 0.22), style.draw("accent", rng)
    return [
        ball(0, (0, body), 0, 0.7 * reach, OBJECTS, colour),
        column(0, (body, neck + 0.05), 0, 0.2 * reach, OBJECTS, colour),
    ]


def pile_of_books(rng, style, reach):
    parts, y = [], 0.0
    for _ in range(rng.integers(1, 5)):
        x, thick = reach * rng.uniform(0.7, 1.0), rng.uniform(0.025, 0.05)
        parts.append(box((-x, x), (y, y + thick), (-0.8 * x, 0.8 * x), BOOKS, style.draw("accent", rng)))
        y += thick
    return parts


def row_of_books(rng, style, reach):
    x, parts = -reach, []
    while x + 0.05 < reach:
        thick, height = rng.uniform(0.02, 0.05), rng.uniform(0.17, 0.26)
        limits = (x, x + thick), (0, height), (-0.6 * reach, 0.6 * reach)
        parts.append(box(*limits, BOOKS, style.draw("accent", rng)))
        x += thick
    return parts


def television(rng, style, width):
    x = min(rng.uniform(0.36, 0.62), width / 2)
    height = 1.15 * x
    case = style.draw("screen", rng)
    return [
        box((-0.4 * x, 0.4 * x), (0, 0.02), (0.06, 0.3), TV, case),
        box((-0.05, 0.05), (0.02, 0.09), (0.16, 0.2), TV, case),
        box((-x, x), (0.09, 0.09 + height), (0.15, 0.21), TV, case),
    ]


def picture(rng, style):
    x, y, frame = rng.uniform(0.18, 0.45), rng.uniform(0.18, 0.35), style.draw("wood", rng)
    canvas = style.draw("canvas", rng)._replace(scale=2 * y)
    return [
        box((-x, x), (-y, y), (0, 0.02), PICTURE, frame),
        box((0.03 - x, x - 0.03), (0.03 - y, y - 0.03), (0.02, 0.025), PICTURE, canvas),
    ]


def window(rng, style, daylight: float):
    x = rng.uniform(0.4, 0.6)
    y = x
    if rng.random() < 0.4:
        x, y = 0.6 * x, 1.2 * x
    glass = style.draw("glass", rng)._replace(scale=x, glow=daylight)
    parts = [box((-x, x), (-y, y), (0, 0.03), WINDOW, glass)]
    if rng.random() < 0.6:
        cloth = style.draw("curtain", rng)
        limits = (-y - 0.15, y + 0.1), (0, 0.08), WINDOW, cloth
        parts += [box((-x - 0.35, -x - 0.03), *limits), box((x + 0.03, x + 0.35), *limits)]
    return parts


def door(rng, style):
    wood = style.draw("wood", rng)
    return [
        box((-0.42, 0.42), (0, 2.02), (0, 0.03), WALL, wood),
        ball(0.34, (0.97, 1.03), 0.06, 0.03, WALL, style.draw("accent", rng)),
    ]
