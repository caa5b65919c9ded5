"""Solids that a ray can meet: boxes, upright cylinders and ellipsoids, all turned about the vertical only.

World frame: x and z along the floor, y up, metres. In the unit frame of a solid its centre is the origin and
its half-widths are 1, so one formula per kind serves every size. The ray parameter t is the same in both.
"""

from typing import NamedTuple

import numpy as np

from .textures import Material

BOX, CYLINDER, ELLIPSOID = range(3)
Range = tuple[float, float]
# no ray is exactly parallel to a face: 1/d stays finite
TINY = 1e-12


class Solid(NamedTuple):
    """One convex solid.

    Attributes:
        kind: ``BOX``, ``CYLINDER`` or ``ELLIPSOID``.
        centre, half: Middle and half-widths along its axes, in metres.
        yaw: Turn about the vertical in radians: its x axis points along (cos yaw, 0, sin yaw).
        label: NYU-13 class, 0..12.
        material: Its paint.
    """

    kind: int
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float
    label: int
    material: Material


Solids = list[Solid]


def box(x: Range, y: Range, z: Range, label: int, material: Material, kind: int = BOX) -> Solid:
    """Make the solid between these limits, not turned."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    centre = (x1 + x0) / 2, (y1 + y0) / 2, (z1 + z0) / 2
    half = (x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2
    return Solid(kind, centre, half, 0.0, label, material)


def column(x: float, y: Range, z: float, radius: float, label: int, material: Material) -> Solid:
    """Make an upright cylinder about the vertical through (x, z)."""
    return box((x - radius, x + radius), y, (z - radius, z + radius), label, material, CYLINDER)


def ball(x: float, y: Range, z: float, radius: float, label: int, material: Material) -> Solid:
    """Make an ellipsoid, round from above, about the vertical through (x, z)."""
    return box((x - radius, x + radius), y, (z - radius, z + radius), label, material, ELLIPSOID)


def moved(solids: Solids, x: float, z: float, yaw: float = 0.0, y: float = 0.0) -> Solids:
    """Turn the solids about the vertical through the origin, then shift them."""
    cos, sin = np.cos(yaw).item(), np.sin(yaw).item()

    def move(solid: Solid) -> Solid:
        cx, cy, cz = solid.centre
        centre = (x + cos * cx - sin * cz, y + cy, z + sin * cx + cos * cz)
        return solid._replace(centre=centre, yaw=solid.yaw + yaw)

    return [move(solid) for solid in solids]


def bounds(solids: Solids) -> np.ndarray:
    """Return the smallest box along the world's axes around the solids: ``(2, 3)``, low and high corner."""
    centre, half, yaw = (np.array([solid[k] for solid in solids]) for k in (1, 2, 3))
    cos, sin = np.abs(np.cos(yaw)), np.abs(np.sin(yaw))
    x, y, z = half.T
    reach = np.stack([cos * x + sin * z, y, sin * x + cos * z], 1)
    return np.stack([(centre - reach).min(0), (centre + reach).max(0)])


class Table:
    """Solids as arrays for the renderer, one row per solid.

    Attributes:
        kind, label: ``(S,)``.
        centre, half: ``(S, 3)`` float32.
        cos, sin: ``(S,)`` float32, of the yaw.
        materials: One per row.
    """

    def __init__(self, solids: Solids) -> None:
        kind, centre, half, yaw, label, self.materials = zip(*solids)
        self.kind, self.label = np.array(kind), np.array(label, dtype=np.int8)
        self.centre, self.half = np.array(centre, np.float32), np.array(half, np.float32)
        self.cos, self.sin = (f(np.array(yaw)).astype(np.float32) for f in (np.cos, np.sin))

    def corners(self) -> np.ndarray:
        """Return the eight corners of each bounding box: ``(S, 8, 3)``."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
        x, y, z = np.moveaxis(signs * self.half[:, None], 2, 0)
        cos, sin = self.cos[:, None], self.sin[:, None]
        return self.centre[:, None] + np.stack([cos * x - sin * z, y, sin * x + cos * z], 2)

    def to_unit(self, row, vector: np.ndarray) -> np.ndarray:
        """Turn world directions ``(3, ...)`` into the unit frame of a row, or of one row per direction."""
        cos, sin, half = self.cos[row], self.sin[row], self.half[row]
        x, y, z = vector
        return np.stack(
            [(cos * x + sin * z) / half[..., 0], y / half[..., 1], (cos * z - sin * x) / half[..., 2]]
        )

    def to_world(self, row, unit: np.ndarray) -> np.ndarray:
        """Turn surface normals from the unit frames into the world; they get length 1."""
        x, y, z = unit / np.moveaxis(self.half[row], -1, 0)
        cos, sin = self.cos[row], self.sin[row]
        normal = np.stack([cos * x - sin * z, y, sin * x + cos * z])
        return normal / np.sqrt((normal**2).sum(0))

    def cross(
        self, row: int | np.integer, origin: np.ndarray, directions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the t at which rays ``origin + t directions`` enter and leave a solid.

        A ray meets the solid if entry < leave.
        """
        o = self.to_unit(row, origin - self.centre[row])
        d = self.to_unit(row, directions) + np.float32(TINY)
        if self.kind[row] == ELLIPSOID:
            return _ball(o, d)
        entry, leave = _slab(o[1], d[1])
        if self.kind[row] == CYLINDER:
            others = [_ball(o[::2], d[::2])]
        else:
            others = [_slab(o[k], d[k]) for k in (0, 2)]
        for a, b in others:
            entry, leave = np.maximum(entry, a), np.minimum(leave, b)
        return entry, leave


def _slab(o, d):
    """Return the least and the largest t with -1 <= o + t d <= 1."""
    inverse = 1 / d
    middle, reach = -o * inverse, np.abs(inverse)
    return middle - reach, middle + reach


def _ball(o, d):
    """Return the least and the largest t with |o + t d| <= 1; they are equal if there is none."""
    square = (d * d).sum(0)
    middle = -np.tensordot(o, d, 1)
    root = np.sqrt(np.maximum(middle**2 - square * (o @ o - 1), 0))
    return (middle - root) / square, (middle + root) / square
