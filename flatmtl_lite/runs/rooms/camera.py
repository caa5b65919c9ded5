"""A pinhole camera held by hand, and perspective."""

from typing import NamedTuple

import numpy as np

# Kinect's colour camera: about 519 pixels at a width of 640
FOCAL = 0.81  # focal length over image width
NEAR = 0.05  # metres


class Camera(NamedTuple):
    """Where the camera is and how it is turned.

    Attributes:
        position: World coordinates, metres, ``(3,)``.
        axes: Rows: its right, down and forward in the world, ``(3, 3)``; ``axes @ v`` is v in its frame.
    """

    position: np.ndarray
    axes: np.ndarray


def look(position, heading: float, pitch: float, roll: float) -> Camera:
    """Make a camera at ``position``; radians: heading from x to z, pitch upwards, roll clockwise."""
    cos, sin = np.cos(pitch), np.sin(pitch)
    forward = np.array([cos * np.cos(heading), sin, cos * np.sin(heading)])
    right = np.array([-np.sin(heading), 0.0, np.cos(heading)])
    down = np.cross(forward, right)
    tilted = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    return Camera(np.array(position, np.float32), np.array([*tilted, forward], np.float32))


def image_plane(height: int, width: int) -> np.ndarray:
    """Return the ray through the middle of every pixel in the camera frame, of depth 1: ``(3, H, W)``."""
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    focal = FOCAL * width
    return np.stack([(x - width / 2) / focal, (y - height / 2) / focal, np.ones_like(x)])


def rotate(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``matrix @ v`` for vectors ``(3, ...)``."""
    x, y, z = vectors
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix])


def windows(corners: np.ndarray, least: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rectangles that bound solids in perspective, from their corners in the frame of an eye.

    Args:
        corners: ``(S, 8, 3)``; the third coordinate is the depth.
        least, most: ``(2,)``, the limits of the picture at depth 1.

    Returns:
        Low and high limits at depth 1, ``(S, 2)`` each; high < low where a solid is outside the picture. A
        solid that reaches behind the eye has no such rectangle, and gets the whole picture.
    """
    depth = corners[..., 2:]
    flat = corners[..., :2] / np.maximum(depth, NEAR)
    across = (depth < NEAR).any(1)
    low = np.where(across, least, np.maximum(flat.min(1), least))
    high = np.where(across, most, np.minimum(flat.max(1), most))
    return low, high
