"""Where in the plane the direct and the decomposed direction differ."""

import copy
from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ...aggregation import Aggregator
from ...decomposition import combine
from ...toy import Method, Problem, decompose
from .landscape import grid, minima
from .style import BLACK, PURPLE, TEMPLATE, WHITE

POINTS = 80


def parting(problem: Problem, aggregate: Aggregator, rho: float, points: int = POINTS) -> Tensor:
    """Return the angle in degrees between the direct and the decomposed direction over the window.

    Args:
        problem: the landscape.
        aggregate: the aggregator of both rules.
        rho: radius, >= 0.
        points: number of points along each side of the window.

    Returns:
        (points, points), rows from bottom to top; NaN where one of the directions is 0.

    Example:
        >>> from flatmtl_lite import Mean
        >>> from flatmtl_lite.toy import PROBLEMS
        >>> parting(PROBLEMS["valleys"], Mean(), rho=0.5, points=4).max() < 0.01  # linear: one direction
        tensor(True)
    """
    x, y = (torch.linspace(low, high, points, dtype=torch.float64) for low, high in problem.window)
    plane = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    d = decompose(problem, plane, rho, Method(aggregate))
    # With its own copy each rule gets the same random draws, and the aggregator stays as it was.
    return degrees(*(combine(d, copy.deepcopy(aggregate), rule) for rule in ("direct", "decomposed")))


def parting_map(problem: Problem, aggregates: Mapping[str, Aggregator], rho: float) -> go.Figure:
    """Draw :func:`parting`, one panel per aggregator, with the minima of each task. Grey: no angle.

    Args:
        problem: the landscape.
        aggregates: name -> aggregator.
        rho: radius, >= 0.
    """
    x, y, _ = grid(problem, POINTS)
    figure = make_subplots(1, len(aggregates), subplot_titles=list(aggregates), horizontal_spacing=0.04)
    for column, aggregate in enumerate(aggregates.values(), 1):
        angles = parting(problem, aggregate, rho)
        heat = go.Heatmap(
            x=x,
            y=y,
            z=angles.float().numpy().round(1),
            zmin=0,
            zmax=90,
            colorscale=[(0, WHITE), (0.5, PURPLE), (1, BLACK)],
            colorbar=dict(title="angle", tickvals=[0, 45, 90], ticktext=["0°", "45°", "90° and more"]),
            showscale=column == len(aggregates),
            hoverinfo="skip",
        )
        figure.add_traces([heat, minima(problem)], rows=1, cols=column)
    (left, right), (bottom, top) = problem.window
    figure.update_xaxes(range=[left, right], title_text="θ₁")
    figure.update_yaxes(range=[bottom, top], showticklabels=False)
    figure.update_yaxes(showticklabels=True, title_text="θ₂", col=1)
    figure.update_layout(plot_bgcolor="#9a9a9a").update_xaxes(showgrid=False).update_yaxes(showgrid=False)
    return figure.update_layout(template=TEMPLATE, height=400, margin=dict(t=50, b=60))


def degrees(first: Tensor, second: Tensor) -> Tensor:
    """Return the angle between directions (..., 2) in degrees (...), NaN if a direction is 0."""
    lengths = first.norm(dim=-1) * second.norm(dim=-1)
    cosine = ((first * second).sum(-1) / lengths).clamp(-1, 1)
    return torch.rad2deg(torch.acos(cosine)).masked_fill(lengths < 1e-18, torch.nan)
