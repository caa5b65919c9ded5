"""Shares of a whole as bars, each with its name and its value in words above it."""

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import GREY, INK
from ...stage.table import Text
from .labels import text
from .picture import Panel
from .points import lines_with_gaps


class Shares(Panel):
    """One bar per part, from 0 to 100 % of the whole.

    Args:
        title: above the panel.
        uid: of the bars.
        names: of the parts.
        options: of :class:`Panel`.
    """

    def __init__(self, title: str, uid: str, names: Sequence[str], **options):
        x = dict(range=[0, 1.12], tickvals=[0, 0.5, 1], ticktext=["0 %", "50 %", "100 %"])
        y = dict(range=[len(names) - 0.4, -0.6], showticklabels=False, ticks="", showgrid=False)
        super().__init__(title, x=x, y=y, **options)
        self.uid, self.names = uid, list(names)
        self.add(go.Scatter(uid=uid, mode="lines", line=dict(color=GREY, width=12)))
        self.add(text(f"{uid}-names", self.names, INK, textposition="middle right"))

    def at(self, values: Tensor) -> dict[str, Tensor | Text]:
        """Return the bars and the words for the parts (N, n) of each whole."""
        shares = values / values.sum(-1, keepdim=True)
        rows = torch.arange(shares.shape[1], dtype=shares.dtype).expand_as(shares)
        # the words stand above their bar
        ends = [torch.stack([x, rows + 0.12], -1) for x in (torch.zeros_like(shares), shares)]
        places = torch.stack([torch.full_like(rows, 0.01), rows - 0.38], -1)
        words = [
            [f"{name}: {_number(v)}, {_percent(s)}" for name, v, s in zip(self.names, vs, ss, strict=True)]
            for vs, ss in zip(values.tolist(), shares.tolist(), strict=True)
        ]
        return {self.uid: lines_with_gaps(torch.stack(ends, 2)), f"{self.uid}-names": (places, words)}


def _number(value: float) -> str:
    """Write a number with three digits, or with all digits before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    if share < 1e-4:
        return "under 0.01 %"
    return f"{100 * share:.5g} %" if share > 0.99 else f"{100 * share:.2g} %"
