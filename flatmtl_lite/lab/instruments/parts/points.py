"""Points of traces: circles, curves that grow with the slider."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

PATH_POINTS = 61


def pairs(x: Tensor | float, y: Tensor | float) -> Tensor:
    """Return points (..., 2) from their coordinates."""
    both = (torch.as_tensor(values, dtype=torch.float64) for values in (x, y))
    return torch.stack(torch.broadcast_tensors(*both), -1)


def circle(scale: Tensor | None = None) -> Tensor:
    """Return the unit circle, (49, 2); with ``scale`` θ (2,) the ellipse |θ| u of adaptive SAM."""
    turn = torch.linspace(0, 2 * math.pi, 49, dtype=torch.float64)
    circle = pairs(turn.cos(), turn.sin())
    return circle if scale is None else circle * scale.abs()


def ball(theta: Tensor, rhos: Tensor, adaptive: bool = False) -> Tensor:
    """Return the rims (N, 49, 2) of balls about θ (2,) with radii (N,); ellipses for adaptive SAM."""
    return theta + rhos[:, None, None] * circle(theta if adaptive else None)


def growing_curve(points: Tensor, origin: int = 0) -> Tensor:
    """Return the points (N, 2) up to the slider: row k (N, N, 2) holds those from the origin to the k-th.

    A curve that grows lets the learner find it instead of seeing it at once.
    """
    place = torch.arange(len(points))
    row = place.unsqueeze(-1)
    on_the_way = (place - origin) * (row - origin) >= 0
    on_the_way &= (place - origin).abs() <= (row - origin).abs()
    return points.expand(len(points), *points.shape).masked_fill(~on_the_way.unsqueeze(-1), torch.nan)


def thin_path(path: Tensor) -> Tensor:
    """Return at most ``PATH_POINTS`` points of a path (..., S, 2), the first and the last among them."""
    kept = torch.linspace(0, path.shape[-2] - 1, min(path.shape[-2], PATH_POINTS)).round().long()
    return path[..., kept, :]


def seen_part(tails: Tensor, tips: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends of the part of each line that lies in a box; NaN if none of it does.

    Args:
        tails, tips: ends of the lines, (..., 2) each.
        low, high: corners of the box, (2,) each.
    """
    way = tips - tails
    way = torch.where(way.abs() < 1e-12, 1e-12, way)
    walls = torch.stack([(low - tails) / way, (high - tails) / way])
    enters = walls.amin(0).amax(-1, keepdim=True).clamp_min(0)
    leaves = walls.amax(0).amin(-1, keepdim=True).clamp_max(1)
    first, last = (
        torch.lerp(tails, tips, share).masked_fill(enters > leaves, torch.nan) for share in (enters, leaves)
    )
    return first, last


def lines_with_gaps(lines: Tensor) -> Tensor:
    """Return lines (N, n, points, 2) as one trace (N, n (points + 1), 2) with a gap after each line."""
    gap = torch.full_like(lines[:, :, :1], torch.nan)
    return torch.cat([lines, gap], 2).flatten(1, 2)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return points (N or 1, n, 2) of several parts together, (N, all n, 2)."""
    rows = max(map(len, parts))
    return torch.cat([part.expand(rows, -1, 2) for part in parts], 1)


def squares(points: Tensor) -> Tensor:
    """Return a short stroke through each point, (..., N, 2) -> (..., 3 N, 2): faster drawn than N markers."""
    stroke = torch.tensor([[-0.08, 0], [0.08, 0], [torch.nan, torch.nan]])
    return (points.unsqueeze(-2) + stroke).flatten(-3, -2)
