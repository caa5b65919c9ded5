"""Steps in space: a floor, the cone of the steps that are good for all, and what a camera sees of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...figures.style import GREY, TASKS
from .arrows import GOOD, draw_arrows
from .panel import Panel
from .points import lines_with_gaps

X, Y = [-1.5, 1.5], [-1.2, 1.8]
EDGE = 1.6  # drawn length of the cone's edges


class Space(Panel):
    """The steps that three tasks want, with plumb lines to a floor, and the cone that is good for all.

    Args:
        steps: (N, 3, 3), as rows.
        cameras: (N,), in degrees.
        turns: True if the slider walks round them. Then a pull with the mouse does so too.
    """

    def __init__(self, steps: Tensor, cameras: Tensor, turns: bool = False):
        super().__init__(x=dict(range=X, visible=False), y=dict(range=Y, visible=False), room=0, ratio=1.0)
        self.turns = turns
        self.line("floor", "#bbbbbb", 1, points=lines_with_gaps(_floor(cameras)))
        rays = EDGE * cone_rays(steps)
        for k in range(3):
            corners = torch.stack([torch.zeros_like(rays[:, 0]), rays[:, k], rays[:, (k + 1) % 3]], 1)
            face = project(torch.cat([corners, corners[:, :1]], 1), cameras)
            self.line(f"face-{k}", GREY, 1, points=face, fill="toself", fillcolor=GOOD)
        for k in range(3):
            shadow = steps[:, k] * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
            plumb = project(torch.stack([steps[:, k], shadow], 1), cameras)
            self.line(f"plumb-{k}", TASKS[k], 1.5, "dot", points=plumb)
        tips = project(steps, cameras)
        origin = torch.zeros_like(tips[:, 0])
        draw_arrows(self, {f"gradient-{k}": (TASKS[k], origin, tips[:, k]) for k in range(3)})


def cone_edges(steps: Tensor, cameras: Tensor) -> Tensor:
    """Return the ends of the cone's edges (N, 3, 2), moved into the panel: places for names."""
    low, high = torch.tensor([X, Y], dtype=torch.float64).T
    return project(EDGE * cone_rays(steps), cameras).clamp(low + 0.1, high - 0.1)


def find_independent(gradients: Sequence[Sequence[float]]) -> Tensor:
    """Return three independent vectors in space as rows (3, 3)."""
    try:
        G = torch.tensor(gradients, dtype=torch.float64)
    except (TypeError, ValueError):
        G = torch.zeros(0)
    if G.shape != (3, 3) or not G.isfinite().all() or torch.linalg.matrix_rank(G) < 3:
        raise ValueError(f"Got gradients={gradients!r}; expected three independent vectors (x, y, z).")
    return G


def cone_rays(steps: Tensor) -> Tensor:
    """Return the edges of {d: ⟨sᵢ, d⟩ >= 0 for all i} as unit rows (..., 3, 3), for steps sᵢ as rows.

    A step along edge k helps task k and costs no other task anything.
    """
    rays = torch.linalg.inv(steps).mT
    return rays / rays.norm(dim=-1, keepdim=True)


def project(points: Tensor, cameras: Tensor) -> Tensor:
    """Project points (N, n, 3) onto the picture (N, n, 2) of each camera (N,), given in degrees.

    The cameras look from 20° above, without perspective.
    """
    a, up = torch.deg2rad(cameras), torch.deg2rad(torch.tensor(20.0, dtype=torch.float64))
    right = torch.stack([-a.sin(), a.cos(), torch.zeros_like(a)], -1)
    above = torch.stack([-up.sin() * a.cos(), -up.sin() * a.sin(), up.cos().expand_as(a)], -1)
    return points @ torch.stack([right, above], -1)


def _floor(cameras: Tensor) -> Tensor:
    """Return the lines (N, 10, 2, 2) of a grid at height 0."""
    grid = torch.linspace(-1, 1, 5, dtype=torch.float64)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    along = torch.cartesian_prod(grid, ends).reshape(5, 2, 2)
    floor = torch.cat([along, along.flip(-1)])
    floor = torch.cat([floor, torch.zeros(10, 2, 1)], -1).expand(len(cameras), 10, 2, 3)
    return project(floor.flatten(1, 2), cameras).unflatten(1, (10, 2))
