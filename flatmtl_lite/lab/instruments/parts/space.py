"""Gradients in space: a floor, the cone of common descent, and what a camera sees of them."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.arrows import arrow
from ...figures.style import GREY, TASK_DASHES, TASKS
from .arrows import arrow_points
from .points import lines_with_gaps

SPACE = dict(
    x=(0, 0.46),
    y=(0, 1),
    title="",
    equal=True,
    xaxis=dict(range=[-1.5, 1.5], visible=False),
    yaxis=dict(range=[-1.2, 1.8], visible=False),
)
FACE = "rgba(0, 0, 0, 0.08)"


def find_independent(gradients: Sequence[Sequence[float]]) -> Tensor:
    """Return three independent vectors in space as rows (3, 3)."""
    try:
        G = torch.tensor(gradients, dtype=torch.float64)
    except (TypeError, ValueError):
        G = torch.zeros(0)
    if G.shape != (3, 3) or not G.isfinite().all() or torch.linalg.matrix_rank(G) < 3:
        raise ValueError(f"Got gradients={gradients!r}; expected three independent vectors (x, y, z).")
    return G


def cone_rays(G: Tensor) -> Tensor:
    """Return the edges of {d: ⟨gᵢ, d⟩ >= 0 for all i} as unit rows (..., 3, 3).

    A step along edge k helps task k and costs no other task anything.
    """
    rays = torch.linalg.inv(G).mT
    return rays / rays.norm(dim=-1, keepdim=True)


def project(points: Tensor, cameras: Tensor) -> Tensor:
    """Project points (N, n, 3) onto the picture (N, n, 2) of each camera (N,), given in degrees.

    The cameras look from 20° above, without perspective.
    """
    a, up = torch.deg2rad(cameras), torch.deg2rad(torch.tensor(20.0, dtype=torch.float64))
    right = torch.stack([-a.sin(), a.cos(), torch.zeros_like(a)], -1)
    above = torch.stack([-up.sin() * a.cos(), -up.sin() * a.sin(), up.cos().expand_as(a)], -1)
    return points @ torch.stack([right, above], -1)


def add_space(figure: go.Figure, axes: Mapping) -> None:
    """Add a floor, the cone, and the three gradients with plumb lines down to the floor."""
    thin = dict(mode="lines", line=dict(color="#bbbbbb", width=1), showlegend=False)
    figure.add_scatter(uid="floor", **thin, **axes)
    for k in range(3):
        name = dict(name="good for all") if k == 0 else dict(showlegend=False)
        look = dict(mode="lines", line=dict(color=GREY, width=1), fill="toself", fillcolor=FACE)
        figure.add_scatter(uid=f"face-{k}", **look, **name, **axes)
    for k in range(3):
        plumb = dict(mode="lines", line=dict(color=TASKS[k], width=1, dash="dot"), showlegend=False)
        figure.add_scatter(uid=f"plumb-{k}", **plumb, **axes)
        figure.add_trace(arrow(f"gradient-{k}", TASKS[k], TASK_DASHES[k], name=f"task {k + 1}", **axes))


def space_traces(G: Tensor, cameras: Tensor) -> dict[str, Tensor]:
    """Return the points of these traces for gradients (N, 3, 3) and cameras (N,), in degrees."""
    n = len(cameras)
    grid = torch.linspace(-1, 1, 5, dtype=torch.float64)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    along = torch.cartesian_prod(grid, ends).reshape(5, 2, 2)
    floor = torch.cat([along, along.flip(-1)])
    floor = torch.cat([floor, torch.zeros(10, 2, 1)], -1).expand(n, 10, 2, 3)
    traces = {"floor": lines_with_gaps(project(floor.flatten(1, 2), cameras).unflatten(1, (10, 2)))}
    rays = 1.6 * cone_rays(G)
    for k in range(3):
        face = torch.stack([torch.zeros_like(rays[:, 0]), rays[:, k], rays[:, (k + 1) % 3]], 1)
        traces[f"face-{k}"] = project(torch.cat([face, face[:, :1]], 1), cameras)
        shadow = G[:, k] * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
        traces[f"plumb-{k}"] = project(torch.stack([G[:, k], shadow], 1), cameras)
        traces[f"gradient-{k}"] = arrow_points(project(G[:, k : k + 1], cameras)[:, 0])
    return traces
