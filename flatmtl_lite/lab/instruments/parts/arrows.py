"""Arrows that show steps: where a step goes, which is minus the gradient."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...figures.arrows import arrow
from ...figures.style import WHITE
from .panel import Panel

SHORTEST = 4  # pixels; a shorter arrow is not drawn


class Arrows:
    """Several arrows in a panel, with a pale edge round them all.

    Args:
        panel: where to draw.
        colors: uid -> colour; a later arrow lies over an earlier one.
        width: of the shafts, in pixels.
    """

    def __init__(self, panel: Panel, colors: Mapping[str, str], width: float = 4.5):
        self.panel, self.edge = panel, f"{next(iter(colors))}-edge"
        panel.line(self.edge, WHITE, width + 3.5)
        for uid, color in colors.items():
            panel.draw(arrow(uid, color, width=width))

    def at(self, arrows: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the points of the arrows: uid -> tails and the ways from there, (N or 1, 2) each."""
        points = {uid: arrow_points(self._long_enough(way), tail) for uid, (tail, way) in arrows.items()}
        rows = max(map(len, points.values()))
        edges = [ends.expand(rows, 2, 2) for ends in points.values()]
        gap = torch.full_like(edges[0][:, :1], torch.nan)
        return points | {self.edge: torch.cat([part for ends in edges for part in (ends, gap)], 1)}

    def _long_enough(self, way: Tensor) -> Tensor:
        """Return the ways without those that would be drawn as a mere arrowhead."""
        pixels = way * torch.tensor(self.panel.unit, dtype=way.dtype)
        return way.masked_fill((pixels.norm(dim=-1, keepdim=True) < SHORTEST), 0.0)


def arrow_points(tips: Tensor, tails: Tensor | None = None) -> Tensor:
    """Return arrows (N, 2, 2) by ``tips`` (N, 2) from ``tails``, by default the origin.

    An arrow without length is NaN, so it is not drawn.
    """
    tails = torch.zeros_like(tips) if tails is None else tails
    ends = torch.stack(torch.broadcast_tensors(tails, tails + tips), 1)
    return ends.masked_fill((tips.norm(dim=-1) < 1e-9)[:, None, None], torch.nan)


def along(origin: Tensor, ways: Sequence[Tensor]) -> Tensor:
    """Return points (N, n, 2) on steps (N, 2) each from ``origin`` (N, 2): labels should leave them free."""
    shares = torch.linspace(0.1, 1, 12, dtype=origin.dtype)[:, None]
    return torch.cat([origin[:, None] + shares * way[:, None] for way in ways], 1)
