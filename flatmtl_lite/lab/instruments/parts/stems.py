"""Stems: a dot for each value, on a stem that rises from its foot."""

import plotly.graph_objects as go
import torch
from torch import Tensor

from .path import edged_marker
from .picture import Panel
from .points import lines_with_gaps


class Stems:
    """Dots on stems, all in one colour."""

    def __init__(self, panel: Panel, uid: str, color: str, symbol: str = "circle", width: float = 3):
        self.uid = uid
        stem = dict(color=color, width=width)
        panel.add(go.Scatter(uid=f"{uid}-stems", mode="lines", line=stem))
        dots = edged_marker(color, symbol, size=11)
        panel.add(go.Scatter(uid=uid, mode="markers", marker=dots, cliponaxis=False))

    def at(self, dots: Tensor, feet: Tensor) -> dict[str, Tensor]:
        """Return the points of the dots (N, n, 2) and of the stems from their feet (N, n, 2)."""
        return {self.uid: dots, f"{self.uid}-stems": lines_with_gaps(torch.stack([feet, dots], 2))}
