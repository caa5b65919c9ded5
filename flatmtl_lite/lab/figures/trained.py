"""Figures of trained networks: how flat, how honest and how good the ends of several runs are.

``runs`` is as in :mod:`flatmtl_lite.lab.figures.training`: name of a method -> its logs, one a seed.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
import torch

from .axes import whole_decades
from .logs import NothingToDraw, Runs, add_band, each_panel, faint, looks, measured, over_seeds, panels
from .style import BLACK, BLUE, GREY, PURPLE, TASK_SYMBOLS, TASKS, VERMILLION


def reliability_diagrams(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Accuracy against confidence in bins, a row a method, a column a task; all seeds together.

    A point's area is its number of images. Below the diagonal a network is surer than it is right. The
    expected calibration error in each title is the mean distance to the diagonal, each point counted by its
    images (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Args:
        runs: method -> logs whose "final" line holds "reliability".
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    found = measured(runs, "final", "reliability")
    pooled = {
        name: [_pooled_bins([lines[-1]["reliability"][k] for lines in logs]) for k in range(len(tasks))]
        for name, logs in found.items()
    }
    titles = [
        [f"{name}<br>{task}, ECE {_ece(bins):.1f} %" for task, bins in zip(tasks, of_tasks)]
        for name, of_tasks in pooled.items()
    ]
    figure = panels(titles, 300)
    for row, of_tasks in enumerate(pooled.values(), 1):
        for k, (count, confidence, accuracy) in enumerate(of_tasks):
            at = dict(row=row, col=k + 1)
            diagonal = dict(x=[0, 1], y=[0, 1], mode="lines", line=dict(color=GREY, dash="dash", width=2))
            figure.add_scatter(**diagonal, hoverinfo="skip", showlegend=False, **at)
            area = dict(size=count, sizemode="area", sizeref=2 * count.max() / 26**2, sizemin=4)
            edged = dict(color=TASKS[k], symbol=TASK_SYMBOLS[k], line=dict(color=BLACK, width=1))
            look = dict(mode="lines+markers", line=dict(color=TASKS[k], width=2), marker=edged | area)
            figure.add_scatter(x=confidence.round(4), y=accuracy.round(4), **look, showlegend=False, **at)
    figure.update_xaxes(range=[-0.02, 1.05], dtick=0.25).update_yaxes(range=[-0.02, 1.05], dtick=0.25)
    figure.update_xaxes(title_text="confidence", row=len(pooled))
    return figure.update_yaxes(title_text="accuracy", col=1).update_layout(margin_t=60)


def entropy_histograms(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Predictive entropy on each data set, a row a method, a column a task; all seeds together.

    Histograms, not densities: a smoothed density would show entropies below 0.

    Args:
        runs: method -> logs whose "final" line holds "entropy": its "edges" and, for each data set,
            counts a task. The first data set is the one that was trained on.
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    found = measured(runs, "final", "entropy")
    figure = panels(each_panel(found, tasks), 250)
    for row, logs in enumerate(found.values(), 1):
        entropies = [lines[-1]["entropy"] for lines in logs]
        for k in range(len(tasks)):
            styles = cycle(((BLACK, "solid"), (PURPLE, "dash"), (BLUE, "dot"), (VERMILLION, "dashdot")))
            everywhere = [name for name in entropies[0] if all(name in seed for seed in entropies)]
            for data, (color, dash) in zip((name for name in everywhere if name != "edges"), styles):
                counts = np.sum([entropy[data][k] for entropy in entropies], 0)
                x, y = np.repeat(entropies[0]["edges"], 2)[1:-1], np.repeat(counts / counts.sum(), 2)
                figure.add_scatter(
                    x=x.round(4),
                    y=y.round(4),
                    name=data,
                    legendgroup=data,
                    showlegend=row == 1 and k == 0,
                    mode="lines",
                    line=dict(color=color, dash=dash, width=2.5),
                    fill="tozeroy",
                    fillcolor=faint(color, 0.1),
                    row=row,
                    col=k + 1,
                )
    figure.update_xaxes(title_text="entropy of the prediction, nats", row=len(found))
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure.update_yaxes(title_text="share of images", col=1)


def sharpness_curves(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Ten-step sharpness against its radius, a panel a task: mean over seeds, band lowest to highest.

    Args:
        runs: method -> logs whose "snapshot" lines hold "sharpness"; the last of each log is drawn.
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    found = measured(runs, "snapshot", "sharpness")
    figure = panels([tasks], 330, shared_yaxes=True)
    drawn = []
    for name, look in looks(runs).items():
        for k in range(len(tasks)):
            ends = [zip(lines[-1]["rho"], lines[-1]["sharpness"]) for lines in found.get(name, [])]
            # a logarithmic axis has no 0
            rows = over_seeds(
                [(rho, rises[k]) for rho, rises in end if min(rho, rises[k]) > 0] for end in ends
            )
            drawn += rows.tolist()
            add_band(figure, rows, name, look, 1, k + 1)
    if not drawn:
        raise NothingToDraw(
            f"Got runs {list(runs)} whose sharpness is 0 everywhere; expected some rise of the loss."
        )
    drawn = torch.tensor(drawn)
    figure.update_xaxes(**whole_decades(drawn[:, 0]), title_text="radius ρ")
    figure.update_yaxes(**whole_decades(drawn[:, 1:]))
    return figure.update_yaxes(title_text="rise of the loss", col=1)


def slice_curves(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """The loss along a line through the trained weights, a panel a task: mean over seeds and their band.

    Args:
        runs: method -> logs whose "final" line holds "slices" with a "line".
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    found = _slices(runs, "line")
    figure = panels([tasks], 330)
    for name, look in looks(runs).items():
        for k in range(len(tasks) if name in found else 0):
            rows = over_seeds([(a, loss[k]) for a, loss in zip(s["alpha"], s["losses"])] for s in found[name])
            add_band(figure, rows, name, look, 1, k + 1)
    figure.update_xaxes(title_text="distance from the trained weights")
    return figure.update_yaxes(rangemode="tozero").update_yaxes(title_text="loss", col=1)


def slice_planes(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """The loss on a plane through the trained weights (the cross), a row a method, a column a task.

    Of each method the first seed. Neighbouring lines differ by one and the same factor in every panel.

    Args:
        runs: method -> logs whose "final" line holds "slices" with a "plane", whose losses[i][j] belong to
            alpha[i] along the first direction and alpha[j] along the second.
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    found = _slices(runs, "plane")
    heights = {name: np.log10(np.maximum(planes[0]["losses"], 1e-6)) for name, planes in found.items()}
    low = min(height.min() for height in heights.values())
    high = max(height.max() for height in heights.values())
    figure = panels(each_panel(found, tasks), 330)
    ticks = np.linspace(low, high, 7)
    bar = dict(title=dict(text="loss", side="top"), tickvals=ticks, ticktext=[f"{10**t:.2g}" for t in ticks])
    for row, (name, height) in enumerate(heights.items(), 1):
        axis = found[name][0]["alpha"]
        for k in range(len(tasks)):
            contours = dict(start=low, end=high, size=max(high - low, 1e-9) / 12)
            figure.add_contour(
                x=axis,
                y=axis,
                z=height[..., k].T.round(3),
                zmin=low,
                zmax=high,
                contours=contours,
                colorscale=[(0, BLUE), (1, "white")],
                line=dict(width=1, color="#444444"),
                showscale=row == 1 and k == 0,
                colorbar=bar | dict(outlinewidth=1),
                hoverinfo="skip",
                row=row,
                col=k + 1,
            )
            cross = dict(symbol="cross", size=13, color="white", line=dict(color=BLACK, width=2))
            here = dict(x=[0], y=[0], mode="markers", marker=cross, showlegend=False)
            figure.add_scatter(**here, row=row, col=k + 1)
    figure.update_xaxes(title_text="first direction", row=len(heights))
    return figure.update_yaxes(title_text="second direction", col=1).update_layout(margin_t=60)


def seed_dots(
    values: Mapping[str, Sequence[Sequence[float]]],
    tasks: Sequence[str],
    title: str,
    published: Mapping[str, Sequence[float]] | None = None,
) -> go.Figure:
    """Results of several methods, a row each, a panel a task: every seed a dot, their mean a bar.

    Args:
        values: method -> results of each seed, a value a task; such as the "final" test accuracy.
        tasks: names of the tasks.
        title: what the values are, for the axis.
        published: method -> the paper's values, a value a task, drawn as open diamonds; a method that
            ``values`` lacks has a row of its own.

    Raises:
        NothingToDraw: a method without seeds, or nothing given at all.
    """
    published = published or {}
    if not values or not all(map(len, values.values())):
        raise NothingToDraw(
            f"Got values={dict(values)!r}; expected for each method the results of at least one seed."
        )
    names = [*values, *(name for name in published if name not in values)]
    figure = panels([tasks], 60 + 44 * len(names), shared_yaxes=True, horizontal_spacing=0.04)
    marks = {
        "one seed": dict(symbol="circle", size=10, opacity=0.8, line=dict(width=1, color=BLACK)),
        "mean": dict(symbol="line-ns", size=24, line=dict(width=3, color=BLACK)),
        "published": dict(symbol="diamond-open", size=13, line_width=2.5, color=BLACK),
    }
    for kind in ("one seed", "mean", *(["published"] if published else [])):
        marker = dict(color=GREY) | marks[kind]
        figure.add_scatter(x=[None], y=names[:1], name=kind, mode="markers", marker=marker)
    for name, look in looks(names).items():
        seeds = np.array(values.get(name, []), dtype=float).reshape(-1, len(tasks))
        drawn = {"one seed": seeds, "mean": seeds.mean(0, keepdims=True) if len(seeds) else seeds}
        drawn["published"] = np.array([published[name]] if name in published else []).reshape(-1, len(tasks))
        for kind, rows in drawn.items():
            for k in range(len(tasks) if len(rows) else 0):
                dots = dict(x=rows[:, k].round(4), y=[name] * len(rows), name=kind, mode="markers")
                marker = dict(color=look["color"]) | marks[kind]
                figure.add_scatter(**dots, marker=marker, showlegend=False, row=1, col=k + 1)
    figure.update_xaxes(title_text=title)
    return figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], automargin=True)


def _slices(runs: Runs, kind: str) -> dict[str, list[Mapping]]:
    """Method -> its slices of that kind, one a seed."""
    finals = measured(runs, "final", "slices")
    found = {name: [lines[-1]["slices"].get(kind) for lines in logs] for name, logs in finals.items()}
    found = {name: [s for s in slices if s] for name, slices in found.items() if any(slices)}
    if not found:
        raise NothingToDraw(f"Got runs {list(runs)} whose slices hold no {kind!r}; expected one that does.")
    return found


def _pooled_bins(bins: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, confidence and accuracy over all seeds, of the bins that hold an image."""
    counts = np.array([b["count"] for b in bins], dtype=float)
    total = counts.sum(0)
    seen = total > 0
    means = [
        (counts * np.array([b[key] for b in bins], dtype=float)).sum(0)[seen] / total[seen]
        for key in ("confidence", "accuracy")
    ]
    return total[seen], *means


def _ece(bins: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    count, confidence, accuracy = bins
    return 100 * (count * abs(accuracy - confidence)).sum() / count.sum()
