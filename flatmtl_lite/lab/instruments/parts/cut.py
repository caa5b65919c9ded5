"""The cut: the losses along the step uphill, with the ball and the rise within it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...figures.style import INKS, SAM
from .labels import Title
from .picture import Panel, Traces
from .points import pairs

BALL = "rgba(204, 121, 167, 0.18)"


class Cut(Panel):
    """The losses along ε: downhill at the left, uphill at the right, the ball shaded.

    A triangle at the upper edge stands for a star that lies higher.

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
        self.area("cut-ball", BALL, line=dict(color=SAM, width=1.5, dash="dot"))
        for k, color in enumerate(colors.values()):
            self.line(f"cut-{k}", color)
        for k, color in enumerate(colors.values()):
            self.line(f"cut-rise-{k}", color, 2.5, "dot")
        self.dots("cut-stars", list(colors.values()), "star", size=14)
        self.dots("cut-beyond", list(colors.values()), "triangle-up", size=13)
        self.head = Title(self, "cut-title")

    def at(
        self, value: Callable[[Tensor], Tensor], theta: Tensor, uphill: Tensor, distances: Tensor
    ) -> Traces:
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
        curves, ends = (value(theta + places[:, None, None] * unit) for places in (along, distances))
        here = value(theta.expand(1, *uphill.shape)).expand_as(ends)
        stars, feet = pairs(distances[:, None], ends), pairs(distances[:, None], here)
        top = pairs(distances[:, None], high - 0.08 * (high - low)).expand_as(stars)
        higher = top.masked_fill((ends <= high).unsqueeze(-1), torch.nan)
        edges = distances[:, None] * torch.tensor([-1, -1, 1, 1, -1])
        heights = torch.tensor([low, high, high, low, low], dtype=theta.dtype)
        traces: Traces = {"cut-ball": pairs(edges, heights), "cut-stars": stars, "cut-beyond": higher}
        for k in range(len(self.colors)):
            traces[f"cut-{k}"] = pairs(along, curves[:, k])[None]
            traces[f"cut-rise-{k}"] = torch.stack([feet[:, k], stars[:, k]], 1)
        return traces | self.head.at([self._words(rises) for rises in (ends - here).tolist()])

    def _words(self, rises: list[float]) -> str:
        parts = [
            f'<span style="color:{INKS.get(color, color)}">{name} {rise:+.2f}</span>'
            for (name, color), rise in zip(self.colors.items(), rises, strict=True)
        ]
        return f"rise along ε: {', '.join(parts)}"
