"""A small plane: the landscape of the mean loss with rings round its valleys, thin paths and their ends."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ....toy import Problem
from ...figures.landscape import ground
from ...figures.style import BLACK
from ...stage.table import Text
from .labels import Title, text
from .picture import Panel
from .points import circle


class Plane(Panel):
    """Many paths on a landscape.

    Args:
        problem: the landscape.
        uid: the traces are "paths-uid" and "ends-uid".
        color: of the paths.
        rings: name of a valley -> its bottom (2,).
        radius: of the rings.
    """

    def __init__(self, problem: Problem, uid: str, color: str, rings: Mapping[str, Tensor], radius: float):
        (left, right), (low, high) = problem.window
        hidden = dict(showticklabels=False, ticks="")
        x, y = hidden | dict(range=[left, right]), hidden | dict(range=[low, high])
        super().__init__(x=x, y=y, room=2, ratio=(right - left) / (high - low))
        self.uid = uid
        self.add(ground(problem))
        for name, bottom in rings.items():
            around = bottom + radius * circle()
            x, y = around.T.tolist()
            self.add(go.Scatter(x=x, y=y, mode="lines", line=dict(color=BLACK, width=2)))
            top = [[value] for value in (bottom + torch.tensor([0, radius])).tolist()]
            self.add(text(None, [name], BLACK, x=top[0], y=top[1], textposition="top center"))
        for kind, width in (("paths", 1.2), ("ends", 7)):
            line = dict(color=color, width=width)
            self.add(go.Scatter(uid=f"{kind}-{uid}", mode="lines", line=line))
        self.head = Title(self, f"title-{uid}")

    def at(self, paths: Tensor, ends: Tensor, words: Sequence[str]) -> dict[str, Tensor | Text]:
        """Return the traces: paths (N or 1, n, S, 2), ends (N or 1, m, 2), words per position."""
        gap = torch.full_like(paths[..., :1, :], torch.nan)
        drawn = torch.cat([paths, gap], -2).flatten(1, 2)
        titles = [f"<b>{self.uid}</b>: {line}" for line in words]
        return {f"paths-{self.uid}": drawn, f"ends-{self.uid}": squares(ends)} | self.head.at(titles)


def squares(points: Tensor) -> Tensor:
    """Return a short stroke through each point, (..., N, 2) -> (..., 3 N, 2): faster drawn than N markers."""
    stroke = torch.tensor([[-0.08, 0], [0.08, 0], [torch.nan, torch.nan]])
    return (points.unsqueeze(-2) + stroke).flatten(-3, -2)
