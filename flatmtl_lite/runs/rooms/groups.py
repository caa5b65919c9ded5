"""Groups that are put into a room as a whole: furniture with the things on it or next to it.

A style chooses the forms of a thing by name. This file maps the names to functions.
"""

import numpy as np

from . import furniture, things
from .solids import Solids, bounds, moved
from .styles import Style

FORMS = {
    f.__name__: f
    for f in (
        *(furniture.headboard_bed, furniture.bar_bed, furniture.arm_sofa, furniture.bench_sofa),
        *(furniture.leg_table, furniture.panel_table, furniture.pedestal_table),
        *(furniture.board_chair, furniture.arm_chair, furniture.slat_chair, furniture.tub_chair),
        *(furniture.closed_shelf, furniture.ladder_shelf),
        *(furniture.drawers, furniture.legged_cabinet, furniture.door_wardrobe),
        *(things.drum_lamp, things.globe_lamp, things.drum_pendant, things.globe_pendant),
        *(things.bush, things.cactus, things.mug, things.bowl, things.jar, things.carton),
        *(things.pile_of_books, things.row_of_books),
    )
}


def build(thing: str, rng: np.random.Generator, style: Style, **sizes: float) -> Solids:
    """Build a thing in one of the forms that the style has for it."""
    forms = style.forms[thing]
    return FORMS[forms[rng.integers(len(forms))]](rng, style, **sizes)


def laid_out(rng, style, solids: Solids, most: int = 3) -> Solids:
    """Lay up to ``most`` things side by side on top of a piece of furniture, without overlap."""
    (x0, _, z0), (x1, top, z1) = bounds(solids)
    width, depth = x1 - x0, z1 - z0
    slots = min(most, int(width / 0.28))
    parts = []
    inner = 0.8 * width  # nothing hangs over the rim of a round top
    for k in range(slots):
        if rng.random() < 0.75:
            reach = min(0.14, inner / slots / 2 - 0.01, depth / 2 - 0.02)
            x = (x0 + x1) / 2 + inner * ((k + 0.5) / slots - 0.5)
            z = (z0 + z1) / 2 + rng.uniform(-0.5, 0.5) * 0.6 * (depth - 2 * reach)
            parts += moved(build("thing", rng, style, reach=reach), x, z, y=top)
    return parts


def wardrobe(rng, style):
    return build("wardrobe", rng, style, x=rng.uniform(0.4, 0.7), height=rng.uniform(1.8, 2.1), depth=0.58)


def bed_with_nightstand(rng, style):
    bed = build("bed", rng, style)
    x = bounds(bed)[1, 0]
    stand = build("cabinet", rng, style, x=0.22, height=rng.uniform(0.45, 0.6), depth=0.4)
    stand += moved(build("lamp", rng, style, reach=rng.uniform(0.09, 0.13)), 0, 0.2, y=bounds(stand)[1, 1])
    return bed + moved(stand, rng.choice((-1, 1)) * (x + 0.3), 0)


def tv_stand(rng, style):
    x = rng.uniform(0.55, 0.9)
    stand = build("cabinet", rng, style, x=x, height=rng.uniform(0.4, 0.6), depth=0.45)
    return stand + moved(things.television(rng, style, 2 * x), 0, 0, y=bounds(stand)[1, 1])


def desk_with_chair(rng, style):
    table = build("table", rng, style)
    z1 = bounds(table)[1, 2].item()
    chair = moved(build("chair", rng, style), rng.uniform(-0.1, 0.1), 0, np.pi)
    # the chair's front is at its smallest z now
    near = bounds(chair)[0, 2]
    return table + laid_out(rng, style, table) + moved(chair, 0, z1 - near + rng.uniform(0.02, 0.25))


def dining_group(rng, style):
    table = build("table", rng, style, x=rng.uniform(0.5, 0.75), depth=rng.uniform(0.75, 0.95))
    (_, _, z0), (_, _, z1) = bounds(table)
    parts = table + laid_out(rng, style, table)
    for yaw, edge in ((np.pi, z1), (0.0, z0)):
        chair = moved(build("chair", rng, style), 0, 0, yaw)
        low, high = bounds(chair)[:, 2]
        gap = rng.uniform(0.02, 0.2)
        parts += moved(chair, rng.uniform(-0.1, 0.1), edge - low + gap if yaw else edge - high - gap)
    return parts


def sofa_with_table(rng, style):
    sofa = build("sofa", rng, style)
    if rng.random() < 0.3:
        return sofa
    size = dict(x=rng.uniform(0.4, 0.55), depth=rng.uniform(0.45, 0.6), height=rng.uniform(0.38, 0.46))
    table = build("table", rng, style, **size)
    table += laid_out(rng, style, table, 2)
    return sofa + moved(table, rng.uniform(-0.2, 0.2), bounds(sofa)[1, 2] + rng.uniform(0.3, 0.5))


def dresser(rng, style):
    parts = build("cabinet", rng, style)
    return parts + laid_out(rng, style, parts)


def odd_thing(rng, style):
    """Build a thing that was left on the floor."""
    return build("thing", rng, style, reach=rng.uniform(0.16, 0.24))


# the names that ``scene`` asks for
GROUPS = {
    "bed": bed_with_nightstand,
    "lounge": sofa_with_table,
    "desk": desk_with_chair,
    "dining": dining_group,
    "shelf": lambda rng, style: build("shelf", rng, style),
    "wardrobe": wardrobe,
    "dresser": dresser,
    "tv": tv_stand,
    "seat": lambda rng, style: build("chair", rng, style),
    "odd": odd_thing,
}
