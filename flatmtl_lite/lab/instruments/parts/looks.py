"""The ball round θ, and the points in it where the tasks look."""

from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import SAM
from .path import SOLID, edged_marker
from .picture import Panel
from .points import circle


class Ball:
    """The dotted ball of radius ρ; an ellipse for adaptive SAM."""

    def __init__(self, panel: Panel):
        line = dict(color=SAM, width=2.5, dash="dot")
        panel.add(go.Scatter(uid="ball", mode="lines", line=line, meta=SOLID))

    def at(self, theta: Tensor, rhos: Tensor, adaptive: bool = False) -> dict[str, Tensor]:
        """Return the points for θ (2,) and radii (N,)."""
        return {"ball": theta + rhos[:, None, None] * circle(theta if adaptive else None)}


class Looks:
    """Lines from θ to the points where the tasks look, with a star at each.

    Args:
        panel: where to draw.
        colors: uid -> colour.
    """

    def __init__(self, panel: Panel, colors: Mapping[str, str]):
        for uid, color in colors.items():
            star = edged_marker(color, "star") | dict(size=[0, 15])
            look = dict(mode="lines+markers", line=dict(color=color, width=2), marker=star)
            panel.add(go.Scatter(uid=uid, **look))

    def at(self, theta: Tensor, looks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points: θ (2,), and uid -> the points where the task looks, (N, 2)."""
        return {uid: torch.stack([theta.expand_as(ends), ends], 1) for uid, ends in looks.items()}
