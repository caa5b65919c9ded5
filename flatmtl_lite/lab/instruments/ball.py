"""The ball instrument: sharpness is the rise of the loss within a ball."""

from collections.abc import Callable, Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...diagnostics import ascent
from ...perturbation import worst_case
from ...toy import Problem
from ..figures.landscape import grid
from ..figures.style import BLACK, FLAT, GREY, SAM
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.marks import add_handle, edged_marker
from .parts.opening import POSITIONS, find_problem, open_stage, position
from .parts.panels import landscape_panels
from .parts.points import circle, curve_points

# name of a choice -> the task whose loss it is (None: the mean of all), and True for adaptive SAM's ellipse
BALLS = {
    "mean loss": (None, False),
    "task 1": (0, False),
    "task 2": (1, False),
    "mean loss, adaptive": (None, True),
}
LINES = {
    "ball": ("ball of radius ρ", dict(color=GREY, dash="dot", width=2)),
    "one": ("one step", dict(color=SAM, width=3)),
    "ten": ("ten steps", dict(color=FLAT, width=3, dash="dash")),
}
MARKERS = {"one": edged_marker(SAM, "star", size=13), "ten": edged_marker(FLAT, "diamond", size=13)}


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
        point: θ, the centre of the ball, (x, y). The learner can drag it.
        loss: one of ``BALLS``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the point lies outside the picture.
    """
    landscape = find_problem(problem, tasks=2)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    return open_stage(
        _figure(landscape),
        partial(_table, landscape, rhos),
        recipe=f"lab.ball_instrument({problem!r}, rho={{value}}, point={{point}}, loss={{choice}})",
        title="Ball instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(BALLS),
        choice=loss,
        choice_label="loss",
        points={"θ": landscape.starts[0] if point is None else point},
        after=after,
    )


def worst_points(
    slope: Callable[[Tensor], Tensor],
    value: Callable[[Tensor], Tensor],
    theta: Tensor,
    rhos: Tensor,
    scale: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return every point that ten steps of ascent visit, (N, 11, 2), and the worst of them, (N, 2).

    Args:
        slope: points (N, 2) -> gradient of the loss (N, 2).
        value: points (..., 2) -> loss (...).
        theta: centres of the balls, (N, 2).
        rhos: radii, (N,).
        scale: unit of the steps, (N, 2): 1, or |θ| for adaptive SAM.
    """

    def scaled_slope(u: Tensor) -> Tensor:
        return scale * slope(theta + scale * u)

    climb = ascent(scaled_slope, torch.zeros_like(theta), rhos.unsqueeze(-1), 10)
    visited = torch.stack([theta + scale * u for u in climb], 1)
    return visited, visited[torch.arange(len(theta)), value(visited).argmax(1)]


def _table(landscape: Problem, rhos: Tensor, choice: str, point: tuple[float, float]) -> Table:
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
    ends = {"one": theta + step, "ten": worst}
    rises = {uid: value(end) - value(theta) for uid, end in ends.items()}
    along = torch.linspace(-1, 1, 121, dtype=torch.float64)
    section = value(theta[:1] + landscape.rho * along.unsqueeze(-1) * (step[-1] / landscape.rho))
    traces = {
        "ball": theta[:1] + rhos[:, None, None] * circle(theta[0] if adaptive else None),
        "one": torch.stack([theta, ends["one"]], 1),
        "ten": visited,
        "section": torch.stack([landscape.rho * along, section], -1)[None],
    }
    for uid, end in ends.items():
        traces[f"{uid}-at"] = end.unsqueeze(1)
        distance = (end - theta).norm(dim=-1)
        traces[f"{uid}-loss"] = torch.stack([distance, value(end)], -1).unsqueeze(1)
        traces[f"{uid}-rise"], traces[f"{uid}-here"] = curve_points(rhos, rises[uid])
    states = [
        f"ρ = {rho:.4g}, {choice} at ({point[0]:.2f}, {point[1]:.2f}): it rises by {one:.3f} after one step, "
        f"by {ten:.3f} at the worst point that ten steps find."
        for rho, one, ten in zip(rhos.tolist(), rises["one"].tolist(), rises["ten"].tolist(), strict=True)
    ]
    return Table(traces, states)


def _figure(landscape: Problem) -> go.Figure:
    values = grid(landscape)[2]
    low, high = values.min().item(), values.quantile(0.95).item()
    figure, axes = landscape_panels(
        landscape,
        line=dict(
            x=(0.6, 1),
            y=(0.62, 1),
            title="the loss through θ, along the one step",
            xaxis=dict(range=[-1.05 * landscape.rho, 1.05 * landscape.rho], title="distance from θ"),
            yaxis=dict(range=[low, high], title="loss"),
        ),
        rise=dict(
            x=(0.6, 1),
            y=(0.02, 0.42),
            title="sharpness: rise within the ball, against ρ",
            xaxis=dict(range=[0, landscape.rho], title="ρ"),
            yaxis=dict(range=[0, 0.6 * (high - low)], title="rise"),
        ),
    )
    add_handle(figure, axes["landscape"])
    for uid, (name, line) in LINES.items():
        figure.add_scatter(uid=uid, name=name, mode="lines", line=line, legend="legend2", **axes["landscape"])
    figure.add_scatter(
        uid="section", mode="lines", line=dict(color=BLACK, width=2.5), showlegend=False, **axes["line"]
    )
    for uid, marker in MARKERS.items():
        look = dict(mode="markers", marker=marker, cliponaxis=False, showlegend=False)
        figure.add_scatter(uid=f"{uid}-at", **look, **axes["landscape"])
        figure.add_scatter(uid=f"{uid}-loss", **look, **axes["line"])
        curve = dict(mode="lines", line=LINES[uid][1], showlegend=False)
        figure.add_scatter(uid=f"{uid}-rise", **curve, **axes["rise"])
        figure.add_scatter(uid=f"{uid}-here", **look, **axes["rise"])
    return figure
