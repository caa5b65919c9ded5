"""The dial: a half circle on which needles show angles."""

import math
from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import INK
from .arrows import arrow_points
from .labels import Labels, text
from .lines import shade
from .picture import Panel

X, Y = (-1.5, 1.5), (-0.15, 1.3)


class Dial(Panel):
    """A half circle from 0° at the right to 180° at the left. The left half means conflict.

    Args:
        title: above the panel.
        looks: uid -> name, and the colour and dash of the needle.
        options: of :class:`Panel`.
    """

    def __init__(self, title: str, looks: Mapping[str, tuple[str, dict]], **options):
        hidden = dict(visible=False)
        ratio = (X[1] - X[0]) / (Y[1] - Y[0])
        super().__init__(title, x=hidden | dict(range=X), y=hidden | dict(range=Y), ratio=ratio, **options)
        self.uids = list(looks)
        turn = torch.linspace(0, math.pi, 61)
        x, y = turn.cos().tolist(), turn.sin().tolist()
        shade(self, [0, *x[30:]], [0, *y[30:]])
        self.add(go.Scatter(x=x, y=y, mode="lines", line=dict(color=INK, width=1.5)))
        marks = {"0°": (1.12, 0), "90°": (0, 1.13), "180°": (-1.2, 0), "conflict": (-0.6, 0.12)}
        left, up = zip(*marks.values(), strict=True)
        self.add(text(None, list(marks), INK, x=left, y=up))
        self.fixed = list(marks.values())
        for uid, (_, look) in looks.items():
            self.add(go.Scatter(uid=uid, mode="lines", line=look | dict(width=4)))
        names = {name: look["color"] for name, look in looks.values()}
        self.labels = Labels(self, names, f"{self.uids[0]}-names", apart=3)

    def at(self, degrees: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the needles, uid -> angles (N or 1,), and of their names."""
        needles = {uid: _needle(degrees[uid]) for uid in self.uids}
        rows = max(map(len, needles.values()))
        along = torch.linspace(0.1, 1, 16, dtype=torch.float64)[:, None]
        shafts = torch.cat([needle[:, 1:].expand(rows, 1, 2) * along for needle in needles.values()], 1)
        return needles | self.labels.at([needle[:, 1] for needle in needles.values()], shafts)


def _needle(degrees: Tensor) -> Tensor:
    """Return the points (N, 2, 2) of a needle at each angle (N,)."""
    radians = torch.deg2rad(degrees)
    return arrow_points(torch.stack([radians.cos(), radians.sin()], -1))
