"""Figures of the short runs that a notebook trains."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .basic import short, wrapped
from .style import PARTS, TASKS, TEMPLATE, line


def accuracy_curves(epochs: Mapping[str, Sequence[dict]], tasks: Sequence[str]) -> go.Figure:
    """Draw the accuracy over training, one column per task: on test data above, on training labels below.

    The training labels include the noise.

    Args:
        epochs: run name -> ``Run.accuracies``.
        tasks: names of the tasks.
    """
    titles = [
        f"{task}: {split}" for split in ("test, clean labels", "training, its own labels") for task in tasks
    ]
    figure = make_subplots(2, len(tasks), subplot_titles=titles, shared_xaxes=True, vertical_spacing=0.12)
    for name, entries in epochs.items():
        x = [entry["epoch"] for entry in entries]
        for row, split in enumerate(("test", "train"), 1):
            for k in range(len(tasks)):
                y = [entry[split][k] for entry in entries]
                first = row == 1 and k == 0
                curve = go.Scatter(
                    x=x,
                    y=y,
                    name=name,
                    legendgroup=name,
                    showlegend=first,
                    mode="lines+markers",
                    **line(name),
                )
                figure.add_trace(curve, row, k + 1)
    figure.update_xaxes(title_text="epoch", row=2).update_yaxes(title_text="accuracy, %", col=1)
    figure.update_yaxes(range=[0, 102]).update_layout(legend_y=1.06)
    return figure.update_layout(template=TEMPLATE, height=600, margin_t=90, hovermode="x unified")


def angle_curves(steps: Mapping[str, Sequence[dict]], bins: int = 10) -> go.Figure:
    """Draw the conflict of the tasks over equal stretches of training.

    The panels show the mean cosine of the loss gradients, their conflict ratio, and the conflict ratio of
    the flat gradients.

    Args:
        steps: run name -> ``Run.measured_steps``.
        bins: number of stretches.
    """
    titles = ["cosine of the loss gradients", "conflict ratio, loss parts", "conflict ratio, flat parts"]
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.07)
    for name, entries in steps.items():
        panels: tuple[tuple[str, Callable], ...]
        panels = (("loss", np.mean), ("loss", _share_negative), ("flat", _share_negative))
        for column, (part, reduce) in enumerate(panels, 1):
            x, y = _binned([(e["epoch"], e[part]) for e in entries if part in e], reduce, bins)
            curve = go.Scatter(
                x=x,
                y=y,
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                **line(name),
            )
            figure.add_trace(curve, 1, column)
    figure.add_hline(y=0, line_color="#444444", row=1, col=1)
    figure.update_xaxes(title_text="epoch").update_yaxes(range=[0, 1], tickformat=".0%", col=2)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", col=3).update_annotations(font_size=15)
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=100)


def agreement_histogram(steps: Mapping[str, Sequence[dict]]) -> go.Figure:
    """Draw the cosines of the decomposed and the direct update at the measured steps of each run."""
    figure = go.Figure()
    for name, entries in steps.items():
        cosines = [entry["same"] for entry in entries if "same" in entry]
        look = line(name)["line"]
        figure.add_histogram(
            x=cosines,
            name=name,
            histnorm="percent",
            marker_color=look["color"],
            xbins=dict(start=0.9, end=1.0, size=0.005),
        )
    figure.update_layout(template=TEMPLATE, height=380, barmode="group", margin_t=70)
    figure.update_xaxes(title_text="cos(decomposed update, direct update)", range=[0.9, 1.001])
    return figure.update_yaxes(title_text="% of the measured steps")


def conflict_thirds(shares: Mapping[str, Mapping[str, Sequence[float]]]) -> go.Figure:
    """Draw how often loss and flat parts conflict in each third of training, one panel per method.

    Args:
        shares: method -> kind -> three shares. The kinds "loss parts" and "flat parts" are conflicts
            between the tasks. The kinds "within task 1" and "within task 2" are conflicts within a task.
    """
    looks = {
        "loss parts": PARTS["loss"] | dict(symbol="circle"),
        "flat parts": PARTS["flat"] | dict(symbol="diamond"),
        "within task 1": dict(color=TASKS[0], dash="dashdot", symbol="square"),
        "within task 2": dict(color=TASKS[1], dash="dashdot", symbol="triangle-up"),
    }
    figure = make_subplots(1, len(shares), subplot_titles=list(shares), shared_yaxes=True)
    for column, kinds in enumerate(shares.values(), 1):
        for kind, thirds in kinds.items():
            look, is_new = looks[kind], all(trace.name != kind for trace in figure.data)
            curve = go.Scatter(
                x=["first", "second", "third"],
                y=short(thirds),
                name=kind,
                legendgroup=kind,
                showlegend=is_new,
                mode="lines+markers",
                line=dict(color=look["color"], dash=look["dash"], width=3),
                marker=dict(color=look["color"], symbol=look["symbol"], size=11),
            )
            figure.add_trace(curve, 1, column)
    figure.update_yaxes(range=[-0.02, 1], tickformat=".0%")
    figure.update_yaxes(title_text="steps in conflict", title_standoff=20, col=1)
    figure.update_xaxes(title_text="third of training")
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=100)


def sharpness_bars(sharpness: Mapping[str, Sequence[float]], tasks: Sequence[str]) -> go.Figure:
    """Draw the ten-step sharpness of each run, one bar per task."""
    figure = go.Figure()
    for k, task in enumerate(tasks):
        bars = go.Bar(
            x=wrapped(sharpness),
            y=[values[k] for values in sharpness.values()],
            name=task,
            marker=dict(
                color=TASKS[k],
                pattern=dict(shape=("", "/")[k % 2], bgcolor=TASKS[k], fgcolor="white", solidity=0.15),
            ),
        )
        figure.add_trace(bars)
    figure.update_yaxes(title_text="rise of the training loss")
    return figure.update_layout(template=TEMPLATE, height=450, barmode="group", margin_t=70, margin_b=80)


def _share_negative(values) -> float:
    return float(np.mean(np.asarray(values) < 0))


def _binned(
    pairs: Sequence[tuple[float, Sequence[float]]], reduce: Callable[[list], float], bins: int
) -> tuple[list, list]:
    """Reduce the values of each stretch of training to one: the middles and the results."""
    if not pairs:
        return [], []
    edges = np.linspace(0, max(epoch for epoch, _ in pairs) + 1e-9, bins + 1)
    where = np.digitize([epoch for epoch, _ in pairs], edges) - 1
    kept = [b for b in range(bins) if (where == b).any()]
    centres = (edges[1:] + edges[:-1]) / 2
    values = [reduce([v for w, (_, v) in zip(where, pairs) if w == b]) for b in kept]
    return [round(float(centres[b]), 3) for b in kept], [round(float(v), 4) for v in values]
