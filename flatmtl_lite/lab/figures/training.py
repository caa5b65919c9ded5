"""Figures of runs while they train: several methods, each with one log per seed.

Every function takes ``runs``: name of a method -> its logs, one per seed. A log is the list of lines of a
run's ``log.jsonl``. A figure leaves out what a run did not measure. If no run measured it, that is an error.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch

from ...diagnostics import share_in_conflict, sum_by_thirds
from .axes import whole_decades
from .logs import (
    Line,
    NothingToDraw,
    Runs,
    add_band,
    faint,
    lines_with,
    looks,
    over_seeds,
    over_stretches,
    panel_grid,
    panel_titles,
)
from .style import GREY, PARTS, VERMILLION

METRICS = {
    "accuracy": "accuracy, %",
    "nll": "NLL",
    "ece": "ECE, %",
    "brier": "Brier score",
}
KINDS = {
    "loss": "loss parts, between tasks",
    "flat": "flat parts, between tasks",
    "intra": "loss to flat part, within a task",
}
BINS = 20  # of the cosine, in -1..1


def progress_curves(
    runs: Runs, tasks: Sequence[str], metric: str = "accuracy", split: str = "test"
) -> go.Figure:
    """Draw a metric and the training loss by epoch, one column per task: mean of the seeds, band over all.

    Two seeds are two dots.

    Args:
        runs: method -> logs with "evaluation" and "epoch" lines.
        tasks: names of the tasks.
        metric: key of the evaluation's ``split``, with one value per task.
        split: "train", "clean", "val" or "test".

    Raises:
        NothingToDraw: no run was evaluated on this split with this metric.
    """
    evaluated = lines_with(runs, "evaluation", split)
    if not any(metric in line[split] for logs in evaluated.values() for lines in logs for line in lines):
        raise NothingToDraw(
            f"Got runs {list(runs)} without {metric!r} in their {split!r} evaluations; expected one with it."
        )
    figure = panel_grid(
        [[f"{task}: {shown}" for task in tasks] for shown in (split, "training loss")], 250, shared_xaxes=True
    )
    for name, look in looks(runs).items():
        for k in range(len(tasks)):
            results = over_seeds(
                [(line["epoch"], line[split][metric][k]) for line in lines if metric in line[split]]
                for lines in evaluated.get(name, [])
            )
            losses = over_seeds(
                [(line["epoch"], line["losses"][k]) for line in log if line["kind"] == "epoch"]
                for log in runs[name]
            )
            for row, rows in enumerate((results, losses), 1):
                add_band(figure, rows, name, look, row, k + 1, len(runs[name]))
    figure.update_xaxes(title_text="epoch", row=2)
    figure.update_yaxes(title_text=METRICS.get(metric, metric), row=1, col=1)
    return figure.update_yaxes(rangemode="tozero", row=2).update_yaxes(title_text="loss", row=2, col=1)


def conflict_curves(runs: Runs) -> go.Figure:
    """Draw the share of cosines below 0 by epoch, one panel per kind: mean of the seeds, band over all.

    The first panel is Fig. 3 of arXiv 2211.13723. The other panels show the flat parts, and the two parts
    of one task.

    Args:
        runs: method -> logs whose "epoch" lines hold "conflict".

    Raises:
        NothingToDraw: no run measured it.

    Example:
        >>> log = [{"kind": "epoch", "epoch": 1, "conflict": {"loss": 0.25}}]
        >>> conflict_curves({"LS": [log]}).data[0].y
        (0.25,)
    """
    epochs = lines_with(runs, "epoch", "conflict")
    kinds = [kind for kind in KINDS if _have(epochs, "conflict", kind)]
    figure = panel_grid([[KINDS[kind] for kind in kinds]], 320, shared_yaxes=True)
    for name, look in looks(runs).items():
        for column, kind in enumerate(kinds, 1):
            rows = over_seeds(
                [(line["epoch"], line["conflict"][kind]) for line in lines if kind in line["conflict"]]
                for lines in epochs.get(name, [])
            )
            add_band(figure, rows, name, look, 1, column, len(runs[name]))
    figure.update_xaxes(title_text="epoch").update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    return figure.update_yaxes(title_text="share in conflict", col=1)


def cosine_ridges(runs: Runs) -> go.Figure:
    """Draw the histogram of cosines in the first, middle and last third of training.

    There is one row per method and one column per kind. The left, red half of each shape is conflict; its
    share stands next to it. All seeds count together. The three shapes of a panel have the same scale. The
    axis of a column ends where bins hold fewer than one cosine in a thousand.

    Args:
        runs: method -> logs whose "epoch" lines hold "histograms" of 20 equal bins in -1..1.

    Raises:
        NothingToDraw: no run measured it.
    """
    epochs = lines_with(runs, "epoch", "histograms")
    kinds = [kind for kind in KINDS if _have(epochs, "histograms", kind)]
    short = {"loss": "loss parts", "flat": "flat parts", "intra": "within a task"}
    titles = [
        [f"{name}<br>{short[kind]}" if _have({name: logs}, "histograms", kind) else "" for kind in kinds]
        for name, logs in epochs.items()
    ]
    figure = panel_grid(titles, 280).update_layout(margin_t=60)
    edges = np.linspace(-1, 1, BINS + 1).round(3)
    for column, kind in enumerate(kinds, 1):
        counts = np.array([_counts_by_thirds(logs, kind) for logs in epochs.values()])
        totals = counts.sum(-1)
        frequent = counts.sum((0, 1)) / totals.sum() >= 1e-3
        reach = max(0.3, abs(edges[:-1][frequent]).max(), abs(edges[1:][frequent]).max())
        figure.update_xaxes(range=[-1.03 * reach, 1.03 * reach], col=column)
        for row in range(1, len(epochs) + 1):
            shares = counts[row - 1] / np.maximum(totals[row - 1], 1)[:, None]
            for third in np.flatnonzero(totals[row - 1]):
                base = 2 - int(third)
                height = base + 0.6 * shares[third] / shares.max()
                _add_ridge(figure, edges, base, height, row=row, col=column)
                note = f"{share_in_conflict(torch.as_tensor(counts[row - 1, third])).item():.0%} in conflict"
                place = dict(x=-reach, y=base + 0.63, xanchor="left", yanchor="bottom", showarrow=False)
                figure.add_annotation(text=note, font_size=14, row=row, col=column, **place)
    figure.add_vline(x=0, line=dict(color="#444444", width=1.5))
    figure.update_xaxes(nticks=5).update_xaxes(title_text="cosine", row=len(epochs))
    figure.update_yaxes(range=[-0.04, 3], showticklabels=False, ticks="", showgrid=False)
    names = ["first<br>third", "middle", "last<br>third"]
    return figure.update_yaxes(showticklabels=True, tickvals=[2.3, 1.3, 0.3], ticktext=names, col=1)


def norm_curves(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Draw the norms of loss and flat part over training, one row per method: median, and 80 % of the steps.

    Args:
        runs: method -> logs whose "step" lines hold "norms" and, with a perturbation, "flat_norms".
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured them.
    """
    steps = lines_with(runs, "step", "norms")
    figure = panel_grid(panel_titles(steps, tasks), 250, shared_yaxes="all")
    heights = []
    for row, logs in enumerate(steps.values(), 1):
        for part, key, symbol in (("loss", "norms", "circle"), ("flat", "flat_norms", "diamond")):
            lines = [line for log in logs for line in log if key in line]
            for k in range(len(tasks) if lines else 0):
                curve = over_stretches([(line["epoch"], max(line[key][k], 1e-12)) for line in lines])
                heights.append(curve[:, 1:])
                add_band(figure, curve, f"{part} part", PARTS[part] | dict(symbol=symbol), row, k + 1)
    figure.update_xaxes(title_text="epoch", row=len(steps))
    figure.update_yaxes(title_text="norm", col=1)
    return figure.update_yaxes(**whole_decades(torch.from_numpy(np.concatenate(heights))))


def agreement_curves(runs: Runs) -> go.Figure:
    """Draw the cosine of the decomposed and the direct update over training: median, and 80 % of the steps.

    Args:
        runs: method -> logs whose "step" lines hold "same", at least now and then.

    Raises:
        NothingToDraw: no run measured it.
    """
    steps = lines_with(runs, "step", "same")
    figure = panel_grid([["decomposed update against direct update"]], 330)
    for name, look in looks(runs).items():
        pairs = [(line["epoch"], line["same"]) for lines in steps.get(name, []) for line in lines]
        if pairs:
            add_band(figure, over_stretches(pairs), name, look, 1, 1)
    figure.add_hline(y=1, line=dict(color=GREY, width=1.5))
    return figure.update_xaxes(title_text="epoch").update_yaxes(title_text="cos(decomposed, direct)")


def _counts_by_thirds(logs: Sequence[Sequence[Line]], kind: str) -> np.ndarray:
    """Count the cosines of all seeds by bin in the first, middle and last third of the epochs: (3, BINS)."""
    last = max(line["epoch"] for lines in logs for line in lines)
    entries = [line for lines in logs for line in lines if kind in line["histograms"]]
    histograms = np.reshape([line["histograms"][kind] for line in entries], (-1, BINS))
    epochs = [line["epoch"] - 1 for line in entries]
    return sum_by_thirds(epochs, last, torch.as_tensor(histograms)).numpy()


def _have(by_method: Mapping[str, list[list[Line]]], key: str, kind: str) -> bool:
    return any(kind in line[key] for logs in by_method.values() for lines in logs for line in lines)


def _add_ridge(figure: go.Figure, edges: np.ndarray, base: int, height: np.ndarray, **at) -> None:
    """Add the outline of a histogram that stands on ``base``, red where the cosine is negative."""
    x, y = np.repeat(edges, 2)[1:-1].tolist(), np.repeat(height, 2).round(4).tolist()
    quiet = dict(mode="lines", line=dict(color="#333333", width=1.2), hoverinfo="skip", showlegend=False)
    for half, fill in ((slice(BINS), faint(VERMILLION, 0.85)), (slice(BINS, None), faint(GREY, 0.4))):
        outline = dict(x=[x[half][0], *x[half], x[half][-1]], y=[base, *y[half], base])
        figure.add_scatter(**outline, fill="toself", fillcolor=fill, **quiet, **at)
