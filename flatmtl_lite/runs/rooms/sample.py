"""One sample from one seed: picture, labels, depth and normals of a synthetic room."""

import numpy as np

from .checks import check_count
from .renderer import shade, view
from .scene import build_scene
from .sensor import annotate, measure_depth, normals, photograph
from .styles import STYLES

LEAST = 16  # pixels


def render(
    seed: int, height: int = 96, width: int = 128, style: str = "train", shadows: bool = True
) -> dict[str, np.ndarray]:
    """Draw a synthetic room and photograph it.

    The camera frame is x right, y down, z forwards; the focal length is 0.81 times the width, the principal
    point is the picture's middle. The room depends on seed and style alone, noise on the size too. On one
    machine the same arguments give the same bits.

    Args:
        seed: Any whole number from 0.
        height, width: Pixels, at least 16 each.
        style: "train" or "val". Paints, textures and forms of furniture of "val" never occur in "train".
        shadows: Whether the lamp casts shadows.

    Returns:
        ``image`` (H, W, 3) float32 in 0..1; ``label`` (H, W) int8, a class of ``CLASSES`` or -1 (undefined);
        ``depth`` (H, W, 1) float32, metres along z with a Kinect's noise, 0 where it sees nothing; ``normal``
        (H, W, 3) float32, exact unit normals towards the camera, all 0 where there is no depth.

    Raises:
        ValueError: An argument is not as above.

    Example:
        >>> sample = render(seed=7)
        >>> {name: array.shape for name, array in sample.items()}
        {'image': (96, 128, 3), 'label': (96, 128), 'depth': (96, 128, 1), 'normal': (96, 128, 3)}
    """
    check_count("seed", seed)
    check_count("height", height, LEAST)
    check_count("width", width, LEAST)
    if style not in STYLES:
        raise ValueError(f"style={style!r}: give one of {', '.join(map(repr, STYLES))}")
    scene = build_scene(seed, style)
    seen = view(scene, height, width)
    rng = np.random.default_rng([seed, list(STYLES).index(style), 1])
    depth = measure_depth(scene, seen, rng)
    return {
        "image": photograph(shade(scene, seen, shadows), rng),
        "label": annotate(seen, rng),
        "depth": depth[..., None],
        "normal": normals(scene, seen, depth),
    }
