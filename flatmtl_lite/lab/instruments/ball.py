"""The ball instrument: sharpness is the rise of the loss within a ball."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...diagnostics import ascent
from ...perturbation import worst_case
from ...toy import Problem
from ..figures.landscape import grid
from ..figures.style import BLACK, FLAT, SAM
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.curve import OldCurves
from .parts.cut import Cut
from .parts.labels import Labels
from .parts.landscape import Landscape
from .parts.opening import POSITIONS, find_problem, menu, open_stage, sentences, slider
from .parts.path import Ball, Climb, Looks, draw_handle
from .parts.picture import Picture

# name of a choice -> the task whose loss it is (None: the mean of all), and True for adaptive SAM's ellipse
BALLS = {
    "mean loss": (None, False),
    "task 1": (0, False),
    "task 2": (1, False),
    "mean loss, adaptive": (None, True),
}
Map = Callable[[Tensor], Tensor]
STEPS = {"one step": SAM, "ten steps": FLAT}


def ball_instrument(
    problem: str = "valleys",
    rho: float = 0.0,
    point: Sequence[float] | None = None,
    loss: str = "mean loss",
    after: Prediction | None = None,
) -> Stage:
    """Show the ball ‖ε‖ <= ρ, the worst point in it by one step and by ten steps, and the rise of the loss.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``, with two tasks.
        rho: the slider begins at its position nearest to this ρ.
        point: θ, the centre of the ball, (x, y). The learner can drag it, or type it.
        loss: one of ``BALLS``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the point lies outside the picture.
    """
    landscape = find_problem(problem, tasks=2)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    recipe = f"lab.ball_instrument({problem!r}, rho={{value}}, point={{point}}, loss={{choice}})"
    points = {"θ": landscape.starts[0] if point is None else point}
    controls = slider("ρ", rhos, "rho", rho) | menu("loss", BALLS, loss)
    return open_stage("Ball instrument", _View(landscape, rhos), recipe, controls, after, points)


def worst_points(slope: Map, value: Map, theta: Tensor, rhos: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return every point that ten steps of ascent visit, (N, 11, P), and the worst of them, (N, P).

    Args:
        slope: points (N, P) -> gradient of the loss (N, P).
        value: points (..., P) -> loss (...).
        theta: centres of the balls, (N, P).
        rhos: radii, (N,).
        scale: unit of the steps, (N, P): 1, or |θ| for adaptive SAM.
    """

    def scaled_slope(u: Tensor) -> Tensor:
        return scale * slope(theta + scale * u)

    climb = ascent(scaled_slope, torch.zeros_like(theta), rhos.unsqueeze(-1), 10)
    visited = torch.stack([theta + scale * u for u in climb], 1)
    return visited, visited[torch.arange(len(theta)), value(visited).argmax(1)]


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self, landscape: Problem, rhos: Tensor):
        self.landscape, self.rhos = landscape, rhos
        losses = grid(landscape)[2]
        low, high = losses.min().item(), losses.quantile(0.95).item()
        self.plane, self.cut = Landscape(landscape), Cut({"loss": BLACK}, landscape.rho, losses)
        x, y = dict(range=[0, landscape.rho], title="ρ"), dict(range=[0, 0.6 * (high - low)], title="rise")
        rises = {
            "one-rise": ("one step", dict(color=SAM)),
            "ten-rise": ("ten steps", dict(color=FLAT, dash="dash")),
        }
        self.rise = OldCurves("sharpness: the rise within the ball", x, y, rises)
        self.picture = Picture(self.plane, [[self.cut], [self.rise]])
        self.ball, self.climb = Ball(self.plane), Climb(self.plane, "ten", FLAT)
        self.looks = Looks(self.plane, {"one": SAM})
        draw_handle(self.plane)
        self.labels = Labels(self.plane, STEPS, within=True)

    def table(self, choice: str, point: tuple[float, float]) -> Table:
        """Return the table for a loss and a centre of the ball."""
        (task, adaptive), rhos = BALLS[choice], self.rhos

        def of_task(rows: Tensor, dim: int) -> Tensor:
            return rows.mean(dim) if task is None else rows.select(dim, task)

        def value(points: Tensor) -> Tensor:
            return of_task(self.landscape.losses(points.unsqueeze(-2)), -1)

        def slope(points: Tensor) -> Tensor:
            return of_task(self.landscape.gradients(points.unsqueeze(-2)), -2)

        theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
        step = worst_case(slope(theta), rhos.unsqueeze(-1), theta if adaptive else None)
        scale = theta.abs() if adaptive else torch.ones_like(theta)
        visited, worst = worst_points(slope, value, theta, rhos, scale)
        ends = torch.stack([theta + step, worst])
        one, ten = value(ends) - value(theta)
        ball = self.ball.at(theta[0], rhos, adaptive)
        # at ρ = 0 there is no step
        seen = torch.stack([self.looks.seen(theta[0], end)[0] for end in ends])
        shown = seen.masked_fill(rhos[:, None] < 1e-9, torch.nan)
        around = torch.cat([ball["ball"][:, ::4], visited], 1)
        traces = {
            **ball,
            **self.looks.at(theta[0], {"one": theta + step}),
            **self.climb.at(visited, worst),
            **self.rise.at(rhos, {"one-rise": one, "ten-rise": ten}),
            **self.cut.at(value, theta[0], step[-1:], step.norm(dim=-1)),
            **self.labels.at(shown.unbind(), around),
        }
        sentence = (
            "ρ = {rho:.4g}, {choice}: it rises by {one:.3f} after one step, "
            "by up to {ten:.3f} within ten steps."
        )
        return Table(traces, sentences(sentence, choice=choice, rho=rhos, one=one, ten=ten))
