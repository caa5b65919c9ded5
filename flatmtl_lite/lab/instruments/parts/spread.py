"""Heights for names at the ends of curves, so that no name lies over another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .picture import LINE, Panel


def last_seen(line: Tensor, panel: Panel) -> Tensor:
    """Return the last point of a line (points, 2) within the panel."""
    line = panel.paper(line)
    low, high = torch.tensor([sorted(axis["range"]) for axis in (panel.x, panel.y)], dtype=line.dtype).T
    seen = line[((line >= low) & (line <= high)).all(-1)]  # NaN is never seen
    return panel.data(seen[-1] if len(seen) else torch.stack([high[0], low[1]]))


def spread(heights: Tensor, panel: Panel) -> Tensor:
    """Move heights (n,) as little as makes them lie a line of text apart, and within the panel.

    The heights are in the units of the axis, see :meth:`Panel.paper`.
    """
    apart = LINE / panel.unit[1]
    bottom, top = min(panel.y["range"]) + apart / 2, max(panel.y["range"]) - apart / 2
    order = heights.argsort()
    wanted = heights[order].clamp(bottom, top).tolist()
    both = zip(_pushed_up(wanted, apart), _pushed_down(wanted, apart), strict=True)
    middle = [max((up + down) / 2, bottom) for up, down in both]
    within = [min(height, top) for height in _pushed_up(middle, apart)]
    places = torch.empty_like(heights)
    places[order] = torch.tensor(_pushed_down(within, apart), dtype=heights.dtype)
    return places


def _pushed_up(heights: Sequence[float], apart: float) -> list[float]:
    places: list[float] = []
    for height in heights:
        places.append(max(height, places[-1] + apart) if places else height)
    return places


def _pushed_down(heights: Sequence[float], apart: float) -> list[float]:
    return [-height for height in reversed(_pushed_up([-height for height in reversed(heights)], apart))]
