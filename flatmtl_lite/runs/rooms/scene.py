"""A furnished room, the light in it and the camera that looks at it, all drawn from one seed."""

import math
from typing import NamedTuple

import numpy as np

from . import labels, things
from .camera import FOCAL, Camera, look
from .groups import GROUPS, build
from .solids import BOX, Solid, Solids, Table, bounds, moved
from .styles import STYLES, Style

# The first rows of ``Scene.table`` are not solids: the room's inner faces, rug and skirting.
FLOOR, CEILING, WALLS, RUG, SKIRTING, FIRST_SOLID = 0, 1, 2, 6, 7, 8
SKIRTING_HEIGHT = 0.09  # metres, as everything below
GAP = 0.03  # between any two things, and between a thing and the wall
SLACK = 1e-9  # rounding where a thing touches a wall
EYE_ROOM = 0.4  # nothing stands nearer to the camera sideways

# kind of room -> the groups at its walls and in the open, each with its probability
AT_WALLS = {
    "bedroom": (("bed", 1), ("wardrobe", 0.6), ("dresser", 0.7), ("desk", 0.6), ("shelf", 0.5), ("tv", 0.5)),
    "living": (("lounge", 1), ("tv", 0.9), ("shelf", 0.8), ("lounge", 0.4), ("dresser", 0.5), ("desk", 0.3)),
    "study": (("desk", 1), ("shelf", 1), ("shelf", 0.7), ("lounge", 0.3), ("dresser", 0.5), ("tv", 0.6)),
}
IN_THE_OPEN = {
    "bedroom": (("seat", 0.5), ("odd", 0.7)),
    "living": (("seat", 0.8), ("dining", 0.4), ("odd", 0.5)),
    "study": (("dining", 0.9), ("seat", 0.6), ("odd", 0.7)),
}


class Light(NamedTuple):
    """The one light that casts shadows: a lamp under the ceiling, or a window by day.

    Attributes:
        position: World coordinates, ``(3,)``.
        axes: Rows as a camera's: the third row is the direction of the light.
        colour: ``(3,)``, linear.
        ambient: Light from everywhere else, as a share of this light.
        one_sided: Whether it shines forwards only, by the cosine law.
    """

    position: np.ndarray
    axes: np.ndarray
    colour: np.ndarray
    ambient: float
    one_sided: bool


class Scene(NamedTuple):
    """Everything that the renderer needs.

    Attributes:
        size: Width (x), height (y) and depth (z) of the room, which begins at the origin, ``(3,)``.
        solids: The things in the room. No two intersect, all are inside.
        table: The solids as arrays, from row ``FIRST_SOLID`` on; the rows before are the room's surfaces.
        rug: Middle (x, z), half-widths and yaw on the floor, ``(5,)``.
        camera, light: The camera that sees the room, the light in it.
    """

    size: np.ndarray
    solids: Solids
    table: Table
    rug: np.ndarray
    camera: Camera
    light: Light


class Layout:
    """Solids put into a room one thing after another, none into another's bounding box."""

    def __init__(self, rng: np.random.Generator, size: tuple[float, float, float]) -> None:
        self.rng, self.size = rng, size
        self.solids: Solids = []
        self.taken: list[tuple[float, ...]] = []  # x, y and z limits of each thing

    def is_free(self, x0, x1, y0, y1, z0, z1) -> bool:
        width, height, depth = self.size
        inside = min(x0, y0, z0) > -SLACK and max(x1 - width, y1 - height, z1 - depth) < SLACK
        return inside and not any(
            x0 < b + GAP and a < x1 + GAP and y0 < d and c < y1 and z0 < f + GAP and e < z1 + GAP
            for a, b, c, d, e, f in self.taken
        )

    def reserve(self, x: float, z: float, room: float) -> None:
        """Keep a square of the floor free from bottom to top."""
        self.taken.append((x - room, x + room, 0.0, self.size[1], z - room, z + room))

    def put(self, solids: Solids, places) -> bool:
        """Put a thing at the first of the places (x, y, z, yaw) that is free; False if none is."""
        (x0, y0, z0), (x1, y1, z1) = bounds(solids).tolist()
        for x, y, z, yaw in places:
            cos, sin = math.cos(yaw), math.sin(yaw)
            cx, cz = (
                x + cos * (x0 + x1) / 2 - sin * (z0 + z1) / 2,
                z + sin * (x0 + x1) / 2 + cos * (z0 + z1) / 2,
            )
            hx = (abs(cos) * (x1 - x0) + abs(sin) * (z1 - z0)) / 2
            hz = (abs(sin) * (x1 - x0) + abs(cos) * (z1 - z0)) / 2
            box = (cx - hx, cx + hx, y + y0, y + y1, cz - hz, cz + hz)
            if self.is_free(*box):
                self.taken.append(box)
                self.solids += moved(solids, x, z, yaw, y)
                return True
        return False

    def at_wall(self, solids: Solids, y: float = 0.0, gap: float = GAP, tries: int = 12) -> bool:
        """Put a thing with its back to a wall."""
        (x0, _, _), (x1, _, _) = bounds(solids).tolist()
        return self.put(solids, (self._wall_place(-x0 + GAP, x1 + GAP, y, gap) for _ in range(tries)))

    def _wall_place(self, left: float, right: float, y: float, gap: float):
        wall = self.rng.integers(4)
        width, _, depth = self.size
        length = depth if wall % 2 else width
        # the thing's x axis runs along +x, +z, -x, -z on the four walls
        along = self.rng.uniform(left, max(left, length - right))
        x, z = ((along, gap), (width - gap, along), (width - along, depth - gap), (gap, depth - along))[wall]
        return x, y, z, wall * math.pi / 2

    def in_the_open(self, solids: Solids, tries: int = 12) -> bool:
        """Put a thing anywhere on the floor, at any angle."""
        width, _, depth = self.size
        draw = self.rng.uniform
        return self.put(
            solids,
            ((draw(0, width), 0.0, draw(0, depth), draw(0, 2 * math.pi)) for _ in range(tries)),
        )


def furnish(layout: Layout, style: Style, daylight: bool) -> None:
    """Put windows, door, furniture and pictures into a room."""
    rng = layout.rng
    glow = rng.uniform(1.5, 3.0) if daylight else rng.uniform(0.02, 0.15)
    for _ in range(rng.integers(1, 4)):
        layout.at_wall(things.window(rng, style, glow), y=rng.uniform(1.35, 1.5), gap=0.0)
    layout.at_wall(things.door(rng, style), gap=0.0)
    kind = list(AT_WALLS)[rng.integers(len(AT_WALLS))]
    for choices, put in ((AT_WALLS, layout.at_wall), (IN_THE_OPEN, layout.in_the_open)):
        for thing, probability in choices[kind]:
            if rng.random() < probability:
                put(GROUPS[thing](rng, style))
    for _ in range(rng.integers(2, 6)):
        layout.at_wall(things.picture(rng, style), y=rng.uniform(1.4, 1.7), gap=0.0, tries=6)


def build_scene(seed: int, style: str) -> Scene:
    """Build the room of a seed, which is the same at every picture size."""
    paints = STYLES[style]
    rng = np.random.default_rng([seed, list(STYLES).index(style), 0])
    size = width, height, depth = rng.uniform((3.2, 2.4, 3.2), (5.5, 2.9, 6.0)).tolist()
    layout = Layout(rng, size)
    eye = _stand(rng, width, depth)
    layout.reserve(eye[0], eye[2], EYE_ROOM)

    middle = ((rng.uniform(0.3, 0.7) * width, height, rng.uniform(0.3, 0.7) * depth, 0.0) for _ in range(50))
    layout.put(build("pendant", rng, paints), middle)
    lamp = layout.solids[-1].centre
    daylight = rng.random() < 0.5
    furnish(layout, paints, daylight)
    panes = [solid for solid in layout.solids if solid.material.pattern == "panes"]
    if daylight and panes:
        light = _through(rng, panes[rng.integers(len(panes))])
        layout.solids = [_switched_off(solid) for solid in layout.solids]
    else:
        light = _under_the_ceiling(rng, lamp)

    rug = [width * rng.uniform(0.35, 0.65), depth * rng.uniform(0.35, 0.65), *rng.uniform(0.6, 1.3, 2)]
    table = Table(_faces(rng, paints, size) + layout.solids)
    camera = _best_view(rng, eye, (width, depth), table)
    return Scene(np.array(size), layout.solids, table, np.array([*rug, rng.normal(0, 0.1)]), camera, light)


def _faces(rng, style: Style, size) -> Solids:
    """Return the rows before ``FIRST_SOLID``: the room seen from inside, once for each paint."""
    half = tuple(side / 2 for side in size)
    wall, floor, ceiling = (style.draw(use, rng) for use in ("wall", "floor", "ceiling"))
    accent = style.draw("wall", rng) if rng.random() < 0.3 else wall
    rug = style.draw("rug", rng) if rng.random() < 0.6 else floor
    paints = [
        (floor, labels.FLOOR),
        (ceiling, labels.CEILING),
        (accent, labels.WALL),
        *[(wall, labels.WALL)] * 3,
    ]
    paints += [(rug, labels.FLOOR), (style.draw("skirting", rng), labels.WALL)]
    return [Solid(BOX, half, half, 0.0, label, material) for material, label in paints]


def _stand(rng, width: float, depth: float) -> tuple[float, float, float]:
    """Return a place for the camera near a wall, from which most of the room is in the picture."""
    back, along, height = rng.uniform(0.45, 0.8), rng.uniform(0.2, 0.8), rng.uniform(1.15, 1.65)
    wall = rng.integers(4)
    x = (along * width, width - back, along * width, back)[wall]
    z = (back, along * depth, depth - back, along * depth)[wall]
    return x, height, z


def _best_view(rng, eye, floor_size, table: Table, tries: int = 10) -> Camera:
    """Draw several hand-held views into the room and return the view with the most classes and things."""
    views, scores = [], []
    for _ in range(tries):
        x, z = rng.uniform(0.15, 0.85, 2) * floor_size - (eye[0], eye[2])
        pitch, roll = rng.normal(-0.16, 0.07), rng.normal(0, 0.03)
        view = look(eye, math.atan2(z, x), pitch, roll)
        right, down, forward = view.axes @ (table.centre[FIRST_SOLID:] - view.position).T
        visible = (
            (forward > 1.0) & (abs(right) < 0.5 * forward / FOCAL) & (abs(down) < 0.36 * forward / FOCAL)
        )
        close = (forward > 0) & (forward < 1.0) & (abs(right) < 0.5)
        views.append(view)
        kinds = len(np.unique(table.label[FIRST_SOLID:][visible]))
        scores.append(kinds + 0.02 * visible.sum() - 0.1 * close.sum() + 0.3 * math.hypot(x, z))
    return views[int(np.argmax(scores))]


def _through(rng, window: Solid) -> Light:
    """Make daylight that shines from a window straight into the room."""
    x, y, z = window.centre
    inward = np.array([-math.sin(window.yaw), 0.0, math.cos(window.yaw)])
    side = np.array([inward[2], 0.0, -inward[0]])
    colour = np.array([0.94, 1.0, 1.06]) + rng.normal(0, 0.03, 3)
    return Light(
        (np.array([x, y, z]) + 0.3 * inward).astype(np.float32),
        np.array([side, (0, 1, 0), inward], np.float32),
        8 * colour,
        ambient=rng.uniform(0.06, 0.1),
        one_sided=True,
    )


def _under_the_ceiling(rng, lamp) -> Light:
    colour = np.array([1.08, 0.96, 0.8]) + rng.normal(0, 0.04, 3)
    axes = np.array([(1, 0, 0), (0, 0, 1), (0, -1, 0)], np.float32)
    return Light(np.array(lamp, np.float32), axes, 4 * colour, rng.uniform(0.08, 0.14), False)


def _switched_off(solid: Solid) -> Solid:
    if solid.label == labels.WINDOW:
        return solid
    return solid._replace(material=solid.material._replace(glow=0.0))
