"""Reliability diagrams: how often a network is right, against how sure it is."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .logs import Runs, lines_with, panel_grid
from .style import BLACK, GREY, TASK_SYMBOLS, TASKS, TEMPLATE

Bins = tuple[np.ndarray, np.ndarray, np.ndarray]  # of each bin: number of images, confidence, accuracy


def reliability_diagram(
    panels: Mapping[str, Sequence[tuple]], tasks: Sequence[str], least: int = 20
) -> go.Figure:
    """Draw accuracy against confidence in bins, one panel per kind of network.

    On the diagonal a network is right as often as it says.

    Args:
        panels: title -> per task (number of images, mean confidence, accuracy) of each bin.
        tasks: names of the tasks.
        least: bins with fewer images are left out.
    """
    figure = make_subplots(
        1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.03
    )
    diagonal = dict(mode="lines", line=dict(color=GREY, dash="dot", width=2), name="as right as it says")
    for column, diagrams in enumerate(panels.values(), 1):
        place = dict(showlegend=column == 1, row=1, col=column)
        figure.add_scatter(x=[0, 1], y=[0, 1], **diagonal, **place)
        for k, diagram in enumerate(diagrams):
            line = dict(color=TASKS[k], dash=("solid", "dash")[k], width=2.5)
            marker = dict(color=TASKS[k], symbol=TASK_SYMBOLS[k], size=9)
            look = dict(mode="lines+markers", name=tasks[k], line=line, marker=marker)
            figure.add_scatter(**_points(_full_bins(diagram, least)), **look, **place)
    figure.update_xaxes(range=[0, 1.02], title_text="confidence", title_standoff=8)
    figure.update_yaxes(range=[0, 1.02]).update_yaxes(title_text="accuracy", col=1)
    figure.update_annotations(font_size=15)
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=90, margin_b=75, legend_y=1.1)


def reliability_diagrams(runs: Runs, tasks: Sequence[str]) -> go.Figure:
    """Draw accuracy against confidence in bins, one row per method, one column per task, all seeds together.

    The area of a point is its number of images. Below the diagonal a network is surer than it is right. The
    title gives the expected calibration error: the mean distance to the diagonal, where each point counts
    by its images (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Args:
        runs: method -> logs whose "final" line holds "reliability".
        tasks: names of the tasks.

    Raises:
        NothingToDraw: no run measured it.
    """
    pooled = {
        name: [_pooled_bins([lines[-1]["reliability"][k] for lines in logs]) for k in range(len(tasks))]
        for name, logs in lines_with(runs, "final", "reliability").items()
    }
    titles = [
        [f"{name}<br>{task}, ECE {_ece(bins):.1f} %" for task, bins in zip(tasks, by_task)]
        for name, by_task in pooled.items()
    ]
    figure = panel_grid(titles, 300)
    diagonal = dict(mode="lines", line=dict(color=GREY, dash="dash", width=2), hoverinfo="skip")
    for row, by_task in enumerate(pooled.values(), 1):
        for k, bins in enumerate(by_task):
            place = dict(showlegend=False, row=row, col=k + 1)
            figure.add_scatter(x=[0, 1], y=[0, 1], **diagonal, **place)
            area = dict(size=bins[0], sizemode="area", sizeref=2 * bins[0].max() / 26**2, sizemin=4)
            marker = dict(color=TASKS[k], symbol=TASK_SYMBOLS[k], line=dict(color=BLACK, width=1)) | area
            look = dict(mode="lines+markers", line=dict(color=TASKS[k], width=2), marker=marker)
            figure.add_scatter(**_points(bins), **look, **place)
    figure.update_xaxes(range=[-0.02, 1.05], dtick=0.25).update_yaxes(range=[-0.02, 1.05], dtick=0.25)
    figure.update_xaxes(title_text="confidence", row=len(pooled))
    return figure.update_yaxes(title_text="accuracy", col=1).update_layout(margin_t=60)


def _points(bins: Bins) -> dict[str, list[float]]:
    """Return the coordinates of a reliability curve: confidence and accuracy of each bin."""
    _, confidence, accuracy = bins
    return dict(x=confidence.round(4).tolist(), y=accuracy.round(4).tolist())


def _full_bins(diagram: Sequence[Sequence[float]], least: int) -> Bins:
    """Return the bins with at least that number of images."""
    count, confidence, accuracy = (np.array([float(value) for value in values]) for values in diagram)
    full = count >= least
    return count[full], confidence[full], accuracy[full]


def _pooled_bins(seeds: Sequence[Mapping]) -> Bins:
    """Return the bins of all seeds together, without the bins that hold no image."""
    counts = np.array([bins["count"] for bins in seeds], dtype=float)
    total = counts.sum(0)
    full = total > 0
    confidence, accuracy = (
        (counts * np.array([bins[key] for bins in seeds], dtype=float)).sum(0)[full] / total[full]
        for key in ("confidence", "accuracy")
    )
    return total[full], confidence, accuracy


def _ece(bins: Bins) -> float:
    count, confidence, accuracy = bins
    return 100 * (count * abs(accuracy - confidence)).sum() / count.sum()
