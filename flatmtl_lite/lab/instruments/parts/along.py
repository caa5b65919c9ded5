"""A curve over the steps of a path, which changes as a whole with the slider."""

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import INK
from ...stage.table import Text
from .labels import text
from .picture import FONT, Panel


class Along(Panel):
    """A curve over a path, with a dot and the value at its highest point.

    Args:
        uid: of the curve.
        title: above the panel, in two lines.
        x, y: options for plotly's axes, with a "range" each.
        line: colour and dash of the curve.
    """

    def __init__(self, uid: str, title: str, x: dict, y: dict, line: dict):
        super().__init__(title, x=x, y=y, room=2)
        self.uid = uid
        self.add(go.Scatter(uid=uid, mode="lines", line=line | dict(width=3)))
        dot = dict(size=9, color=line["color"])
        place = dict(mode="markers+text", marker=dot, textposition="top center", textfont_size=FONT)
        self.add(text(f"{uid}-most", [""], INK, **place))

    def at(self, x: Tensor, heights: Tensor) -> dict[str, Tensor | Text]:
        """Return the points for heights (N, n), NaN where there is none, over places ``x`` (n,)."""
        most, k = heights.nan_to_num(-torch.inf).max(-1)
        places = torch.stack([x[k], most.masked_fill(most.isinf(), torch.nan)], -1)
        words = [[f"{value:.0f}°" if value > 0.5 else ""] for value in most.tolist()]
        return {
            self.uid: torch.stack([x.expand_as(heights), heights], -1),
            f"{self.uid}-most": (places.unsqueeze(1), words),
        }
