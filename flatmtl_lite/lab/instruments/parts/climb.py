"""A climb: every point that several steps uphill visit, and the highest of them."""

import plotly.graph_objects as go
from torch import Tensor

from ...figures.style import BLACK
from .path import SOLID, edged_marker
from .picture import Panel


class Climb:
    """A dashed line with a dot at each visited point and a diamond at the highest."""

    def __init__(self, panel: Panel, uid: str, color: str):
        self.uid = uid
        dots = dict(size=6, color=color, line=dict(width=1, color=BLACK))
        line = dict(color=color, width=2.5, dash="dash")
        panel.add(go.Scatter(uid=uid, mode="lines+markers", line=line, marker=dots, meta=SOLID))
        diamond = edged_marker(color, "diamond", size=14)
        panel.add(go.Scatter(uid=f"{uid}-at", mode="markers", marker=diamond, meta=SOLID))

    def at(self, visited: Tensor, highest: Tensor) -> dict[str, Tensor]:
        """Return the points: all that the climb visits (N, n, 2), and the highest (N, 2)."""
        return {self.uid: visited, f"{self.uid}-at": highest.unsqueeze(1)}
