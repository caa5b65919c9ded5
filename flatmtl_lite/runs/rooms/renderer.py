"""From a scene to pixels: the surface that each ray meets, and the light that falls on it."""

from typing import NamedTuple

import numpy as np

from .camera import NEAR, image_plane, rotate, windows
from .scene import CEILING, FIRST_SOLID, FLOOR, RUG, SKIRTING, SKIRTING_HEIGHT, WALLS, Scene
from .solids import CYLINDER, ELLIPSOID
from .textures import paint

GRAZE = np.float32(1e-3)  # a surface does not shade itself
REACH = 0.7  # metres within which a neighbour blocks ambient light
# offsets at which ambient occlusion looks: a spiral of golden angles, in shares of the picture's width
SPIRAL = [(0.1 * (k / 24) * np.cos(2.4 * k), 0.1 * (k / 24) * np.sin(2.4 * k)) for k in range(2, 25)]
# Rows of the room's faces, by axis and by side (low, high).
FACES = np.array([[WALLS, WALLS + 1], [FLOOR, CEILING], [WALLS + 2, WALLS + 3]])


class View(NamedTuple):
    """The surface that every pixel shows, exactly, before light and sensor.

    Attributes:
        depth: ``(H, W)``, metres along the camera's forward axis.
        row: ``(H, W)``, the surface: a row of the scene's table.
        label: ``(H, W)`` int8, 0..12.
        point, normal: ``(3, H, W)``, world frame; normals point out of the surface, into the room.
        u, v: ``(H, W)``, metres along the surface.
    """

    depth: np.ndarray
    row: np.ndarray
    label: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    u: np.ndarray
    v: np.ndarray


def view(scene: Scene, height: int, width: int) -> View:
    """Cast one ray per pixel."""
    plane = image_plane(height, width)
    rays = rotate(scene.camera.axes.T, plane)
    depth, row = _nearest(scene, plane, rays)
    point = scene.camera.position[:, None, None] + depth * rays
    return _surfaces(scene, depth, row, point)


def _nearest(scene: Scene, plane: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth and row of the first solid on each ray; row ``FLOOR`` stands for the whole room.

    A solid is tried only on the rays of its bounding rectangle in the picture.
    """
    table, eye = scene.table, scene.camera.position
    _, depth = table.cross(FLOOR, eye, rays)  # from inside, a ray meets the room where it leaves it
    row = np.full(depth.shape, FLOOR, dtype=np.int16)
    corners = (table.corners()[FIRST_SOLID:] - eye) @ scene.camera.axes.T
    least, most = plane[:2, 0, 0], plane[:2, -1, -1]
    low, high = windows(corners, least, most)
    pixel = plane[0, 0, 1] - plane[0, 0, 0]
    # a hundredth of a pixel more on each side makes up for rounding
    first = np.ceil((low - least) / pixel - 0.01).astype(int)
    last = np.floor((high - least) / pixel + 0.01).astype(int)
    ahead = (corners[..., 2] > NEAR).any(1)
    for k in np.flatnonzero(ahead & (first <= last).all(1)):
        here = np.s_[first[k, 1] : last[k, 1] + 1, first[k, 0] : last[k, 0] + 1]
        entry, leave = table.cross(FIRST_SOLID + k, eye, rays[(slice(None), *here)])
        hit = (entry > 0) & (entry < leave) & (entry < depth[here])
        np.copyto(depth[here], entry, where=hit)
        row[here][hit] = FIRST_SOLID + k
    return depth, row


def _surfaces(scene: Scene, depth: np.ndarray, row: np.ndarray, point: np.ndarray) -> View:
    """Return normals, labels and places on the surface, for all pixels at once."""
    table = scene.table
    unit = table.to_unit(row, point - np.moveaxis(table.centre[row], -1, 0))
    x, y, z = unit * np.moveaxis(table.half[row], -1, 0)
    axis = np.abs(unit).argmax(0)
    high = np.take_along_axis(unit, axis[None], 0)[0] > 0
    u, v = np.where(axis == 0, z, x), np.where(axis == 1, z, y)
    outward = np.where(high, np.float32(1), np.float32(-1))

    room = row == FLOOR
    outward[room] *= -1  # the room is seen from inside
    row = np.where(room, FACES[axis, high.astype(int)], row)
    _lay_flat(scene, row, point)
    normal = np.where(np.arange(3)[:, None, None] == axis, outward, np.float32(0))

    # on a round side a point of the unit frame equals its normal; a cylinder's normal has no height
    kind = table.kind[row]
    side = (kind == CYLINDER) & (np.hypot(unit[0], unit[2]) > np.abs(unit[1]))
    curved = side | (kind == ELLIPSOID)
    normal[:, curved] = unit[:, curved]
    normal[1, side] = 0
    u[curved], v[curved] = np.arctan2(z, x)[curved] * table.half[row[curved], 0], y[curved]
    return View(depth, row, table.label[row], point, table.to_world(row, normal), u, v)


def _lay_flat(scene: Scene, row: np.ndarray, point: np.ndarray) -> None:
    """Give the rug its part of the floor and the skirting its part of the walls."""
    x, z, half_x, half_z, yaw = scene.rug
    cos, sin = np.cos(yaw), np.sin(yaw)
    dx, dz = point[0] - x, point[2] - z
    on_rug = (np.abs(cos * dx + sin * dz) < half_x) & (np.abs(cos * dz - sin * dx) < half_z)
    row[on_rug & (row == FLOOR)] = RUG
    row[(point[1] < SKIRTING_HEIGHT) & (row >= WALLS) & (row < RUG)] = SKIRTING


def shade(scene: Scene, view: View, shadows: bool = True) -> np.ndarray:
    """Return the light that each pixel sends to the camera, linear, ``(3, H, W)``.

    The light of one lamp follows Lambert's law, falls off with the squared distance and casts shadows. An
    even ambient light reaches less into corners.
    """
    table, light = scene.table, scene.light
    flat = [a.reshape(-1) for a in (view.row, view.u, view.v)]
    colour, glow = paint(table.materials, *flat)
    colour, glow = colour.reshape(view.point.shape), glow.reshape(view.depth.shape)

    ray = view.point - light.position[:, None, None]  # from the lamp
    square = (ray**2).sum(0)
    cosine = np.maximum(-(ray * view.normal).sum(0), 0) / np.sqrt(square)
    direct = cosine / (0.5 + square)
    if light.one_sided:
        direct *= np.maximum(rotate(light.axes, ray)[2], 0) / np.sqrt(square)
    if shadows:
        direct *= ~_in_shadow(scene, ray, direct > 0)
    ambient = light.ambient * (0.8 + 0.2 * view.normal[1]) * openness(view)
    lit = light.colour[:, None, None].astype(np.float32) * (direct + ambient)
    return colour * (lit + glow)


def _in_shadow(scene: Scene, ray: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Return the pixels that a solid hides from the lamp.

    A solid is tried only on the pixels in its bounding rectangle as the lamp sees it.
    """
    table, light = scene.table, scene.light
    place = np.flatnonzero(lit)
    ray = ray.reshape(3, -1)[:, place]
    across, up, ahead = rotate(light.axes, ray)
    # only solids that reach behind the lamp hide points there, and those solids have no rectangle
    ahead = np.where(ahead > NEAR, ahead, np.float32(NEAR))
    across, up = across / ahead, up / ahead
    order = np.argsort(across)
    place, ray, across, up = place[order], ray[:, order], across[order], up[order]
    least = np.array([-np.inf, -np.inf], np.float32)
    corners = (table.corners()[FIRST_SOLID:] - light.position) @ light.axes.T
    low, high = windows(corners, least, -least)
    first = np.searchsorted(across, low[:, 0], "left")
    last = np.searchsorted(across, high[:, 0], "right")
    dark = np.zeros(len(place), bool)
    for k in np.flatnonzero(first < last):
        here = slice(first[k], last[k])
        here = first[k] + np.flatnonzero((up[here] >= low[k, 1]) & (up[here] <= high[k, 1]))
        if len(here):
            entry, leave = table.cross(FIRST_SOLID + k, light.position, ray[:, here])
            dark[here] |= (entry > 0) & (entry < leave) & (entry < 1 - GRAZE)
    shadow = np.zeros(lit.shape, bool)
    shadow.reshape(-1)[place[dark]] = True
    return shadow


def openness(view: View) -> np.ndarray:
    """Return how much of the surroundings a pixel sees, 0..1: ambient occlusion in screen space.

    Each neighbour that rises above the pixel's tangent plane takes a share away; the farther it is, the
    smaller the share (after McGuire et al. 2011, "The Alchemy screen-space ambient obscurance algorithm").
    """
    height, width = view.depth.shape
    hidden = np.zeros_like(view.depth)
    for x, y in SPIRAL:
        dx, dy = round(x * width), round(y * width)
        here = np.s_[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
        neighbours = np.s_[max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)]
        step = view.point[(slice(None), *neighbours)] - view.point[(slice(None), *here)]
        rise = (step * view.normal[(slice(None), *here)]).sum(0)
        square = (step**2).sum(0)
        hidden[here] += np.maximum(rise - 0.01, 0) * np.maximum(1 - square / REACH**2, 0) / (square + 0.01)
    # all pixels look along the same spiral, so without blur an edge would show once for each of its steps
    return 1 / (1 + 3 * blurred(hidden, 1.0, max(1, width // 100)) / len(SPIRAL))


def blurred(picture: np.ndarray, weight: float, step: int = 1) -> np.ndarray:
    """Mix each pixel of ``(..., H, W)`` with its neighbours ``step`` away, along rows, then columns."""
    for axis in (-2, -1):
        length = picture.shape[axis]
        before = picture.take(np.maximum(np.arange(length) - step, 0), axis)
        after = picture.take(np.minimum(np.arange(length) + step, length - 1), axis)
        picture = (picture + weight * (before + after)) / (1 + 2 * weight)
    return picture
