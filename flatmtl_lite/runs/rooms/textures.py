"""Procedural textures: patterns that blend two colours, as functions of metres along a surface."""

from typing import NamedTuple

import numpy as np

Colour = tuple[float, float, float]


class Material(NamedTuple):
    """The look of a surface.

    Attributes:
        pattern: A name in ``PATTERNS``.
        first, second: The two colours that the pattern blends, sRGB in 0..1.
        scale: Size of the pattern's repeat in metres.
        glow: Light given off, as a multiple of the colour.
    """

    pattern: str
    first: Colour
    second: Colour
    scale: float = 1.0
    glow: float = 0.0


def lattice(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return a number in 0..1 for each pair of integers; the same pair always has the same number."""
    h = i.astype(np.int64).astype(np.uint32) * np.uint32(374761393)
    h += j.astype(np.int64).astype(np.uint32) * np.uint32(668265263)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    return ((h ^ (h >> np.uint32(16))) & np.uint32(0xFFFF)).astype(np.float32) / np.float32(0xFFFF)


def noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Value noise: random numbers at the integers, blended smoothly between them."""
    i, j = np.floor(u), np.floor(v)
    s, t = u - i, v - j
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    low = lattice(i, j) * (1 - s) + lattice(i + 1, j) * s
    high = lattice(i, j + 1) * (1 - s) + lattice(i + 1, j + 1) * s
    return low * (1 - t) + high * t


# Patterns: (u, v) in repeats -> how much of the second colour, 0..1 ---------------------------------------


def plain(u, v):
    return 0.3 * noise(3 * u, 3 * v)


def stripes(u, v):
    return (u % 1 < 0.5) * 0.8 + 0.2 * noise(20 * u, 20 * v)


def checks(u, v):
    return 0.5 * (u % 1 < 0.5) + 0.5 * (v % 1 < 0.5)


def dots(u, v):
    return ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.09) * 1.0


def diamonds(u, v):
    return (np.floor(u + v) + np.floor(u - v)) % 2


def planks(u, v):
    row = np.floor(v)
    along = u / 8 + lattice(row, row)
    seam = (v % 1 < 0.06) | (along % 1 < 0.008)
    tone = 0.7 * lattice(np.floor(along), row) + 0.3 * noise(2 * u, 14 * v)
    return np.where(seam, 1.0, 0.8 * tone)


def parquet(u, v):
    turned = (np.floor(u) + np.floor(v)) % 2 == 1
    across = 4 * np.where(turned, u, v)
    tone = lattice(np.floor(across), np.floor(np.where(turned, v, u)))
    return np.where((across % 1 < 0.1) | (u % 1 < 0.03) | (v % 1 < 0.03), 1.0, 0.7 * tone)


def tiles(u, v):
    grout = (u % 1 < 0.04) | (v % 1 < 0.04)
    return np.where(grout, 1.0, 0.35 * lattice(np.floor(u), np.floor(v)) + 0.1 * noise(6 * u, 6 * v))


def bricks(u, v):
    row = np.floor(v)
    along = u / 3 + 0.5 * (row % 2)
    mortar = (v % 1 < 0.13) | (along % 1 < 0.045)
    return np.where(mortar, 1.0, 0.5 * lattice(np.floor(along), row))


def grain(u, v):
    return noise(2 * u, 18 * v) * 0.7 + 0.3 * noise(5 * u, 60 * v)


def weave(u, v):
    return 0.35 * noise(8 * u, 8 * v) + 0.65 * noise(40 * u, 40 * v)


def spines(u, v):
    return lattice(np.floor(u), np.zeros_like(u)) * np.where(u % 1 < 0.12, 0.3, 1.0)


def landscape(u, v):
    return np.clip(0.5 - 4 * (v - 0.25 * noise(4 * u, np.zeros_like(u))) + 0.5 * noise(9 * u, 9 * v), 0, 1)


def blocks(u, v):
    return lattice(np.floor(2.3 * u + 0.6), np.floor(3.1 * v)) * ((u * 2.3 + 0.6) % 1 > 0.1)


def panes(u, v):
    """Glass behind bars. One repeat is half a window; its rim is the frame of a pane."""
    return 1.0 * (np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5)) < 0.45)


def folds(u, v):
    return 0.5 + 0.5 * np.sin(2 * np.pi * (u + 0.3 * noise(u, 0.5 * v)))


PATTERNS = {
    f.__name__: f
    for f in (
        *(plain, stripes, checks, dots, diamonds, planks, parquet, tiles, bricks),
        *(grain, weave, spines, landscape, blocks, panes, folds),
    )
}


def paint(materials, surface: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the colour of every pixel before any light falls on it.

    Args:
        materials: One per surface.
        surface: ``(N,)``, the row of ``materials`` that each pixel shows.
        u, v: ``(N,)``, the pixel's place on that surface in metres.

    Returns:
        Reflectance ``(3, N)``, linear, and glow ``(N,)``.
    """
    patterns, first, second, scale, glow = zip(*materials)
    names = list(PATTERNS)
    pattern = np.array([names.index(name) for name in patterns])[surface]
    scale = np.array(scale, np.float32)[surface]
    u, v = u / scale, v / scale
    mix = np.empty_like(u)
    for k in np.unique(pattern):
        here = pattern == k
        mix[here] = PATTERNS[names[k]](u[here], v[here])
    # screens store roughly the square root of light; colours blend in light
    low, high = (np.array(colours, np.float32).T[:, surface] ** 2.2 for colours in (first, second))
    shine = np.array(glow, np.float32)[surface]
    shine *= np.where(pattern == names.index("panes"), mix, 1)  # the sky shines, its frame does not
    return low + (high - low) * mix, shine
