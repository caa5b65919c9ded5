"""The wedge of the steps that are good for all, in the plane."""

import math

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import GREY
from .picture import Panel

GOOD = "rgba(127, 127, 127, 0.18)"


class Wedge:
    """The wedge that holds the steps that are good for all, and the rim of the steps' convex hull."""

    def __init__(self, panel: Panel, reach: float):
        self.reach = reach
        wedge = dict(mode="lines", line_width=0, fill="toself", fillcolor=GOOD)
        panel.add(go.Scatter(uid="cone", **wedge))
        rim = dict(color=GREY, width=1.5, dash="dot")
        panel.add(go.Scatter(uid="hull", mode="lines", line=rim))

    def at(self, steps: Tensor) -> dict[str, Tensor]:
        """Return the points for the steps that the tasks want, (N, T, 2)."""
        return {"cone": wedges(steps, self.reach), "hull": torch.cat([steps, steps[:, :1]], 1)}


def wedges(steps: Tensor, reach: float) -> Tensor:
    """Return the outline (N, 33, 2) of {d: ⟨sᵢ, d⟩ > 0 for all i} for steps (N, T, 2).

    It is NaN if no step is good for all.
    """
    angle = torch.atan2(steps[..., 1], steps[..., 0])
    away = torch.remainder(angle - angle[:, :1] + math.pi, 2 * math.pi) - math.pi
    low, high = away.amax(-1) - math.pi / 2, away.amin(-1) + math.pi / 2
    share = torch.linspace(0, 1, 31, dtype=steps.dtype)
    arc = angle[:, :1] + low[:, None] + (high - low)[:, None] * share
    rim = 2 * reach * torch.stack([arc.cos(), arc.sin()], -1)
    tip = torch.zeros_like(rim[:, :1])
    empty = (high - low < 1e-9) | (steps.norm(dim=-1) == 0).any(-1)
    return torch.cat([tip, rim, tip], 1).masked_fill(empty[:, None, None], torch.nan)
