"""The snapshot instrument: one ρ on the recorded gradients of a real run."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...diagnostics import cosines_of_gramian, rule_cosine
from ..figures.axes import whole_decades
from ..figures.style import GREEN, ORANGE, PARTS, TASK_DASHES, TASK_SYMBOLS, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import conflict_text, degrees_text
from .parts.marks import edged_marker
from .parts.opening import open_stage, position
from .parts.panels import DEGREES, Axes, panel_figure
from .parts.points import curve_points, lines_with_gaps
from .parts.recorded import Snapshots, read_snapshots, shorten
from .parts.weighing import GRAMIAN_METHODS, METHODS

LEFT, RIGHT = (0.17, 0.48), (0.6, 1)


def snapshot_instrument(
    snapshots: Mapping[str, Mapping] | Sequence[Mapping],
    tasks: Sequence[str] | None = None,
    rho: float | None = None,
    method: str = "cagrad",
    shown: str | None = None,
    after: Prediction | None = None,
) -> Stage:
    """Move the angles of all parts, their norms, the losses at θ+ε, and the angle of two rules with one ρ.

    All numbers come from the recorded Gramians [loss; flat][loss; flat]ᵀ. A recorded ρ of 0 has no flat
    part. The axes of ρ are logarithmic, so it is left out.

    Args:
        snapshots: "snapshot" lines of a run's log, named by their epochs; or name -> line, to compare runs.
            Each line holds "rho", "losses" (T,), "perturbed_losses" (radii, T) and "gramians"
            (radii, 2T, 2T). There are two to four tasks. The tasks and the radii are the same in all lines.
        tasks: names of the tasks; "task 1", ... by default.
        rho: the slider begins at the recorded radius nearest to this ρ; by default at the smallest.
        method: the aggregator whose decomposed and direct directions are compared. It is a key of
            ``flatmtl_lite.AGGREGATORS`` that works on the Gramian.
        shown: name of the snapshot to begin with; the last by default.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: there is no snapshot, one does not fit the others, a name is unknown, or ρ lies outside
            the recorded radii.
    """
    if method not in METHODS:
        raise ValueError(f"Got method={method!r}; expected one of {', '.join(METHODS)}.")
    lines = shorten(snapshots)
    rhos, recorded = read_snapshots(lines)
    T = len(next(iter(lines.values()))["losses"])
    tasks = [f"task {k + 1}" for k in range(T)] if tasks is None else list(tasks)
    if len(tasks) != T:
        raise ValueError(f"Got tasks={tasks} for snapshots of {T} tasks; expected a name for each.")
    agreement = {name: rule_cosines(snapshot["gramians"], method) for name, snapshot in recorded.items()}
    braced = repr(lines).replace("{", "{{").replace("}", "}}")
    return open_stage(
        _figure(rhos, recorded, agreement, tasks, method),
        partial(_table, rhos, recorded, agreement, method),
        recipe=f"lab.snapshot_instrument({braced}, {tasks!r}, {{value}}, {method!r}, {{choice}})",
        title="Snapshot instrument",
        label="ρ",
        values=[f"{value:.7g}" for value in rhos.tolist()],
        index=0 if rho is None else position(rho, rhos, "rho"),
        choices=list(recorded),
        choice=list(recorded)[-1] if shown is None else shown,
        choice_label="snapshot",
        after=after,
    )


def rule_cosines(gramians: Tensor, method: str) -> Tensor:
    """Return the cosine of the decomposed and the direct direction at every radius: (R, 2T, 2T) -> (R,)."""
    make = GRAMIAN_METHODS[method]
    cosines = [rule_cosine(M, make(), "decomposed", "direct") for M in gramians]
    return torch.tensor(cosines, dtype=torch.float64)


def gramian_angles(gramians: Tensor) -> dict[str, Tensor]:
    """Return angles in degrees at every radius from Gramians (R, 2T, 2T).

    "loss" (1, pairs) and "flat" (R, pairs) are the angles between tasks; "intra" (R, T) are the angles
    within each task. The angle of a part that is 0 is NaN.
    """
    T = gramians.shape[-1] // 2
    absent = gramians.diagonal(dim1=-2, dim2=-1).sqrt() == 0
    C = cosines_of_gramian(gramians).masked_fill(absent.unsqueeze(-1) | absent.unsqueeze(-2), torch.nan)
    degrees = torch.rad2deg(torch.acos(C))
    i, j = torch.triu_indices(T, T, offset=1)
    return {
        "loss": degrees[:1, i, j],
        "flat": degrees[:, T + i, T + j],
        "intra": degrees[:, range(T), range(T, 2 * T)],
    }


def _table(
    rhos: Tensor, recorded: Snapshots, agreement: Mapping[str, Tensor], method: str, choice: str
) -> Table:
    gramians, perturbed_losses = recorded[choice]["gramians"], recorded[choice]["perturbed_losses"]
    T = perturbed_losses.shape[-1]
    angles = gramian_angles(gramians)
    norms = gramians.diagonal(dim1=-2, dim2=-1).sqrt()
    traces = _angle_traces(angles) | _curve("same", rhos, agreement[choice])
    for k in range(T):
        traces[f"loss-norm-{k}"] = torch.stack([rhos[[0, -1]], norms[0, k].expand(2)], -1)[None]
        traces |= _curve(f"norms-{k}", rhos, norms[:, T + k])
        traces |= _curve(f"losses-{k}", rhos, perturbed_losses[:, k])
    widest = {part: angles[part].nan_to_num(-1).amax(-1).tolist() for part in ("loss", "flat")}
    states = [
        f"ρ = {value:.7g}, {choice}: flat parts up to {_angle_text(flat)} apart, loss parts up to "
        f"{_angle_text(widest['loss'][0])}; flat to loss norm {', '.join(f'{r:.2g}' for r in ratios)}; "
        f"cos(decomposed, direct) {cosine:.3f} for {method}."
        for value, flat, ratios, cosine in zip(
            rhos.tolist(),
            widest["flat"],
            (norms[:, T:] / norms[:, :T]).tolist(),
            agreement[choice].tolist(),
            strict=True,
        )
    ]
    return Table(traces, states)


def _angle_traces(angles: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the dots of all angles, one row per pair and per task, with stems from 90°."""
    traces = {}
    for part, shift in (("loss", -0.16), ("flat", 0.16), ("intra", angles["loss"].shape[1])):
        height = (torch.arange(angles[part].shape[1]) + shift).expand_as(angles[part])
        dots = torch.stack([angles[part], height], -1)
        right = torch.stack([torch.full_like(height, 90), height], -1)
        traces[part], traces[f"{part}-stems"] = dots, lines_with_gaps(torch.stack([right, dots], 2))
    return traces


def _curve(uid: str, rhos: Tensor, values: Tensor) -> dict[str, Tensor]:
    return dict(zip((uid, f"{uid}-here"), curve_points(rhos, values), strict=True))


def _angle_text(angle: float) -> str:
    return degrees_text(math.nan if angle < 0 else angle) + conflict_text(angle)


def _figure(
    rhos: Tensor, recorded: Snapshots, agreement: Mapping[str, Tensor], tasks: Sequence[str], method: str
) -> go.Figure:
    T = len(tasks)
    rows = [f"{tasks[i]}, {tasks[j]}" for i, j in torch.triu_indices(T, T, offset=1).T.tolist()]
    rows += [f"within {task}" for task in tasks]
    lowest = torch.cat(list(agreement.values())).min().item()
    figure, axes = _panels(rhos, recorded, rows, lowest, method)
    figure.update_layout(height=600, margin_b=50, legend_y=1.05, legend2=dict(x=RIGHT[0], y=1.05))
    shaded = dict(x=[90, 180, 180, 90], y=[-0.5, -0.5, len(rows) - 0.5, len(rows) - 0.5], fill="toself")
    shaded |= dict(fillcolor="rgba(213, 94, 0, 0.12)", line_width=0, mode="lines", showlegend=False)
    figure.add_scatter(**shaded, **axes["angles"])
    for part, name, color, symbol in (
        ("loss", "loss parts", PARTS["loss"]["color"], "circle"),
        ("flat", "flat parts", PARTS["flat"]["color"], "diamond"),
        ("intra", "loss to flat", ORANGE, "square"),
    ):
        stem = dict(mode="lines", line=dict(color=color, width=3), showlegend=False)
        figure.add_scatter(uid=f"{part}-stems", **stem, **axes["angles"])
        dots = dict(mode="markers", marker=edged_marker(color, symbol), name=name)
        figure.add_scatter(uid=part, **dots, **axes["angles"])
    for k, task in enumerate(tasks):
        look = dict(color=TASKS[k], dash=TASK_DASHES[k])
        thin = dict(mode="lines", line=look | dict(width=1.5), showlegend=False)
        figure.add_scatter(uid=f"loss-norm-{k}", **thin, **axes["norms"])
        for panel in ("norms", "losses"):
            legend = dict(name=task, legend="legend2", showlegend=panel == "norms")
            _add_curve(figure, f"{panel}-{k}", look, TASK_SYMBOLS[k], axes[panel], **legend)
    _add_curve(figure, "same", dict(color=GREEN), "triangle-down", axes["same"], showlegend=False)
    return figure


def _add_curve(figure: go.Figure, uid: str, look: dict, symbol: str, axes: Mapping, **legend) -> None:
    figure.add_scatter(uid=uid, mode="lines", line=look | dict(width=3), **legend, **axes)
    marker = edged_marker(look["color"], symbol)
    here = dict(mode="markers", marker=marker, cliponaxis=False, showlegend=False)
    figure.add_scatter(uid=f"{uid}-here", **here, **axes)


def _panels(
    rhos: Tensor, recorded: Snapshots, rows: Sequence[str], lowest: float, method: str
) -> tuple[go.Figure, Axes]:
    losses = torch.cat([snapshot["perturbed_losses"] for snapshot in recorded.values()])
    squares = torch.cat([snapshot["gramians"].diagonal(dim1=-2, dim2=-1) for snapshot in recorded.values()])
    room = 0.15 * (1 - lowest) + 1e-4
    ticks = rhos[torch.linspace(0, len(rhos) - 1, min(len(rhos), 5)).round().long()].tolist()
    ends = rhos[[0, -1]].log10()
    reach = [ends[0].item() - 0.05, ends[1].item() + 0.05]
    along = dict(type="log", range=reach, tickvals=ticks, ticktext=[f"{rho:.2g}" for rho in ticks])
    return panel_figure(
        [],
        angles=dict(
            x=LEFT,
            y=(0.4, 1),
            title="angles in degrees (shaded: conflict)",
            xaxis=DEGREES,
            yaxis=dict(range=[len(rows) - 0.5, -0.5], tickvals=list(range(len(rows))), ticktext=rows),
        ),
        same=dict(
            x=LEFT,
            y=(0.04, 0.24),
            title=f"cos(decomposed, direct), {method}",
            xaxis=along | dict(title="ρ"),
            yaxis=dict(range=[lowest - room, 1 + room], nticks=4),
        ),
        norms=dict(
            x=RIGHT,
            y=(0.59, 1),
            title="norms of the flat parts (thin: loss parts)",
            xaxis=along,
            yaxis=whole_decades(squares[squares > 0].sqrt()),
        ),
        losses=dict(
            x=RIGHT,
            y=(0.04, 0.45),
            title="losses at θ+ε",
            xaxis=along | dict(title="ρ"),
            yaxis=dict(range=[0, 1.08 * losses.max().item()]),
        ),
    )
