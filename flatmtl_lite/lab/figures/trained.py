"""Figures of trained networks: how flat and how good they are, and how sure.

``runs`` is as in :mod:`flatmtl_lite.lab.figures.training`: name of a method -> its logs, one per seed.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
import torch

from .axes import whole_decades
from .logs import (
    NothingToDraw,
    Runs,
    add_band,
    faint,
    lines_with,
    looks,
    over_seeds,
    panel_grid,
    panel_titles,
)
from .style import BLACK, BLUE, GREY, PURPLE, VERMILLION


def entropy_histograms(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Draw the predictive entropy on each data set, one row per method, one column per task.

    All seeds count together. The figure shows histograms, since a smoothed density would show entropies
    below 0.

    Args:
        runs: method -> logs whose "final" line holds "entropy": its "edges" and, for each data set, the
            counts of each task. The first data set is the one that was trained on.
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    finals = lines_with(runs, "final", "entropy")
    figure = panel_grid(panel_titles(finals, tasks), 250)
    for row, logs in enumerate(finals.values(), 1):
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
    figure.update_xaxes(title_text="entropy of the prediction, nats", row=len(finals))
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure.update_yaxes(title_text="share of images", col=1)


def sharpness_curves(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Draw ten-step sharpness against the radius, one panel per task: mean of the seeds, band over all.

    Args:
        runs: method -> logs whose "snapshot" lines hold "sharpness"; the last of each log is drawn.
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    snapshots = lines_with(runs, "snapshot", "sharpness")
    figure = panel_grid([tasks], 330, shared_yaxes=True)
    drawn: list[list[float]] = []
    for name, look in looks(runs).items():
        for k in range(len(tasks)):
            ends = [zip(lines[-1]["rho"], lines[-1]["sharpness"]) for lines in snapshots.get(name, [])]
            # a logarithmic axis has no 0
            band = over_seeds(
                [(rho, rises[k]) for rho, rises in end if min(rho, rises[k]) > 0] for end in ends
            )
            drawn += band.tolist()
            add_band(figure, band, name, look, 1, k + 1, len(runs[name]))
    if not drawn:
        raise NothingToDraw(
            f"Got runs {list(runs)} whose sharpness is 0 everywhere; expected some rise of the loss."
        )
    rows = torch.tensor(drawn)
    figure.update_xaxes(**whole_decades(rows[:, 0]), title_text="radius ρ")
    figure.update_yaxes(**whole_decades(rows[:, 1:]))
    return figure.update_yaxes(title_text="rise of the loss", col=1)


def slice_curves(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Draw the loss along a line through the trained weights, one panel per task: mean and band of the seeds.

    Args:
        runs: method -> logs whose "final" line holds "slices" with a "line".
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    slices = _slices(runs, "line")
    figure = panel_grid([tasks], 330)
    for name, look in looks(runs).items():
        for k in range(len(tasks) if name in slices else 0):
            rows = over_seeds(
                [(a, loss[k]) for a, loss in zip(s["alpha"], s["losses"])] for s in slices[name]
            )
            add_band(figure, rows, name, look, 1, k + 1, len(runs[name]))
    figure.update_xaxes(title_text="distance from the trained weights")
    return figure.update_yaxes(rangemode="tozero").update_yaxes(title_text="loss", col=1)


def slice_planes(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Draw the loss on a plane through the trained weights, one row per method, one column per task.

    The cross marks the trained weights. Each method shows its first seed. Neighbouring lines differ by the
    same factor in every panel.

    Args:
        runs: method -> logs whose "final" line holds "slices" with a "plane". Its losses[i][j] belong to
            alpha[i] along the first direction and alpha[j] along the second.
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    slices = _slices(runs, "plane")
    heights = {name: np.log10(np.maximum(planes[0]["losses"], 1e-6)) for name, planes in slices.items()}
    low = min(height.min() for height in heights.values())
    high = max(height.max() for height in heights.values())
    figure = panel_grid(panel_titles(slices, tasks), 330)
    ticks = np.linspace(low, high, 7)
    bar = dict(title=dict(text="loss", side="top"), tickvals=ticks, ticktext=[f"{10**t:.2g}" for t in ticks])
    for row, (name, height) in enumerate(heights.items(), 1):
        axis = slices[name][0]["alpha"]
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
    """Draw results of methods, one row per method, one panel per task: dots for seeds, bars for means.

    Args:
        values: method -> results of each seed, one value per task, such as the "final" test accuracy.
        tasks: names of the tasks.
        title: name of the values, for the axis.
        published: method -> the paper's values, one per task, drawn as open diamonds. A method that
            ``values`` lacks gets a row too.

    Raises:
        NothingToDraw: a method has no seeds, or there is no method.
    """
    published = published or {}
    if not values or not all(map(len, values.values())):
        raise NothingToDraw(
            f"Got values={dict(values)!r}; expected for each method the results of at least one seed."
        )
    names = [*values, *(name for name in published if name not in values)]
    figure = panel_grid([tasks], 60 + 44 * len(names), shared_yaxes=True, horizontal_spacing=0.04)
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
    """Return the slices of that kind by method, one per seed."""
    finals = lines_with(runs, "final", "slices")
    all_slices = {name: [lines[-1]["slices"].get(kind) for lines in logs] for name, logs in finals.items()}
    slices = {name: [s for s in seeds if s] for name, seeds in all_slices.items() if any(seeds)}
    if not slices:
        raise NothingToDraw(f"Got runs {list(runs)} whose slices hold no {kind!r}; expected one that does.")
    return slices
