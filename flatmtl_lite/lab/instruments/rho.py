"""The ρ instrument: one ρ moves perturbed points, parts of gradients, angles and the path."""

from collections.abc import Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...decomposition import Decomposition
from ...toy import Method, Problem, decompose, descend, epsilon
from ..figures.landscape import arrow
from ..figures.style import BLACK, PARTS, SAM, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import degrees_text, flat_part, part_angles
from .parts.dial import DIAL, add_dial, needles, title_dial_legends
from .parts.marks import add_path
from .parts.opening import POSITIONS, find_problem, open_stage, position
from .parts.panels import DEGREES, RIGHT, UNIT, Axes, landscape_panels
from .parts.points import arrow_points, circle, curve_points, thin_path

# Each table makes a new method, so that an aggregator with random draws begins with the same seed.
FLAT_DESCENTS = {
    "mean, one ε for all": lambda: Method(Mean(), "direct", "mean"),
    "mean, ε per task": lambda: Method(Mean(), "direct"),
    "mean, adaptive ε": lambda: Method(Mean(), "direct", adaptive=True),
    "PCGrad, direct": lambda: Method(PCGrad(), "direct"),
    "PCGrad, decomposed": lambda: Method(PCGrad()),
}


def rho_instrument(
    problem: str = "valleys",
    rho: float = 0.0,
    start: Sequence[float] | None = None,
    method: str = "mean, ε per task",
    after: Prediction | None = None,
) -> Stage:
    """Move the perturbed points, the loss, flat and SAM arrows, the angles and the whole path with one ρ.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``.
        rho: the slider begins at its position nearest to this ρ.
        start: the point where the descent begins, (x, y). The learner can drag it.
        method: one of ``FLAT_DESCENTS``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the start lies outside the picture.
    """
    landscape = find_problem(problem)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    return open_stage(
        _figure(landscape),
        partial(_table, landscape, rhos),
        recipe=f"lab.rho_instrument({problem!r}, rho={{value}}, start={{point}}, method={{choice}})",
        title="ρ instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(FLAT_DESCENTS),
        choice=method,
        points={"start": landscape.starts[0] if start is None else start},
        after=after,
    )


def _table(landscape: Problem, rhos: Tensor, choice: str, point: tuple[float, float]) -> Table:
    method = FLAT_DESCENTS[choice]()
    theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
    d = decompose(landscape, theta, rhos, method)
    path = descend(landscape, theta, rhos, [method])[0]
    eps = epsilon(d.loss, theta, rhos, method).expand_as(d.loss)
    traces = {
        "path-edge": thin_path(path),
        "path": thin_path(path),
        "end": path[:, -1:],
        "ball": theta[:1] + rhos[:, None, None] * circle(theta[0] if method.adaptive else None),
    }
    for k in range(landscape.tasks):
        traces[f"perturbed-{k}"] = torch.stack([theta, theta + eps[:, k]], 1)
    degrees = part_angles(d)
    for uid, angle in degrees.items():
        traces[f"{uid}-needle"] = needles(angle)
        traces[f"{uid}-curve"], traces[f"{uid}-here"] = curve_points(rhos, angle)
    mean_losses = landscape.losses(path[:, -1:]).mean(-1)
    states = [
        f"ρ = {value:.4g}, {choice}: SAM gradients {degrees_text(sams)} apart, "
        f"loss parts {degrees_text(losses)}, flat parts {degrees_text(flats)}. "
        f"The path ends at ({x:.2f}, {y:.2f}), mean loss {mean:.3f}."
        for value, sams, losses, flats, (x, y), mean in zip(
            rhos.tolist(),
            *(degrees[f"between-{part}"].tolist() for part in ("sam", "loss", "flat")),
            path[:, -1].tolist(),
            mean_losses.tolist(),
            strict=True,
        )
    ]
    return Table(traces | _arrows(d), states)


def _arrows(d: Decomposition) -> dict[str, Tensor]:
    """Return the arrows of each task: the loss part, the flat part from its tip, and their sum."""
    longest = torch.cat([d.loss, d.sam], 1).norm(dim=-1).amax()
    loss, flat, sam = (rows / longest for rows in (d.loss, flat_part(d), d.sam))
    traces = {}
    for k in range(loss.shape[1]):
        traces[f"loss-{k}"] = arrow_points(loss[:1, k])
        traces[f"flat-{k}"] = arrow_points(flat[:, k], loss[:, k])
        traces[f"sam-{k}"] = arrow_points(sam[:, k])
    return traces


def _figure(landscape: Problem) -> go.Figure:
    figure, axes = _panels(landscape)
    add_path(figure, axes["landscape"])
    dotted = dict(mode="lines", line=dict(color=SAM, width=2, dash="dot"), showlegend=False)
    figure.add_scatter(uid="ball", **dotted, **axes["landscape"])
    for k in range(landscape.tasks):
        _add_task(figure, axes, k)
    add_dial(figure, axes["dial"])
    title_dial_legends(figure, "between tasks: " if landscape.tasks == 2 else "largest between: ")
    for part, look in PARTS.items():
        _add_angle(figure, axes, f"between-{part}", "SAM" if part == "sam" else part, look, "legend3")
    for k in range(landscape.tasks):
        look = dict(color=TASKS[k], dash="dashdot")
        _add_angle(figure, axes, f"within-{k}", f"task {k + 1}", look, "legend4")
    return figure


def _panels(landscape: Problem) -> tuple[go.Figure, Axes]:
    width = (1 - RIGHT) / landscape.tasks
    arrows = {
        f"task {k + 1}": dict(
            x=(RIGHT + k * width, RIGHT + (k + 1) * width), y=(0.57, 1), title=f"task {k + 1}", **UNIT
        )
        for k in range(landscape.tasks)
    }
    return landscape_panels(
        landscape,
        **arrows,
        dial=dict(x=(RIGHT, 0.74), y=(0.08, 0.47), title="angles at this ρ", **DIAL),
        curve=dict(
            x=(0.81, 1),
            y=(0.08, 0.47),
            title="angle against ρ",
            xaxis=dict(range=[0, landscape.rho], title="ρ"),
            yaxis=DEGREES,
        ),
    )


def _add_task(figure: go.Figure, axes: Axes, k: int) -> None:
    """Add the perturbed point of task k in the landscape, and its three arrows in its own panel."""
    marker = dict(size=[0, 11], color=TASKS[k], symbol="star", line=dict(width=1, color=BLACK))
    look = dict(mode="lines+markers", line=dict(color=TASKS[k], width=2), marker=marker)
    figure.add_scatter(uid=f"perturbed-{k}", name="θ+ε", showlegend=k == 0, **look, **axes["landscape"])
    legend = dict(showlegend=k == 0, legend="legend2")
    for part, colors in PARTS.items():
        name = "SAM = loss + flat" if part == "sam" else part
        trace = arrow(f"{part}-{k}", colors["color"], colors["dash"])
        figure.add_trace(trace.update(name=name, **legend, **axes[f"task {k + 1}"]))


def _add_angle(figure: go.Figure, axes: Axes, uid: str, name: str, look: dict, legend: str) -> None:
    """Add one angle: a needle on the dial, its curve against ρ, and a dot on the curve at this ρ."""
    line = look | dict(width=3)
    figure.add_scatter(uid=f"{uid}-needle", mode="lines", line=line, showlegend=False, **axes["dial"])
    figure.add_scatter(uid=f"{uid}-curve", mode="lines", line=line, name=name, legend=legend, **axes["curve"])
    marker = dict(size=9, color=look["color"], line=dict(width=1.5, color=BLACK))
    here = dict(mode="markers", marker=marker, cliponaxis=False, showlegend=False)
    figure.add_scatter(uid=f"{uid}-here", **here, **axes["curve"])
