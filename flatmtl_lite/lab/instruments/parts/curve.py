"""Curves against the slider, with a line and dots at its present position."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, GREY
from .labels import text
from .picture import LINE, Panel
from .points import growing_curve

DEGREES = dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticksuffix="°")


class Curves(Panel):
    """Curves with their names at their right ends.

    Args:
        title: above the panel.
        x, y: options for plotly's axes, with a "range" each.
        looks: uid -> name, and the colour and dash of the line.
        grows: True to draw the curves only up to the slider, so that the learner finds them.
        options: of :class:`Panel`.
    """

    def __init__(
        self,
        title: str,
        x: dict,
        y: dict,
        looks: Mapping[str, tuple[str, dict]],
        grows: bool = False,
        **options,
    ):
        super().__init__(title, x=x, y=y, **options)
        self.uids, self.grows = list(looks), grows
        names, lines = zip(*looks.values(), strict=True)
        colors = [line["color"] for line in lines]
        cursor = dict(color=GREY, width=1.5, dash="dot")
        self.add(go.Scatter(uid=f"{self.uids[0]}-cursor", mode="lines", line=cursor))
        for uid, line in zip(looks, lines, strict=True):
            self.add(go.Scatter(uid=uid, mode="lines", line=line | dict(width=3)))
        dots = dict(size=10, color=colors, line=dict(width=1.5, color=BLACK))
        self.add(go.Scatter(uid=f"{self.uids[0]}-here", mode="markers", marker=dots, cliponaxis=False))
        self.add(text(f"{self.uids[0]}-names", names, colors, textposition="middle left"))

    def at(self, x: Tensor, curves: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the curves, uid -> heights (N,), over the slider's values ``x`` (N,)."""
        first, values = self.uids[0], torch.stack([curves[uid] for uid in self.uids], -1)
        low, high = self.y["range"]
        points = torch.stack([x[:, None].expand_as(values), values], -1)
        drawn = growing_curve if self.grows else lambda curve: curve[None]
        traces = {uid: drawn(points[:, k]) for k, uid in enumerate(self.uids)}
        ends = torch.tensor([low, high], dtype=x.dtype).expand(len(x), 2)
        traces[f"{first}-cursor"] = torch.stack([x[:, None].expand(-1, 2), ends], -1)
        traces[f"{first}-here"] = points
        heights = _spread([_last(column) for column in values.unbind(-1)], LINE / self.unit[1], high)
        traces[f"{first}-names"] = torch.stack([x[-1].expand(len(heights)), heights], -1)[None]
        return traces


def _last(values: Tensor) -> float:
    drawn = values[values.isfinite()]
    return drawn[-1].item() if len(drawn) else 0.0


def _spread(heights: Sequence[float], apart: float, most: float) -> Tensor:
    """Return heights above the curves' ends that lie at least ``apart`` from one another."""
    order = sorted(range(len(heights)), key=lambda k: heights[k])
    places, floor = [0.0] * len(heights), -float("inf")
    for k in order:
        places[k] = floor = max(heights[k] + 0.7 * apart, floor + apart)
    over = max(0.0, floor - most + apart / 2)
    return torch.tensor([place - over for place in places], dtype=torch.float64)
