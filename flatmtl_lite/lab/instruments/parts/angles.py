"""Angles between the parts of gradients, as numbers and as text."""

import math

import torch
from torch import Tensor

from ....decomposition import Decomposition
from ....diagnostics import cosines
from ...figures.style import PARTS


def part_angles(d: Decomposition) -> dict[str, Tensor]:
    """Return angles in degrees (N,) of a decomposition with N rows.

    "between-loss", "between-flat" and "between-sam" are the largest angles between tasks; "within-k" is the
    angle between the loss part and the flat part of task k. An angle with a zero vector is NaN.
    """
    T = d.loss.shape[-2]
    C = cosines(torch.cat([d.loss, flat_part(d), d.sam], -2))
    zero = C.diagonal(dim1=-2, dim2=-1) == 0
    C = C.masked_fill(zero.unsqueeze(-1) | zero.unsqueeze(-2), torch.nan)
    degrees = torch.rad2deg(torch.acos(C))
    i, j = torch.triu_indices(T, T, offset=1)
    between = {f"between-{part}": degrees[:, k * T + i, k * T + j].amax(-1) for k, part in enumerate(PARTS)}
    return between | {f"within-{k}": degrees[:, k, T + k] for k in range(T)}


def flat_part(d: Decomposition) -> Tensor:
    """Return the flat part of a decomposition that was made with a ρ."""
    if d.flat is None:
        raise ValueError("Got a decomposition without a flat part; expected one made with a ρ.")
    return d.flat


def degrees_texts(angles: Tensor) -> list[str]:
    """Write angles (N,) in degrees, or a dash where there is none."""
    return ["–" if math.isnan(angle) else f"{angle:.0f}°" for angle in angles.tolist()]


def conflict_texts(angles: Tensor) -> list[str]:
    """Write the remark for each angle (N,) above 90°."""
    return [" (conflict)" if angle > 90 else "" for angle in angles.tolist()]
