"""The descent instrument: one slider walks down a path."""

from collections.abc import Sequence

import torch

from ...aggregation import Mean, PCGrad
from ...decomposition import Decomposition, erm
from ...diagnostics import cosines
from ...toy import Method, descend
from ..figures.landscape import arrow, front, grid
from ..figures.style import BLACK, GREY, PATH, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import (
    DEGREES,
    POSITIONS,
    RIGHT,
    UNIT,
    add_edged_line,
    add_handle,
    arrow_points,
    conflict_text,
    landscape_panels,
    position,
    problem_named,
    staged,
    walked,
)

# made anew for each table: an aggregator that draws at random begins with the same seed
DESCENTS = {"mean": lambda: Method(Mean(), "erm"), "PCGrad": lambda: Method(PCGrad(), "erm")}


def descent_instrument(
    problem: str = "ridges",
    step: int = 0,
    start: Sequence[float] | None = None,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """One slider walks down the path: gradients, their angle, the losses and the Pareto front move along.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``; two tasks.
        step: where the slider begins; the nearest of its positions is taken.
        start: where the descent begins, (x, y); can be dragged.
        method: "mean" or "PCGrad".
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: a name is unknown, or the step or the start lies outside the picture.
    """
    landscape = problem_named(problem, tasks=2)
    steps = torch.linspace(0, landscape.steps, POSITIONS, dtype=torch.float64).round().long()
    losses = grid(landscape)[2].flatten(0, 1)
    low, high = losses.amin(0), losses.quantile(0.98, 0)
    low, high = (low - 0.05 * (high - low)).tolist(), high.tolist()
    figure, on = landscape_panels(
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
    for points, axes in zip(front(landscape), (on["landscape"], on["plane"]), strict=True):
        look = dict(color=BLACK, dash="dot", width=3)
        figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="lines", line=look, showlegend=False, **axes)
    add_handle(figure, on["landscape"])
    here = dict(symbol="circle", size=13, color=PATH, line=dict(width=2, color=BLACK))
    add_edged_line(figure, "here-trail", on["landscape"], name="path")
    add_edged_line(figure, "losses-trail", on["plane"], showlegend=False)
    grey = dict(color=GREY, width=3)
    figure.add_scatter(uid="angle-trail", mode="lines", line=grey, showlegend=False, **on["angle"])
    for uid, panel in (("here", "landscape"), ("losses", "plane"), ("angle", "angle")):
        figure.add_scatter(
            uid=uid, mode="markers", marker=here, cliponaxis=False, showlegend=False, **on[panel]
        )
    names = {"gradient-1": "task 1", "gradient-2": "task 2", "direction": "direction"}
    looks = ((TASKS[0], "solid"), (TASKS[1], "dash"), (BLACK, "dot"))
    for (uid, name), (color, dash) in zip(names.items(), looks, strict=True):
        figure.add_trace(arrow(uid, color, dash, name=name, legend="legend2", **on["gradients"]))

    def compute(choice: str, point: tuple[float, float]) -> Table:
        method = DESCENTS[choice]()
        path = descend(landscape, point, 0.0, [method])[0]
        G = landscape.gradients(path.unsqueeze(-2))
        direction = erm(Decomposition(G), method.aggregate)
        degrees = torch.rad2deg(torch.acos(cosines(G)[:, 0, 1]))
        rows = torch.cat([G, direction.unsqueeze(-2)], -2)[steps]
        rows = rows / rows.norm(dim=-1, keepdim=True).amax(-2, keepdim=True).clamp_min(1e-12)
        values = landscape.losses(path.unsqueeze(-2))
        curve = torch.stack([torch.arange(len(path), dtype=path.dtype), degrees], -1)
        traces = {}
        for uid, points in (("here", path), ("losses", values), ("angle", curve)):
            traces[uid], traces[f"{uid}-trail"] = points[steps].unsqueeze(1), walked(points[steps])
        traces |= {f"{uid}-edge": traces[uid] for uid in ("here-trail", "losses-trail")}
        traces |= {uid: arrow_points(row) for uid, row in zip(names, rows.unbind(1), strict=True)}
        states = [
            f"Step {s} of {choice} at ({x:.2f}, {y:.2f}): gradients {a:.0f}° apart{conflict_text(a)}; "
            f"losses {one:.2f} and {two:.2f}."
            for s, (x, y), a, (one, two) in zip(
                steps.tolist(),
                (path[steps].round(decimals=2) + 0.0).tolist(),
                degrees[steps].tolist(),
                values[steps].tolist(),
                strict=True,
            )
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
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
