"""Toy problems as pictures: contours, arrows, the Pareto front, the ends of many starts."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ...toy import Method, Problem, descend
from .style import PATH, TASK_DASHES, TASKS, TEMPLATE

GRID = 80


def contours(problem: Problem, levels: int = 13) -> list[go.Heatmap | go.Contour]:
    """Draw each task's loss as lines over the mean loss in grey (darker is lower)."""
    x, y, losses = grid(problem)
    mean = losses.mean(-1)
    low, high = torch.quantile(mean, torch.tensor([0.0, 0.97], dtype=mean.dtype)).tolist()
    traces = [
        go.Heatmap(
            x=x,
            y=y,
            z=_small(mean),
            zmin=low,
            zmax=high,
            zsmooth="best",
            colorscale=[(0, "#c8c8c8"), (0.6, "#fafafa"), (1, "#fff")],
            showscale=False,
            hoverinfo="skip",
        )
    ]
    for k in range(problem.tasks):
        start, end = torch.quantile(losses[..., k], torch.tensor([0.01, 0.9], dtype=mean.dtype)).tolist()
        traces.append(
            go.Contour(
                x=x,
                y=y,
                z=_small(losses[..., k]),
                name=f"task {k + 1}",
                showlegend=True,
                showscale=False,
                contours=dict(coloring="none", start=start, end=end, size=(end - start) / levels),
                line=dict(color=TASKS[k], dash=TASK_DASHES[k], width=1.3),
                opacity=0.8,
                hoverinfo="skip",
            )
        )
    return traces


def grid(problem: Problem, points: int = GRID) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Return x (points,), y (points,) and the losses (y, x, T) over the problem's window."""
    x, y = (torch.linspace(low, high, points, dtype=torch.float64) for low, high in problem.window)
    plane = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return x.numpy(), y.numpy(), problem.losses(plane.unsqueeze(-2))


def arrow(uid: str, color: str, dash: str = "solid", **options) -> go.Scatter:
    """Draw an arrow from its first point to its last."""
    return go.Scatter(
        uid=uid,
        mode="lines+markers",
        x=[0, 0],
        y=[0, 1],
        line=dict(color=color, dash=dash, width=3.5),
        marker=dict(symbol="arrow", angleref="previous", size=[0, 16], color=color, opacity=1),
        **options,
    )


def front(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the Pareto front and their losses, (N, 2) each."""
    points = problem.front()
    return points.numpy(), problem.losses(points.unsqueeze(-2)).numpy()


def where_starts_end(
    problem: Problem, methods: Mapping[str, Method], starts: torch.Tensor, **options
) -> go.Figure:
    """Draw starts as dots and their ends as markers, one panel per method.

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
        for trace in contours(problem):
            figure.add_trace(trace.update(showlegend=bool(trace.showlegend) and k == 1), 1, k)
        line = dict(color="black", dash="dot", width=3)
        x, y = front(problem)[0].T
        figure.add_scatter(
            x=x, y=y, mode="lines", line=line, name="Pareto front", showlegend=k == 1, row=1, col=k
        )
        looks = {
            "start": (starts, dict(size=5, color="#444444")),
            "end": (end, dict(size=10, color=PATH, symbol="diamond", line=dict(width=1, color="black"))),
        }
        for name, (points, marker) in looks.items():
            x, y = np.asarray(points).round(3).T
            figure.add_trace(
                go.Scatter(x=x, y=y, mode="markers", name=name, marker=marker, showlegend=k == 1), 1, k
            )
    (left, right), (bottom, top) = problem.window
    figure.update_xaxes(range=[left, right]).update_yaxes(range=[bottom, top])
    return figure.update_layout(template=TEMPLATE, height=520, margin=dict(t=90, b=40))


def _small(z: torch.Tensor) -> np.ndarray:
    return z.float().numpy().round(4)
