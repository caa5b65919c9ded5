"""Toy problems as pictures: filled contours, minima, arrows, the Pareto front, the ends of many starts."""

import functools
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ...toy import Method, Problem, descend
from .style import BLACK, GROUND, PATH, TASKS, TEMPLATE, WHITE

GRID = 80


def ground(problem: Problem, task: int | None = None, levels: int = 16) -> go.Contour:
    """Draw a loss as filled contours, darker where it is lower: the mean loss, or the loss of one task."""
    x, y, losses = grid(problem)
    loss = losses.mean(-1) if task is None else losses[..., task]
    quantiles = torch.tensor([0.0, 0.5, 0.96], dtype=loss.dtype)
    low, median, high = torch.quantile(loss, quantiles).tolist()
    middle = min(max((median - low) / (high - low), 0.5), 0.85)  # a wide plateau takes half of the colours
    return go.Contour(
        x=x,
        y=y,
        z=loss.float().numpy().round(4),
        contours=dict(coloring="fill", start=low, end=high, size=(high - low) / levels),
        line=dict(width=0.7, color=WHITE),
        colorscale=[[place, color] for place, (_, color) in zip((0, middle, 1), GROUND, strict=True)],
        zmin=low,
        zmax=high,
        showscale=False,
        showlegend=False,
        hoverinfo="skip",
    )


def minima(problem: Problem) -> go.Scatter:
    """Draw a numbered disc at each local minimum of each task."""
    points = [(*point, k) for k, ends in enumerate(problem.minima()) for point in ends.tolist()]
    x, y, task = zip(*points, strict=True)
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        text=[f"<b>{k + 1}</b>" for k in task],
        marker=dict(size=19, color=[TASKS[k] for k in task], line=dict(color=WHITE, width=2)),
        textfont=dict(color=WHITE, size=12),
        showlegend=False,
        hoverinfo="skip",
    )


@functools.lru_cache(maxsize=16)  # an instrument takes it again for each moved point
def grid(problem: Problem, points: int = GRID) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Return x (points,), y (points,) and the losses (y, x, T) over the problem's window."""
    x, y = (torch.linspace(low, high, points, dtype=torch.float64) for low, high in problem.window)
    plane = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return x.numpy(), y.numpy(), problem.losses(plane.unsqueeze(-2))


@functools.lru_cache(maxsize=16)
def loss_range(problem: Problem, share: float, task: int | None = None) -> tuple[float, float]:
    """Return the least loss in the window and the quantile ``share``: of all tasks, or of one."""
    losses = grid(problem)[2]
    losses = losses if task is None else losses[..., task]
    return losses.min().item(), losses.quantile(share).item()


@functools.lru_cache(maxsize=16)
def front(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the Pareto front and their losses, (N, 2) each."""
    points = problem.front()
    return points.numpy(), problem.losses(points.unsqueeze(-2)).numpy()


def where_starts_end(
    problem: Problem, methods: Mapping[str, Method], starts: torch.Tensor, **options
) -> go.Figure:
    """Draw starts as dots and their ends as diamonds, one panel per method, with each task's minima.

    Args:
        problem: the landscape.
        methods: name -> method.
        starts: (N, 2).
        options: options of :func:`flatmtl_lite.toy.descend`, such as ``rho``.
    """
    options = {"rho": 0.0} | options
    ends = descend(problem, starts, methods=list(methods.values()), **options)[..., -1, :]
    figure = make_subplots(1, len(methods), subplot_titles=list(methods), horizontal_spacing=0.06)
    for k, end in enumerate(ends, 1):
        figure.add_trace(ground(problem), 1, k)
        line = dict(color=BLACK, dash="dot", width=3)
        x, y = front(problem)[0].T
        figure.add_scatter(
            x=x, y=y, mode="lines", line=line, name="Pareto front", showlegend=k == 1, row=1, col=k
        )
        looks = {
            "start": (starts, dict(size=5, color="#444444")),
            "end": (end, dict(size=10, color=PATH, symbol="diamond", line=dict(width=1, color=BLACK))),
        }
        for name, (points, marker) in looks.items():
            x, y = np.asarray(points).round(3).T
            figure.add_trace(
                go.Scatter(x=x, y=y, mode="markers", name=name, marker=marker, showlegend=k == 1), 1, k
            )
        figure.add_trace(minima(problem), 1, k)
    (left, right), (bottom, top) = problem.window
    figure.update_xaxes(range=[left, right], title_text="θ₁")
    figure.update_yaxes(range=[bottom, top]).update_yaxes(title_text="θ₂", col=1)
    return figure.update_layout(template=TEMPLATE, height=540, margin=dict(t=90, b=60))
