"""Angles between random vectors: the cosines that chance alone gives."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from .style import BLACK, TEMPLATE, VERMILLION


def angle_density(degrees: Tensor, parameters: Tensor) -> Tensor:
    """Return how often two random directions of P parameters form an angle, relative to the most frequent.

    The density of the angle φ is proportional to sin(φ)^(P-2); the cosine has mean 0 and standard
    deviation 1/√P.

    Args:
        degrees: angles, broadcast against ``parameters``.
        parameters: P >= 2.
    """
    return torch.deg2rad(degrees).sin().clamp_min(0.0) ** (parameters - 2)


def nine_in_ten(parameters: Tensor) -> Tensor:
    """Return degrees: nine in ten angles between random directions are at most that far from 90°."""
    away = torch.linspace(0, 1, 4001, dtype=torch.float64)
    away = away * (torch.rad2deg(12 / parameters.double().sqrt()).clamp_max(90.0)).unsqueeze(-1)
    density = angle_density(90 - away, parameters.unsqueeze(-1))
    within = torch.cumulative_trapezoid(density, away, dim=-1)
    first = (within < 0.9 * within[..., -1:]).sum(-1, keepdim=True)
    return away.gather(-1, first + 1).squeeze(-1)


def angles_beside_chance(cosines: Sequence[float], parameters: int) -> go.Figure:
    """Draw a histogram of measured angles and the density of chance for vectors of that size.

    Args:
        cosines: cosines of two task gradients, one per step.
        parameters: number of parameters of the gradients.
    """
    angles = [round(math.degrees(math.acos(c)), 3) for c in cosines]
    figure = go.Figure()
    bars = dict(marker_color="#bbbbbb", marker_line=dict(color=BLACK, width=1))
    figure.add_histogram(x=angles, xbins=dict(start=60, end=120, size=1), name="measured, steps", **bars)
    near = torch.linspace(-0.6, 0.6, 121, dtype=torch.float64)
    most = max(sum(math.floor(a) == b for a in angles) for b in range(60, 120))
    height = most * angle_density(90 + near, torch.tensor(parameters, dtype=torch.float64))
    look = dict(line=dict(color=VERMILLION, width=3, dash="dash"), name="chance (its height is not to scale)")
    figure.add_scatter(x=(90 + near).tolist(), y=height.round(decimals=3).tolist(), mode="lines", **look)
    figure.update_xaxes(title_text="angle between the two task gradients", range=[75, 105], ticksuffix="°")
    figure.update_yaxes(title_text="steps")
    return figure.update_layout(template=TEMPLATE, height=380, margin_t=80)
