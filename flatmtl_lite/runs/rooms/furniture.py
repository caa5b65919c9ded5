"""Pieces of furniture. Each function builds one as solids that touch but never intersect.

In its frame y = 0 is the floor, x runs along its width with 0 in the middle, its back is at z = 0 and its
front towards positive z. Sizes are drawn from the generator, materials from the style.
"""

from itertools import pairwise

import numpy as np

from .labels import BED, BOOKS, CHAIR, FURNITURE, OBJECTS, SOFA, TABLE
from .solids import CYLINDER, ELLIPSOID, Solids, box, column


def _legs(x: float, z: tuple[float, float], height: float, thick: float, label: int, material) -> Solids:
    """Four posts at the corners of the rectangle of half-width x."""
    return [
        box(px, (0, height), pz, label, material)
        for px in ((-x, -x + thick), (x - thick, x))
        for pz in ((z[0], z[0] + thick), (z[1] - thick, z[1]))
    ]


def headboard_bed(rng, style):
    x, length, top = rng.uniform(0.5, 0.9), rng.uniform(1.95, 2.15), rng.uniform(0.42, 0.6)
    wood, cloth, linen = style.draw("wood", rng), style.draw("fabric", rng), style.draw("linen", rng)
    parts = [
        box((-x, x), (0, rng.uniform(0.85, 1.15)), (0, 0.06), BED, wood),
        box((-x, x), (0, 0.22), (0.06, length), BED, wood),
        box((-x, x), (0.22, top), (0.06, 0.75), BED, linen),
        box((-x - 0.02, x + 0.02), (0.22, top + 0.02), (0.75, length + 0.02), BED, cloth),
    ]
    return parts + _pillows(rng, style, x, top)


def bar_bed(rng, style):
    x, length, top = rng.uniform(0.5, 0.9), rng.uniform(1.95, 2.15), rng.uniform(0.45, 0.6)
    wood, cloth, linen = style.draw("wood", rng), style.draw("fabric", rng), style.draw("linen", rng)
    parts = []
    for z, height in ((0, 1.1), (length - 0.05, 0.75)):
        posts = [
            box((px - 0.02, px + 0.02), (0, height - 0.06), (z, z + 0.05), BED, wood)
            for px in np.linspace(0.02 - x, x - 0.02, 7)
        ]
        parts += [*posts, box((-x, x), (height - 0.06, height), (z, z + 0.05), BED, wood)]
    parts += [
        box((-x, x), (0.25, top - 0.05), (0.05, length - 0.05), BED, linen),
        box((-x, x), (top - 0.05, top), (0.6, length - 0.05), BED, cloth),
    ]
    return parts + _pillows(rng, style, x, top - 0.05)


def _pillows(rng, style, x: float, y: float) -> Solids:
    cloth = style.draw("linen", rng) if rng.random() < 0.5 else style.draw("fabric", rng)
    half = min(0.38, x / 2 - 0.03)
    return [
        box((px - half, px + half), (y, y + 0.16), (0.14, 0.54), OBJECTS, cloth, ELLIPSOID)
        for px in (-x / 2, x / 2)
    ]


def arm_sofa(rng, style):
    x, depth, seat = rng.uniform(0.75, 1.1), rng.uniform(0.8, 0.95), rng.uniform(0.38, 0.46)
    cloth = style.draw("fabric", rng)
    inner, back, arm = x - 0.18, seat + rng.uniform(0.38, 0.5), seat + 0.2
    seats = np.linspace(-inner, inner, 4 if x > 0.95 else 3)
    return [
        box((-inner, inner), (0.04, back), (0, 0.24), SOFA, cloth),
        box((-x, -inner), (0.04, arm), (0, depth), SOFA, cloth),
        box((inner, x), (0.04, arm), (0, depth), SOFA, cloth),
        box((-inner, inner), (0.04, seat - 0.14), (0.24, depth), SOFA, cloth),
        *(
            box((a + 0.01, b - 0.01), (seat - 0.14, seat), (0.24, depth), SOFA, cloth)
            for a, b in pairwise(seats)
        ),
        *_cushions(rng, style, (-inner + 0.22, inner - 0.22), seat, 0.34),
    ]


def bench_sofa(rng, style):
    x, depth, seat = rng.uniform(0.75, 1.1), rng.uniform(0.75, 0.9), rng.uniform(0.4, 0.46)
    wood, cloth = style.draw("wood", rng), style.draw("fabric", rng)
    return [
        *_legs(x, (0, depth), 0.22, 0.06, SOFA, wood),
        box((-x, x), (0.22, 0.28), (0, depth), SOFA, wood),
        box((-x, x), (0.28, seat), (0.2, depth), SOFA, cloth),
        box((-x, 0), (0.28, 0.82), (0.02, 0.2), SOFA, cloth),
        box((0.01, x), (0.28, 0.82), (0.02, 0.2), SOFA, cloth),
        *(column(px, (seat, seat + 0.26), 0.62, 0.13, SOFA, cloth) for px in (-x + 0.13, x - 0.13)),
        *_cushions(rng, style, (-x + 0.5, x - 0.5), seat, 0.32),
    ]


def _cushions(rng, style, x: tuple[float, float], y: float, z: float) -> Solids:
    parts = []
    for px in x:
        if rng.random() < 0.6:
            limits = (px - 0.2, px + 0.2), (y, y + 0.36), (z - 0.08, z + 0.08)
            parts.append(box(*limits, OBJECTS, style.draw("accent", rng), ELLIPSOID))
    return parts


def leg_table(rng, style, x=None, depth=None, height=None):
    x, depth = x or rng.uniform(0.5, 0.9), depth or rng.uniform(0.6, 0.9)
    height, wood = height or rng.uniform(0.7, 0.77), style.draw("wood", rng)
    top = box((-x, x), (height - 0.04, height), (0, depth), TABLE, wood)
    return [top, *_legs(x - 0.03, (0.03, depth - 0.03), height - 0.04, 0.06, TABLE, wood)]


def panel_table(rng, style, x=None, depth=None, height=None):
    x, depth = x or rng.uniform(0.5, 0.9), depth or rng.uniform(0.6, 0.9)
    height, wood = height or rng.uniform(0.7, 0.77), style.draw("wood", rng)
    return [
        box((-x, x), (height - 0.05, height), (0, depth), TABLE, wood),
        box((-x, -x + 0.05), (0, height - 0.05), (0, depth), TABLE, wood),
        box((x - 0.05, x), (0, height - 0.05), (0, depth), TABLE, wood),
    ]


def pedestal_table(rng, style, x=None, depth=None, height=None):
    x, depth = x or rng.uniform(0.5, 0.7), depth or rng.uniform(0.7, 0.95)
    height, wood, z = height or rng.uniform(0.7, 0.77), style.draw("wood", rng), depth / 2
    foot = 0.6 * min(x, z)
    return [
        box((-x, x), (height - 0.04, height), (0, depth), TABLE, wood, CYLINDER),
        column(0, (0.03, height - 0.04), z, 0.06, TABLE, wood),
        column(0, (0, 0.03), z, foot, TABLE, wood),
    ]


def board_chair(rng, style):
    x, seat, back = rng.uniform(0.2, 0.25), rng.uniform(0.42, 0.47), rng.uniform(0.85, 1.0)
    wood = style.draw("wood", rng)
    cloth = style.draw("fabric", rng) if rng.random() < 0.5 else wood
    return [
        *_legs(x, (0, 2 * x), seat - 0.05, 0.04, CHAIR, wood),
        box((-x, x), (seat - 0.05, seat), (0, 2 * x), CHAIR, cloth),
        box((-x, x), (seat + 0.12, back), (0, 0.04), CHAIR, cloth),
        *(box((px, px + 0.04), (seat, seat + 0.12), (0, 0.04), CHAIR, wood) for px in (-x, x - 0.04)),
    ]


def arm_chair(rng, style):
    x, seat, cloth = rng.uniform(0.32, 0.4), rng.uniform(0.38, 0.45), style.draw("fabric", rng)
    return [
        box((-x, x), (0.05, rng.uniform(0.8, 1.0)), (0, 0.18), CHAIR, cloth),
        box((-x, 0.13 - x), (0.05, seat + 0.2), (0.18, 0.75), CHAIR, cloth),
        box((x - 0.13, x), (0.05, seat + 0.2), (0.18, 0.75), CHAIR, cloth),
        box((0.13 - x, x - 0.13), (0.05, seat), (0.18, 0.75), CHAIR, cloth),
    ]


def slat_chair(rng, style):
    x, seat, back = rng.uniform(0.2, 0.24), rng.uniform(0.43, 0.47), rng.uniform(0.9, 1.05)
    wood = style.draw("wood", rng)
    slats = [
        box((px - 0.02, px + 0.02), (seat, back - 0.06), (0, 0.03), CHAIR, wood)
        for px in np.linspace(0.02 - x, x - 0.02, 4)
    ]
    return [
        *_legs(x, (0, 2 * x), seat - 0.04, 0.035, CHAIR, wood),
        box((-x, x), (seat - 0.04, seat), (0, 2 * x), CHAIR, wood),
        *slats,
        box((-x, x), (back - 0.06, back), (0, 0.03), CHAIR, wood),
    ]


def tub_chair(rng, style):
    x, seat = rng.uniform(0.3, 0.36), rng.uniform(0.4, 0.45)
    wood, cloth = style.draw("wood", rng), style.draw("fabric", rng)
    return [
        column(0, (0, 0.04), x, 0.8 * x, CHAIR, wood),
        column(0, (0.04, 0.25), x, 0.05, CHAIR, wood),
        column(0, (0.25, seat), x, x, CHAIR, cloth),
        box((-0.8 * x, 0.8 * x), (seat, rng.uniform(0.75, 0.9)), (0.2 * x, 0.2 * x + 0.08), CHAIR, cloth),
    ]


def closed_shelf(rng, style):
    x, height, depth = rng.uniform(0.35, 0.6), rng.uniform(1.3, 2.1), rng.uniform(0.26, 0.34)
    wood = style.draw("wood", rng)
    levels = np.linspace(0.06, height - 0.03, round(height / 0.36) + 1)
    parts = [
        box((-x, 0.03 - x), (0, height), (0, depth), FURNITURE, wood),
        box((x - 0.03, x), (0, height), (0, depth), FURNITURE, wood),
        box((0.03 - x, x - 0.03), (levels[0], height), (0, 0.02), FURNITURE, wood),
    ]
    for y in levels:
        parts.append(box((0.03 - x, x - 0.03), (y, y + 0.03), (0.02, depth), FURNITURE, wood))
    for low, high in pairwise(levels):
        parts += _books_on_shelf(rng, style, (0.04 - x, x - 0.04), (low + 0.03, high), 0.03)
    return parts


def ladder_shelf(rng, style):
    x, height, depth = rng.uniform(0.35, 0.6), rng.uniform(1.3, 2.0), rng.uniform(0.28, 0.36)
    wood, metal = style.draw("wood", rng), style.draw("wood", rng)
    parts = _legs(x, (0, depth), height, 0.035, FURNITURE, metal)
    levels = np.linspace(0.15, height - 0.05, round(height / 0.4) + 1)
    for y in levels:
        parts.append(box((0.035 - x, x - 0.035), (y, y + 0.03), (0, depth), FURNITURE, wood))
    for low, high in pairwise(levels):
        parts += _books_on_shelf(rng, style, (0.05 - x, x - 0.05), (low + 0.03, high), 0.04)
    return parts


def _books_on_shelf(rng, style, x, y, z) -> Solids:
    """Lay out groups of books from left to right, with gaps and small things between them."""
    parts, place, free = [], x[0], y[1] - y[0]
    while place + 0.1 < x[1]:
        width = min(rng.uniform(0.1, 0.3), x[1] - place)
        kind = rng.random()
        if kind < 0.72:
            height = free * rng.uniform(0.6, 0.92)
            spine = style.draw("accent", rng)._replace(pattern="spines", scale=rng.uniform(0.025, 0.045))
            limits = (place, place + width), (y[0], y[0] + height), (z, z + rng.uniform(0.16, 0.21))
            parts.append(box(*limits, BOOKS, spine))
        elif kind < 0.85:
            radius = min(width, 0.2) / 2
            heights = y[0], y[0] + free * rng.uniform(0.4, 0.8)
            accent = style.draw("accent", rng)
            parts.append(column(place + radius, heights, z + 0.11, radius, OBJECTS, accent))
        place += width + 0.005
    return parts


def drawers(rng, style, x=None, height=None, depth=None):
    x, height = x or rng.uniform(0.35, 0.7), height or rng.uniform(0.7, 1.1)
    depth, wood, front = depth or rng.uniform(0.4, 0.5), style.draw("wood", rng), style.draw("wood", rng)
    rows = np.linspace(0.06, height - 0.02, max(2, round(height / 0.24)) + 1)
    faces = [
        box((0.02 - x, x - 0.02), (low + 0.01, high - 0.01), (depth - 0.02, depth), FURNITURE, front)
        for low, high in pairwise(rows)
    ]
    return [box((-x, x), (0, height), (0, depth - 0.02), FURNITURE, wood), *faces]


def legged_cabinet(rng, style, x=None, height=None, depth=None):
    x, height = x or rng.uniform(0.4, 0.75), height or rng.uniform(0.7, 1.0)
    depth, wood, front = depth or rng.uniform(0.4, 0.48), style.draw("wood", rng), style.draw("wood", rng)
    foot = 0.25 * height
    doors = [
        box(limits, (foot + 0.02, height - 0.02), (depth - 0.02, depth), FURNITURE, front)
        for limits in ((0.02 - x, -0.01), (0.01, x - 0.02))
    ]
    body = box((-x, x), (foot, height), (0, depth - 0.02), FURNITURE, wood)
    return [body, *doors, *_legs(x, (0, depth - 0.02), foot, 0.04, FURNITURE, wood)]


def door_wardrobe(rng, style, x, height, depth):
    wood, front = style.draw("wood", rng), style.draw("wood", rng)
    doors = [
        box(limits, (0.08, height - 0.06), (depth - 0.02, depth), FURNITURE, front)
        for limits in ((0.02 - x, -0.005), (0.005, x - 0.02))
    ]
    return [box((-x, x), (0, height), (0, depth - 0.02), FURNITURE, wood), *doors]
