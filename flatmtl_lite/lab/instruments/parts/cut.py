"""The cut: the losses along the step uphill, with the ball and the rise within it."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import INKS, SAM
from ...stage.table import Text
from .labels import Title
from .path import edged_marker
from .picture import Panel

BALL = "rgba(204, 121, 167, 0.18)"


class Cut(Panel):
    """The losses along ε: downhill at the left, uphill at the right, the ball shaded.

    Args:
        colors: name of a loss -> its colour.
        reach: the largest distance from θ.
        losses: losses of the landscape; the axis has room for nearly all of them.
    """

    def __init__(self, colors: Mapping[str, str], reach: float, losses: Tensor):
        low, high = losses.min().item(), losses.quantile(0.96).item()
        room = 0.08 * (high - low)
        y = dict(range=[low - room, high + room], title="loss", nticks=4)
        super().__init__(x=dict(range=[-reach, reach], title="distance from θ along ε"), y=y)
        self.colors = colors
        band = dict(fill="toself", fillcolor=BALL, line=dict(color=SAM, width=1.5, dash="dot"))
        self.add(go.Scatter(uid="cut-ball", mode="lines", **band))
        for k, color in enumerate(colors.values()):
            self.add(go.Scatter(uid=f"cut-{k}", mode="lines", line=dict(color=color, width=3)))
        for k, color in enumerate(colors.values()):
            line = dict(color=color, width=2.5, dash="dot")
            self.add(go.Scatter(uid=f"cut-rise-{k}", mode="lines", line=line))
        stars = edged_marker(BALL, "star", size=14) | dict(color=list(colors.values()))
        self.add(go.Scatter(uid="cut-stars", mode="markers", marker=stars))
        self.head = Title(self, "cut-title")

    def at(
        self, value: Callable[[Tensor], Tensor], theta: Tensor, uphill: Tensor, distances: Tensor
    ) -> dict[str, Tensor | Text]:
        """Return the points and titles of a cut through θ (2,).

        Args:
            value: points (..., n, 2), one per loss -> losses (..., n).
            theta: (2,).
            uphill: a step uphill for each loss, (n, 2).
            distances: the length of ε at each slider position, (N,).
        """
        reach, (low, high) = self.x["range"][1], self.y["range"]
        unit = uphill / uphill.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        along = torch.linspace(-reach, reach, 121, dtype=theta.dtype)
        curves = value(theta + along[:, None, None] * unit)
        ends = value(theta + distances[:, None, None] * unit)
        here = value(theta.expand(1, *uphill.shape)).expand_as(ends)
        stars = torch.stack([distances[:, None].expand_as(ends), ends], -1)
        feet = torch.stack([stars[..., 0], here], -1)
        edges = torch.stack([-distances, -distances, distances, distances, -distances], -1)
        heights = torch.tensor([low, high, high, low, low], dtype=theta.dtype).expand_as(edges)
        traces: dict[str, Tensor | Text] = {"cut-ball": torch.stack([edges, heights], -1), "cut-stars": stars}
        for k in range(len(self.colors)):
            traces[f"cut-{k}"] = torch.stack([along, curves[:, k]], -1)[None]
            traces[f"cut-rise-{k}"] = torch.stack([feet[:, k], stars[:, k]], 1)
        return traces | self.head.at([self._words(rises) for rises in (ends - here).tolist()])

    def _words(self, rises: list[float]) -> str:
        parts = [
            f'<span style="color:{INKS.get(color, color)}">{name} {rise:+.2f}</span>'
            for (name, color), rise in zip(self.colors.items(), rises, strict=True)
        ]
        return f"rise along ε: {', '.join(parts)}"
