"""Define multi-task problems with two parameters and closed-form gradients."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .steps import Step, adam_steps, sgd_steps


class Problem:
    """T losses of a point in the plane. Each task has its own point, because SAM moves the tasks apart.

    Attributes:
        name: key in ``PROBLEMS``.
        tasks: T.
        window: ((left, right), (bottom, top)), the part of the plane to draw.
        starts: points (x, y) to start from, the most telling first.
        basins: (T, K, 2), a point in the basin of each local minimum of each task.
        optimizer: makes from parameters and a learning rate what steps them, see ``steps.py``.
        lr: that learning rate.
        steps: step count that ends at rest, or on the Pareto front, from every start.
        rho: the largest radius worth trying.
    """

    name: str
    tasks: int
    window: tuple[tuple[float, float], tuple[float, float]]
    starts: tuple[tuple[float, float], ...]
    basins: Tensor
    optimizer: Callable[[Tensor, float], Step] = staticmethod(sgd_steps)
    lr: float
    steps: int
    rho: float

    def losses(self, points: Tensor) -> Tensor:
        """Return losses (..., T) at points (..., T, 2), or (..., 1, 2) for one point for all tasks."""
        raise NotImplementedError

    def gradients(self, points: Tensor) -> Tensor:
        """Return gradients (..., T, 2) at points (..., T, 2), or (..., 1, 2) for one point for all tasks."""
        raise NotImplementedError

    def front(self, points: int = 57) -> Tensor:
        """Return points (points, 2) of the Pareto front, or (0, 2) if no formula is known."""
        return torch.empty(0, 2, dtype=torch.float64)

    def minima(self) -> list[Tensor]:
        """Return the local minima (n, 2) of each task in the window, found by descent from ``basins``."""
        points = self.basins.clone()  # (T, K, 2), one row per task
        for _ in range(300):
            tasks = points.transpose(0, 1)
            points -= 0.03 * self.gradients(tasks).transpose(0, 1)
        kept = []
        for ends in points:
            apart = (torch.cdist(ends, ends) < 0.05).triu(1).any(0)
            kept.append(ends[~apart])
        return kept


class Ridges(Problem):
    """The toy problem of CAGrad and Nash-MTL: one log valley per task above, one bowl per task below.

    Above the line y = 0 each task has a valley of its own. Along it the other task's loss barely matters,
    and gradients conflict. Below lie two bowls with centres (7, -8) and (-7, -8). Their Pareto front is about
    the segment between the centres (Liu et al., NeurIPS 2021, arXiv 2110.14048; Navon et al., ICML 2022,
    arXiv 2202.01017).
    """

    name = "ridges"
    tasks = 2
    window = ((-11.0, 11.0), (-11.0, 11.0))
    starts = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
    # the walls of the valleys are steep, and Adam must forget them soon to take long steps in the bowls
    optimizer = staticmethod(partial(adam_steps, betas=(0.5, 0.9)))
    lr = 0.3
    steps = 160
    rho = 2.0

    basins = torch.tensor([[(7.0, -8.41)], [(-7.0, -8.41)]], dtype=torch.float64)

    _side = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def losses(self, points: Tensor) -> Tensor:
        x, y = points.unbind(-1)
        valley, _ = self._valley(x, y.tanh())
        height = torch.tanh(y / 2)
        return height.clamp_min(0) * valley + (-height).clamp_min(0) * self._bowl(x - 7 * self._side, y + 8)

    def gradients(self, points: Tensor) -> Tensor:
        x, y = points.unbind(-1)
        tanh, height = y.tanh(), torch.tanh(y / 2)
        valley, u = self._valley(x, tanh)
        right, up = x - 7 * self._side, y + 8
        above = height.clamp_min(0)
        below = above - height
        steep = above * u.reciprocal().masked_fill(u.abs() <= 5e-6, 0.0)
        bent = (1 - height * height) / 2
        dx = below * right / 5 - steep / 2
        dy = (
            steep * (self._side * (1 - tanh * tanh))
            + below * up / 50
            + bent * ((y >= 0) * valley - (y <= 0) * self._bowl(right, up))
        )
        return torch.stack([dx, dy], -1)

    def front(self, points: int = 57) -> Tensor:
        """Return points (points, 2) of the Pareto front between the bowls, where a mean of losses is least.

        On the front the gradients oppose each other. At x this holds for the weights (7 + x)/14 and
        (7 - x)/14. Their mean loss has one minimum in y, which bisection finds.
        """
        x = torch.linspace(-7, 7, points, dtype=torch.float64)
        weights = torch.stack([7 + x, 7 - x], -1) / 14
        low, high = torch.full_like(x, -10.0), torch.full_like(x, -5.0)
        for _ in range(40):
            y = (low + high) / 2
            slope = self.gradients(torch.stack([x, y], -1).unsqueeze(-2))[..., 1]
            rises = (weights * slope).sum(-1) > 0
            low, high = torch.where(rises, low, y), torch.where(rises, y, high)
        return torch.stack([x, y], -1)

    def _valley(self, x: Tensor, tanh: Tensor) -> tuple[Tensor, Tensor]:
        u = self._side * (tanh - 3.5) - x / 2
        return u.abs().clamp_min(5e-6).log() + 6, u

    @staticmethod
    def _bowl(right: Tensor, up: Tensor) -> Tensor:
        return (right * right + 0.1 * (up * up)) / 10 - 20


class Wells(Problem):
    """Bowls with Gaussian wells sunk into them, L = ‖a(θ - m)‖²/2 - Σₖ dₖ exp(-‖(θ - cₖ)/sₖ‖²/2).

    Attributes:
        bowls: per task a and m, (T, 2, 2).
        wells: per task and well the centre c, the widths s, and the depth d twice, (T, K, 3, 2).
    """

    bowls: Tensor
    wells: Tensor

    def __init__(self) -> None:
        # the coordinates of all tasks stand side by side (..., 2T), and every sum over a few numbers is a
        # product with a constant matrix, which is many times quicker for many points
        T, K = self.wells.shape[:2]
        self.basins = self.wells[..., 0, :]
        a, m = self.bowls.unbind(-2)
        c, s, d = self.wells.unbind(-2)
        self._stretch, self._bowl_at = a.flatten(), (a * m).flatten()
        self._task_sum, self._well_sum = _sums(T, 2), _sums(T, K)
        self._pair_sum = _sums(T * K, 2)
        self._to_wells = torch.block_diag(*[torch.cat([w.diag() for w in one]) for one in 1 / s])
        self._well_at, self._depth = (c / s).flatten(), d[..., 0].flatten()

    def losses(self, points: Tensor) -> Tensor:
        scaled, _, depth = self._parts(points)
        return scaled * scaled @ self._task_sum / 2 - depth @ self._well_sum

    def gradients(self, points: Tensor) -> Tensor:
        scaled, z, depth = self._parts(points)
        pull = depth @ self._pair_sum.mT * z @ self._to_wells
        return torch.addcmul(pull, scaled, self._stretch).unflatten(-1, (self.tasks, 2))

    def _parts(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a(θ - m) (..., 2T), the wells' (θ - c)/s (..., 2TK), and their depths at θ (..., TK)."""
        points = points.expand(*points.shape[:-2], self.tasks, 2).flatten(-2)
        z = torch.nn.functional.linear(points, self._to_wells, -self._well_at)
        depth = self._depth * (-0.5 * (z * z @ self._pair_sum)).exp()
        return points * self._stretch - self._bowl_at, z, depth


def _sums(groups: int, size: int) -> Tensor:
    """Return the matrix (groups * size, groups) that sums groups of neighbouring columns."""
    return torch.eye(groups, dtype=torch.float64).repeat_interleave(size, 0)


class Valleys(Wells):
    """Two tasks that share a sharp valley at the left and a flat one at the right.

    The mean loss is a little lower in the sharp valley. In each valley the tasks' minima lie a little apart,
    so their gradients conflict there. From the first start plain descent ends in the sharp valley, and SAM
    with ρ >= 0.4 ends in the flat one.
    """

    name = "valleys"
    tasks = 2
    window = ((-2.4, 2.6), (-2.0, 2.0))
    starts = ((-1.1, 1.2), (-1.9, 1.5), (-1.9, -1.0), (0.5, 1.6))
    lr = 0.13
    steps = 60
    rho = 1.0

    bowls = torch.tensor([[(0.42, 0.42), (1.5, -0.45)], [(0.42, 0.42), (1.5, 0.19)]], dtype=torch.float64)
    wells = torch.tensor(
        [
            [[(-1.165, -0.055), (0.38, 0.41), (1.6, 1.6)], [(1.02, -1.04), (0.95, 0.7), (1.1, 1.1)]],
            [[(-1.035, -0.185), (0.38, 0.41), (1.6, 1.6)], [(1.38, -0.68), (0.95, 0.7), (1.1, 1.1)]],
        ],
        dtype=torch.float64,
    )


class Triangle(Wells):
    """Three tasks with their own minima, gradients of unlike length, and strong conflict.

    From the first start direct and decomposed PCGrad end about one unit apart for ρ between 0.5 and 1.
    """

    name = "triangle"
    tasks = 3
    window = ((-2.4, 2.4), (-2.0, 2.0))
    starts = ((-1.8, 1.3), (1.8, 1.4), (0.0, -1.8))
    lr = 0.09
    steps = 60
    rho = 1.0

    bowls = torch.tensor(
        [[(0.5, 0.8), (1.24, 0.13)], [(0.48, 1.37), (-1.12, 0.52)], [(1.4, 0.7), (0.34, -1.07)]],
        dtype=torch.float64,
    )
    wells = torch.tensor(
        [
            [[(1.24, 0.13), (0.46, 0.44), (0.12, 0.12)]],
            [[(-1.12, 0.52), (0.5, 0.97), (0.8, 0.8)]],
            [[(0.34, -1.07), (0.66, 0.65), (1.5, 1.5)]],
        ],
        dtype=torch.float64,
    )


class Line(Wells):
    """One task on a line: a sharp valley at x = -1 and a flat one at x = 1.1, about equally deep.

    The second coordinate rests. The optimizer has momentum, like a ball that rolls. From its start plain
    descent ends in the sharp valley, and SAM with ρ = 0.5 ends in the flat one. Without momentum SAM stops
    just beyond the sharp valley, where it looks back at its bottom.
    """

    name = "line"
    tasks = 1
    window = ((-2.6, 2.9), (-1.0, 1.0))
    starts = ((-2.3, 0.0),)
    optimizer = staticmethod(partial(sgd_steps, momentum=0.8))
    lr = 0.04
    steps = 80
    rho = 1.0

    bowls = torch.tensor([[(0.5, 0.5), (1.0, 0.0)]], dtype=torch.float64)
    wells = torch.tensor(
        [[[(-1.0, 0.0), (0.12, 1.0), (0.9, 0.9)], [(1.2, 0.0), (0.9, 1.0), (0.4, 0.4)]]], dtype=torch.float64
    )


LINE = Line()
PROBLEMS = {cls.name: cls() for cls in (Ridges, Valleys, Triangle)}
