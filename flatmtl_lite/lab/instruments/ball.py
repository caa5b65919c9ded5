"""The ball instrument: sharpness is the rise of the loss within a ball."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...diagnostics import ascent
from ...perturbation import worst_case
from ...toy import Problem
from ..figures.landscape import loss_range
from ..figures.style import BLACK, FLAT, SAM
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.curve import Curves
from .parts.cut import Cut, Map
from .parts.labels import draw_labels
from .parts.landscape import Landscape
from .parts.opening import POSITIONS, Drawing, find_problem, handles, menu, open_stage, sentences, slider
from .parts.panel import SOLID
from .parts.path import draw_climb, draw_handle, draw_looks, seen_from
from .parts.picture import Picture
from .parts.points import ball

# name of a choice -> the task whose loss it is (None: the mean of all), and True for adaptive SAM's ellipse
BALLS = {
    "mean loss": (None, False),
    "task 1": (0, False),
    "task 2": (1, False),
    "mean loss, adaptive": (None, True),
}


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
    start = landscape.starts[0] if point is None else point
    controls = slider("ρ", rhos, "rho", rho) | menu("loss", BALLS, loss)
    controls |= handles({"θ": start}, landscape.window)
    return open_stage("Ball instrument", recipe, controls, after, _draw, landscape, rhos)


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


def _draw(landscape: Problem, rhos: Tensor, choice: str, point: tuple[float, float]) -> Drawing:
    """Draw the ball, the worst points in it and the rise, for a loss and a centre of the ball."""
    task, adaptive = BALLS[choice]

    def of_task(rows: Tensor, dim: int) -> Tensor:
        return rows.mean(dim) if task is None else rows.select(dim, task)

    def value(points: Tensor) -> Tensor:
        return of_task(landscape.losses(points.unsqueeze(-2)), -1)

    def slope(points: Tensor) -> Tensor:
        return of_task(landscape.gradients(points.unsqueeze(-2)), -2)

    theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
    step = worst_case(slope(theta), rhos.unsqueeze(-1), theta if adaptive else None)
    scale = theta.abs() if adaptive else torch.ones_like(theta)
    visited, worst = worst_points(slope, value, theta, rhos, scale)
    ends = torch.stack([theta + step, worst])
    rises = value(ends) - value(theta)

    plane, rim = Landscape(landscape), ball(theta[0], rhos, adaptive)
    plane.line("ball", SAM, 2.5, "dot", points=rim, meta=SOLID)
    draw_climb(plane, "ten", FLAT, visited, worst)
    draw_looks(plane, theta[0], {"one": (SAM, theta + step)})
    draw_handle(plane)
    # at ρ = 0 there is no step
    seen = [seen_from(plane, theta[0], end)[0].masked_fill(rhos[:, None] < 1e-9, torch.nan) for end in ends]
    things = {"one step": (SAM, seen[0]), "ten steps": (FLAT, seen[1])}
    draw_labels(plane, things, [rim[:, ::4], visited], within=True)

    section = Cut(landscape, {"loss": BLACK}, value, theta[0], step[-1:], step.norm(dim=-1))
    low, high = loss_range(landscape, 0.95)
    x, y = dict(range=[0, landscape.rho], title="ρ"), dict(range=[0, 0.6 * (high - low)], title="rise")
    styles = {
        "one-rise": ("one step", dict(color=SAM)),
        "ten-rise": ("ten steps", dict(color=FLAT, dash="dash")),
    }
    rise = Curves("sharpness: the rise within the ball", x, y, styles, rhos, rises)

    sentence = "ρ = {rho:.4g}, {choice}: it rises by {one:.3f} after one step, "
    sentence += "by up to {ten:.3f} within ten steps."
    words = sentences(sentence, choice=choice, rho=rhos, one=rises[0], ten=rises[1])
    return Picture(plane, [[section], [rise]]), words
