"""The descent instrument: one slider walks down a path."""

from collections.abc import Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...decomposition import Decomposition, erm
from ...diagnostics import cosines
from ...toy import Method, Problem, descend
from ..figures.arrows import arrow
from ..figures.landscape import front, grid
from ..figures.style import BLACK, GREY, PATH, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import conflict_text
from .parts.arrows import arrow_points
from .parts.marks import add_edged_line, add_handle, edged_marker
from .parts.opening import POSITIONS, find_problem, open_stage, position
from .parts.panels import DEGREES, RIGHT, UNIT, Axes, landscape_panels
from .parts.points import growing_curve

# Each table makes a new method, so that an aggregator with random draws begins with the same seed.
DESCENTS = {"mean": lambda: Method(Mean(), "erm"), "PCGrad": lambda: Method(PCGrad(), "erm")}
# uid of an arrow -> its name in the legend, its colour, its dash
ARROWS = {
    "gradient-1": ("task 1", TASKS[0], "solid"),
    "gradient-2": ("task 2", TASKS[1], "dash"),
    "direction": ("direction", BLACK, "dot"),
}


def descent_instrument(
    problem: str = "ridges",
    step: int = 0,
    start: Sequence[float] | None = None,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Walk down a path with one slider: the gradients, their angle, the losses and the Pareto front.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``, with two tasks.
        step: the slider begins at its position nearest to this step.
        start: the point where the descent begins, (x, y). The learner can drag it.
        method: "mean" or "PCGrad".
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or the step or the start lies outside the picture.
    """
    landscape = find_problem(problem, tasks=2)
    steps = torch.linspace(0, landscape.steps, POSITIONS, dtype=torch.float64).round().long()
    return open_stage(
        _figure(landscape),
        partial(_table, landscape, steps),
        recipe=f"lab.descent_instrument({problem!r}, step={{value}}, start={{point}}, method={{choice}})",
        title="Descent instrument",
        label="step",
        values=[str(s) for s in steps.tolist()],
        index=position(step, steps, "step"),
        choices=list(DESCENTS),
        choice=method,
        points={"start": landscape.starts[0] if start is None else start},
        after=after,
    )


def _table(landscape: Problem, steps: Tensor, choice: str, point: tuple[float, float]) -> Table:
    method = DESCENTS[choice]()
    path = descend(landscape, torch.tensor(point, dtype=torch.float64), 0.0, [method])[0]
    G = landscape.gradients(path.unsqueeze(-2))
    direction = erm(Decomposition(G), method.aggregate)
    degrees = torch.rad2deg(torch.acos(cosines(G)[:, 0, 1]))
    rows = torch.cat([G, direction.unsqueeze(-2)], -2)[steps]
    rows = rows / rows.norm(dim=-1, keepdim=True).amax(-2, keepdim=True).clamp_min(1e-12)
    losses = landscape.losses(path.unsqueeze(-2))
    angle_by_step = torch.stack([torch.arange(len(path), dtype=path.dtype), degrees], -1)
    traces = {}
    for uid, points in (("here", path), ("losses", losses), ("angle", angle_by_step)):
        traces[uid], traces[f"{uid}-trail"] = points[steps].unsqueeze(1), growing_curve(points[steps])
    traces |= {f"{uid}-edge": traces[uid] for uid in ("here-trail", "losses-trail")}
    traces |= {uid: arrow_points(row) for uid, row in zip(ARROWS, rows.unbind(1), strict=True)}
    states = [
        f"Step {s} of {choice} at ({x:.2f}, {y:.2f}): gradients {a:.0f}° apart{conflict_text(a)}; "
        f"losses {first:.2f} and {second:.2f}."
        for s, (x, y), a, (first, second) in zip(
            steps.tolist(),
            (path[steps].round(decimals=2) + 0.0).tolist(),
            degrees[steps].tolist(),
            losses[steps].tolist(),
            strict=True,
        )
    ]
    return Table(traces, states)


def _figure(landscape: Problem) -> go.Figure:
    figure, axes = _panels(landscape)
    for points, panel in zip(front(landscape), ("landscape", "plane"), strict=True):
        dots = dict(mode="lines", line=dict(color=BLACK, dash="dot", width=3), showlegend=False)
        figure.add_scatter(x=points[:, 0], y=points[:, 1], **dots, **axes[panel])
    add_handle(figure, axes["landscape"])
    add_edged_line(figure, "here-trail", axes["landscape"], name="path")
    add_edged_line(figure, "losses-trail", axes["plane"], showlegend=False)
    grey = dict(color=GREY, width=3)
    figure.add_scatter(uid="angle-trail", mode="lines", line=grey, showlegend=False, **axes["angle"])
    marker = edged_marker(PATH, size=13, edge=2)
    here = dict(mode="markers", marker=marker, cliponaxis=False, showlegend=False)
    for uid, panel in (("here", "landscape"), ("losses", "plane"), ("angle", "angle")):
        figure.add_scatter(uid=uid, **here, **axes[panel])
    for uid, (name, color, dash) in ARROWS.items():
        figure.add_trace(arrow(uid, color, dash, name=name, legend="legend2", **axes["gradients"]))
    return figure


def _panels(landscape: Problem) -> tuple[go.Figure, Axes]:
    losses = grid(landscape)[2].flatten(0, 1)
    least, most = losses.amin(0), losses.quantile(0.98, 0)
    low, high = (least - 0.05 * (most - least)).tolist(), most.tolist()
    return landscape_panels(
        landscape,
        gradients=dict(x=(RIGHT, 0.75), y=(0.56, 1), title="gradients here", **UNIT),
        angle=dict(
            x=(0.82, 1),
            y=(0.62, 1),
            title="their angle",
            xaxis=dict(range=[0, landscape.steps], title="step"),
            yaxis=DEGREES,
        ),
        plane=dict(
            x=(0.6, 1),
            y=(0.02, 0.42),
            title="the two losses; dotted: Pareto front",
            xaxis=dict(range=[low[0], high[0]], title="loss of task 1"),
            yaxis=dict(range=[low[1], high[1]], title="loss of task 2"),
        ),
    )
