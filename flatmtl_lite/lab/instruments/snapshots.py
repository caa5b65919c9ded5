"""The snapshot instrument: one ρ on the recorded gradients of a real run."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import aggregator
from ...diagnostics import cosines_of_gramian, rule_cosine
from ..figures.axes import whole_decades
from ..figures.style import BLACK, GREEN, ORANGE, PARTS, TASK_DASHES, TASK_SYMBOLS, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import DEGREES, conflict_text, degrees_text, panelled, position, staged
from .parts.weighing import METHODS, with_gaps

LEFT, RIGHT = (0.17, 0.48), (0.6, 1)
KEYS = ("rho", "losses", "perturbed_losses", "gramians")


def snapshot_instrument(
    snapshots: Mapping[str, Mapping] | Sequence[Mapping],
    tasks: Sequence[str] | None = None,
    rho: float | None = None,
    method: str = "cagrad",
    shown: str | None = None,
    after: Prediction | None = None,
) -> Stage:
    """One ρ moves the angles between all tasks' parts, their norms, the losses at θ+ε, and two rules apart.

    Everything is read off the recorded Gramians [loss; flat][loss; flat]ᵀ. A recorded ρ of 0, where there
    is no flat part, is left out: the axes of ρ are logarithmic.

    Args:
        snapshots: "snapshot" lines of a run's log, which are then named by their epochs; or name -> line,
            to compare runs. Each holds "rho", "losses" (T,), "perturbed_losses" (radii, T) and "gramians"
            (radii, 2T, 2T). Two to four tasks; the same tasks and radii in all.
        tasks: names of the tasks; "task 1", ... by default.
        rho: where the slider begins, at the nearest recorded radius; the smallest by default.
        method: the aggregator whose decomposed and direct directions are compared, a key of
            ``flatmtl_lite.AGGREGATORS`` that works on the Gramian.
        shown: name of the snapshot to begin with; the last by default.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: no snapshot, one that does not fit the others, an unknown name, or a ρ outside the
            recorded radii.
    """
    if not isinstance(snapshots, Mapping):
        snapshots = {f"epoch {line['epoch']}": line for line in snapshots}
    if method not in METHODS:
        raise ValueError(f"Got method={method!r}; expected one of {', '.join(METHODS)}.")
    kept = {name: {key: _short(line[key]) for key in KEYS} for name, line in snapshots.items()}
    rhos, recorded = _read(kept)
    T = len(next(iter(kept.values()))["losses"])
    tasks = [f"task {k + 1}" for k in range(T)] if tasks is None else list(tasks)
    if len(tasks) != T:
        raise ValueError(f"Got tasks={tasks} for snapshots of {T} tasks; expected a name for each.")
    i, j = torch.triu_indices(T, T, offset=1)
    agreement = {name: _agreement(line["gramians"], method) for name, line in recorded.items()}
    figure = _figure(rhos, recorded, agreement, tasks, method)

    def compute(choice: str) -> Table:
        line = recorded[choice]
        M, same = line["gramians"], agreement[choice]
        norms = M.diagonal(dim1=-2, dim2=-1).sqrt()
        absent = norms == 0
        C = cosines_of_gramian(M).masked_fill(absent.unsqueeze(-1) | absent.unsqueeze(-2), torch.nan)
        degrees = torch.rad2deg(torch.acos(C))
        angles = {
            "loss": degrees[:1, i, j],
            "flat": degrees[:, T + i, T + j],
            "intra": degrees[:, range(T), range(T, 2 * T)],
        }
        traces = {}
        for part, shift in (("loss", -0.16), ("flat", 0.16), ("intra", len(i))):
            height = (torch.arange(angles[part].shape[1]) + shift).expand_as(angles[part])
            tips = torch.stack([angles[part], height], -1)
            right = torch.stack([torch.full_like(height, 90), height], -1)
            traces[part], traces[f"{part}-stems"] = tips, with_gaps(torch.stack([right, tips], 2))
        for k in range(T):
            traces[f"loss-norm-{k}"] = torch.stack([rhos[[0, -1]], norms[0, k].expand(2)], -1)[None]
            for panel, values in (("norms", norms[:, T + k]), ("losses", line["perturbed_losses"][:, k])):
                traces |= _curve(f"{panel}-{k}", rhos, values)
        traces |= _curve("same", rhos, same)
        widest = {part: angles[part].nan_to_num(-1).amax(-1).tolist() for part in ("loss", "flat")}
        ratios = (norms[:, T:] / norms[:, :T]).tolist()
        states = [
            f"ρ = {value:.7g}, {choice}: flat parts up to {_said(flat)} apart, loss parts up to "
            f"{_said(widest['loss'][0])}; flat to loss norm {', '.join(f'{r:.2g}' for r in lengths)}; "
            f"cos(decomposed, direct) {cosine:.3f} for {method}."
            for value, flat, lengths, cosine in zip(
                rhos.tolist(), widest["flat"], ratios, same.tolist(), strict=True
            )
        ]
        return Table(traces, states)

    written = repr(kept).replace("{", "{{").replace("}", "}}")
    return staged(
        figure,
        compute,
        recipe=f"lab.snapshot_instrument({written}, {tasks!r}, {{value}}, {method!r}, {{choice}})",
        title="Snapshot instrument",
        label="ρ",
        values=[f"{value:.7g}" for value in rhos.tolist()],
        index=0 if rho is None else position(rho, rhos, "rho"),
        choices=list(recorded),
        choice=list(recorded)[-1] if shown is None else shown,
        choice_label="snapshot",
        after=after,
    )


def _read(snapshots: Mapping[str, Mapping]) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
    """The radii above 0, (R,), and what each snapshot holds at them, in float64."""
    if not snapshots:
        raise ValueError("Got no snapshot; expected at least one line of a log with kind 'snapshot'.")
    first = next(iter(snapshots.values()))
    rhos, T = torch.tensor(first["rho"], dtype=torch.float64), len(first["losses"])
    if not 2 <= T <= 4 or not (rhos > 0).any():
        raise ValueError(
            f"Got snapshots of {T} tasks at ρ = {first['rho']}; expected two to four tasks and a ρ above 0."
        )
    recorded = {}
    for name, line in snapshots.items():
        held = {key: torch.tensor(line[key], dtype=torch.float64) for key in KEYS}
        shapes = [tuple(held[key].shape) for key in KEYS]
        R = len(rhos)
        expected = [(R,), (T,), (R, T), (R, 2 * T, 2 * T)]
        if shapes != expected or not torch.equal(held["rho"], rhos):
            raise ValueError(
                f"Got {name!r} with radii {line['rho']} and shapes {dict(zip(KEYS, shapes))}; expected radii "
                f"{first['rho']} and shapes {dict(zip(KEYS, expected))}, the same in all snapshots."
            )
        recorded[name] = {key: held[key][rhos > 0] for key in ("perturbed_losses", "gramians")}
    return rhos[rhos > 0], recorded


def _agreement(gramians: Tensor, method: str) -> Tensor:
    """Cosine of the decomposed with the direct direction at every radius: (R, 2T, 2T) -> (R,)."""
    cosines = [rule_cosine(M, aggregator(method), "decomposed", "direct") for M in gramians]
    return torch.tensor(cosines, dtype=torch.float64)


def _figure(
    rhos: Tensor, recorded: Mapping, agreement: Mapping, tasks: Sequence[str], method: str
) -> go.Figure:
    T = len(tasks)
    rows = [f"{tasks[i]}, {tasks[j]}" for i, j in torch.triu_indices(T, T, offset=1).T.tolist()]
    rows += [f"within {task}" for task in tasks]
    losses = torch.cat([line["perturbed_losses"] for line in recorded.values()])
    squares = torch.cat([line["gramians"].diagonal(dim1=-2, dim2=-1) for line in recorded.values()])
    lowest = torch.cat(list(agreement.values())).min().item()
    room = 0.15 * (1 - lowest) + 1e-4
    marked = rhos[torch.linspace(0, len(rhos) - 1, min(len(rhos), 5)).round().long()].tolist()
    ends = rhos[[0, -1]].log10()
    reach = [ends[0].item() - 0.05, ends[1].item() + 0.05]
    along = dict(type="log", range=reach, tickvals=marked, ticktext=[f"{rho:.2g}" for rho in marked])
    figure, on = panelled(
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
    figure.update_layout(height=600, margin_b=50, legend_y=1.05, legend2=dict(x=RIGHT[0], y=1.05))
    shaded = dict(x=[90, 180, 180, 90], y=[-0.5, -0.5, len(rows) - 0.5, len(rows) - 0.5], fill="toself")
    shaded |= dict(fillcolor="rgba(213, 94, 0, 0.12)", line_width=0, mode="lines", showlegend=False)
    figure.add_scatter(**shaded, **on["angles"])
    for part, name, color, symbol in (
        ("loss", "loss parts", PARTS["loss"]["color"], "circle"),
        ("flat", "flat parts", PARTS["flat"]["color"], "diamond"),
        ("intra", "loss to flat", ORANGE, "square"),
    ):
        stem = dict(mode="lines", line=dict(color=color, width=3), showlegend=False)
        figure.add_scatter(uid=f"{part}-stems", **stem, **on["angles"])
        figure.add_scatter(uid=part, mode="markers", marker=_edged(color, symbol), name=name, **on["angles"])
    for k, task in enumerate(tasks):
        look = dict(color=TASKS[k], dash=TASK_DASHES[k])
        thin = dict(mode="lines", line=look | dict(width=1.5), showlegend=False)
        figure.add_scatter(uid=f"loss-norm-{k}", **thin, **on["norms"])
        for panel in ("norms", "losses"):
            named = dict(name=task, legend="legend2", showlegend=panel == "norms")
            _add_curve(figure, f"{panel}-{k}", look, TASK_SYMBOLS[k], on[panel], **named)
    _add_curve(figure, "same", dict(color=GREEN), "triangle-down", on["same"], showlegend=False)
    return figure


def _add_curve(figure: go.Figure, uid: str, look: Mapping, symbol: str, axes: Mapping, **named) -> None:
    figure.add_scatter(uid=uid, mode="lines", line=look | dict(width=3), **named, **axes)
    here = dict(mode="markers", marker=_edged(look["color"], symbol), cliponaxis=False, showlegend=False)
    figure.add_scatter(uid=f"{uid}-here", **here, **axes)


def _curve(uid: str, rhos: Tensor, values: Tensor) -> dict[str, Tensor]:
    """The points of a curve, which rests, and of its marker."""
    points = torch.stack([rhos, values], -1)
    return {uid: points[None], f"{uid}-here": points.unsqueeze(1)}


def _edged(color: str, symbol: str) -> dict:
    return dict(color=color, symbol=symbol, size=12, line=dict(width=1.5, color=BLACK))


def _said(angle: float) -> str:
    return degrees_text(math.nan if angle < 0 else angle) + conflict_text(angle)


def _short(values: float | Sequence) -> float | list:
    """Seven digits, those of float32: the recipe, which carries all of them, stays short."""
    return [_short(value) for value in values] if isinstance(values, Sequence) else float(f"{values:.7g}")
