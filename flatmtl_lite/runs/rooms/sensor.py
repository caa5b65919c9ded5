"""A Kinect's picture of a view: exposure and noise in the image, holes and noise in the depth."""

import numpy as np

from .camera import FOCAL, rotate
from .labels import TV
from .renderer import View, blurred
from .scene import Scene
from .textures import noise

BASELINE = 0.075  # metres between Kinect's projector and its depth camera
RANGE = 0.5, 9.5  # metres


def photograph(radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn light into a picture (H, W, 3) in 0..1: lens blur, exposure, white balance, vignette, noise."""
    _, height, width = radiance.shape
    grey = radiance.mean(0)
    exposure = rng.uniform(0.2, 0.34) / np.median(grey)
    balance = 1 + 0.04 * rng.standard_normal(3)
    y, x = np.mgrid[:height, :width]
    square = ((x / width - 0.5) ** 2 + (y / width - 0.5 * height / width) ** 2).astype(np.float32)
    light = (
        blurred(radiance, rng.uniform(0.05, 0.25)) * (exposure * balance[:, None, None]) * (1 - 0.5 * square)
    )
    # bright parts saturate smoothly, as on film, and never clip hard
    stored = (light / (1 + 0.35 * light)) ** (1 / 2.2)
    stored = stored + rng.uniform(0.004, 0.015) * rng.standard_normal(stored.shape, np.float32)
    return np.moveaxis(np.clip(stored, 0, 1), 0, 2).astype(np.float32, order="C")


def measure_depth(scene: Scene, view: View, rng: np.random.Generator) -> np.ndarray:
    """Return the depth in metres with noise, 0 where Kinect sees nothing, ``(H, W)``.

    Glass and screens give no depth except in patches. Nor do surfaces outside ``RANGE``, at grazing angles,
    or where a nearer thing hides the projector's pattern. The standard deviation of the noise is from
    Nguyen, Izadi and Lovell 2012, "Modeling Kinect sensor noise": 1.2 mm + 1.9 mm (z - 0.4 m)².
    """
    depth, table = view.depth, scene.table
    height, width = depth.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    patches = noise(x * (40 / width) + rng.integers(1000), y * (40 / width) + rng.integers(1000))
    glass = np.array([m.pattern == "panes" or label == TV for m, label in zip(table.materials, table.label)])
    gaze = view.point - scene.camera.position[:, None, None]
    grazing = np.abs((gaze * view.normal).sum(0)) < 0.08 * np.sqrt((gaze**2).sum(0))
    specks = rng.random(depth.shape) < 0.002
    lost = (glass[view.row] & (patches < 0.75)) | grazing | specks | _behind_an_edge(depth)
    lost |= (depth < RANGE[0]) | (depth > RANGE[1])
    sigma = 0.0012 + 0.0019 * (depth - 0.4) ** 2
    noisy = depth + sigma * rng.standard_normal(depth.shape, np.float32)
    return np.where(lost, 0, noisy).astype(np.float32)


def _behind_an_edge(depth: np.ndarray) -> np.ndarray:
    """Return the pixels that the projector, to the right of the camera, cannot light.

    Seen from the projector a pixel is shifted by its disparity. It is hidden if a pixel to its right is
    shifted to its left.
    """
    width = depth.shape[1]
    projected = np.arange(width, dtype=np.float32) - BASELINE * FOCAL * width / depth
    least = np.minimum.accumulate(projected[:, ::-1], 1)[:, ::-1]
    return projected > least


def annotate(view: View, rng: np.random.Generator) -> np.ndarray:
    """Return labels as people draw them: -1 on parts of the outlines and in patches; ``(H, W)`` int8."""
    height, width = view.label.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    patches = noise(x * (16 / width) + rng.integers(1000), y * (16 / width) + rng.integers(1000))
    outline = np.zeros(view.label.shape, bool)
    outline[:, 1:] |= view.label[:, 1:] != view.label[:, :-1]
    outline[1:] |= view.label[1:] != view.label[:-1]
    left_out = (outline & (patches > 0.45)) | (patches > 0.93)
    return np.where(left_out, np.int8(-1), view.label)


def normals(scene: Scene, view: View, depth: np.ndarray) -> np.ndarray:
    """Return unit normals in the camera frame, all zero where there is no depth, ``(H, W, 3)``."""
    turned = np.where(depth > 0, rotate(scene.camera.axes, view.normal), 0)
    return np.moveaxis(turned, 0, 2).astype(np.float32, order="C")
