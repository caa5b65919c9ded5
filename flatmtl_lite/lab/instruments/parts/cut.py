"""The cut: the losses along the step uphill, with the ball and the rise within it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ....toy import Problem
from ...figures.landscape import loss_range
from ...figures.style import INK, INKS, SAM
from .labels import draw_title
from .panel import Panel
from .points import lines_with_gaps, pairs

Map = Callable[[Tensor], Tensor]
BALL = "rgba(204, 121, 167, 0.18)"


class Cut(Panel):
    """The losses along ε: downhill at the left, uphill at the right, the ball shaded.

    A triangle at the upper edge stands for a star that lies higher. The title says the rise of each loss.

    Args:
        problem: the landscape; the axis has room for nearly all of its losses.
        colors: name of a loss -> its colour.
        value: points (..., n, 2), one per loss -> losses (..., n).
        theta: (2,).
        uphill: a step uphill for each loss, (n, 2).
        lengths: of ε at each slider position, (N,).
    """

    def __init__(
        self,
        problem: Problem,
        colors: Mapping[str, str],
        value: Map,
        theta: Tensor,
        uphill: Tensor,
        lengths: Tensor,
    ):
        reach, (least, most) = problem.rho, loss_range(problem, 0.96)
        room = 0.08 * (most - least)
        low, high = least - room, most + room
        y = dict(range=[low, high], title="loss", nticks=4)
        super().__init__(x=dict(range=[-reach, reach], title="distance from θ along ε"), y=y)
        unit = uphill / uphill.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        along = torch.linspace(-reach, reach, 121, dtype=theta.dtype)
        curves, ends = (value(theta + places[:, None, None] * unit) for places in (along, lengths))
        here = value(theta.expand(1, *uphill.shape)).expand_as(ends)
        rises = ends - here
        stars, feet = pairs(lengths[:, None], ends), pairs(lengths[:, None], here)
        top = pairs(lengths[:, None], high - 0.08 * (high - low)).expand_as(stars)
        higher = top.masked_fill((ends <= high).unsqueeze(-1), torch.nan)
        edges = lengths[:, None] * torch.tensor([-1, -1, 1, 1, -1])
        ball = pairs(edges, torch.tensor([low, high, high, low, low], dtype=theta.dtype))
        self.area("cut-ball", BALL, points=ball, line=dict(color=SAM, width=1.5, dash="dot"))
        for k, color in enumerate(colors.values()):
            self.line(f"cut-{k}", color, points=pairs(along, curves[:, k])[None])
        self.line("cut-rises", INK, 2, "dot", points=lines_with_gaps(torch.stack([feet, stars], 2)))
        n, places = len(colors), torch.cat([stars, higher], 1)
        symbols, sizes = ["star"] * n + ["triangle-up"] * n, [14] * n + [13] * n
        self.dots("cut-stars", [*colors.values()] * 2, symbols, sizes, points=places)
        draw_title(self, "cut-title", [_words(colors, rises) for rises in rises.tolist()])


def _words(colors: Mapping[str, str], rises: list[float]) -> str:
    parts = [
        f'<span style="color:{INKS.get(color, color)}">{name} {rise:+.2f}</span>'
        for (name, color), rise in zip(colors.items(), rises, strict=True)
    ]
    return f"rise along ε: {', '.join(parts)}"
