"""The ball round θ, and the points in it where the tasks look."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import SAM
from .panel import SOLID, Panel
from .points import circle


class Ball:
    """The dotted ball of radius ρ; an ellipse for adaptive SAM."""

    def __init__(self, panel: Panel):
        panel.line("ball", SAM, 2.5, "dot", meta=SOLID)

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
            line = dict(mode="lines+markers", line=dict(color=color, width=2))
            panel.dots(uid, color, "star", size=[0, 15], **line)

    def at(self, theta: Tensor, looks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points: θ (2,), and uid -> the points where the task looks, (N, 2)."""
        return {uid: torch.stack([theta.expand_as(ends), ends], 1) for uid, ends in looks.items()}


class Climb:
    """Several steps uphill: a dashed line with a dot at each visited point and a diamond at the highest."""

    def __init__(self, panel: Panel, uid: str, color: str):
        self.uid = uid
        line = dict(mode="lines+markers", line=dict(color=color, width=2.5, dash="dash"))
        panel.dots(uid, color, size=6, edge=1, meta=SOLID, **line)
        panel.dots(f"{uid}-at", color, "diamond", size=14, meta=SOLID)

    def at(self, visited: Tensor, highest: Tensor) -> dict[str, Tensor]:
        """Return the points: all that the climb visits (N, n, 2), and the highest (N, 2)."""
        return {self.uid: visited, f"{self.uid}-at": highest.unsqueeze(1)}
