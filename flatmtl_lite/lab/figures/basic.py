"""The figures of the notebooks; each returns a plotly figure that ``show`` displays."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .landscape import arrow
from .style import METHODS, PARTS, TASKS, TEMPLATE, line


def image_row(images, titles: Sequence[str]) -> go.Figure:
    """A row of grey images (N, H, W), each under its title."""
    n = len(images)
    figure = make_subplots(1, n, subplot_titles=list(titles), horizontal_spacing=0.012)
    for k, image in enumerate(np.asarray(images)):
        heat = go.Heatmap(
            z=image[::-1], colorscale="gray", showscale=False, zmin=0, zmax=255, hoverinfo="skip"
        )
        figure.add_trace(heat, 1, k + 1)
        figure.update_yaxes(scaleanchor=f"x{k + 1 if k else ''}", row=1, col=k + 1)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_annotations(font_size=13)
    return figure.update_layout(template=TEMPLATE, height=230, margin=dict(l=10, r=10, t=60, b=10))


def arrows(vectors: Mapping[str, Mapping[str, Sequence[float]]], reach: float) -> go.Figure:
    """Gradients in the plane of two weights, drawn from the origin: a panel per group.

    Args:
        reach: half the height of each panel, the same for all, so that lengths compare.
        vectors: panel title -> part ("loss", "flat" or "sam") -> (x, y), numbers or a tensor.
    """
    figure = make_subplots(1, len(vectors), subplot_titles=list(vectors))
    for column, parts in enumerate(vectors.values(), 1):
        for part, (x, y) in parts.items():
            legend = dict(name=part, legendgroup=part, showlegend=column == 1)
            drawn = arrow(f"{part}-{column}", **PARTS[part], **legend)
            figure.add_trace(drawn.update(x=[0, round(float(x), 4)], y=[0, round(float(y), 4)]), 1, column)
        figure.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", row=1, col=column)
    figure.update_yaxes(range=[-reach, reach]).update_xaxes(range=[-reach, reach])
    figure.update_xaxes(title_text="first weight").update_yaxes(title_text="second weight", col=1)
    return figure.update_layout(template=TEMPLATE, height=470, margin_t=90)


def accuracy_curves(epochs: Mapping[str, Sequence[dict]], tasks: Sequence[str]) -> go.Figure:
    """Accuracy over training: a column per task; test above, training labels (noise included) below.

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
    return figure.update_layout(template=TEMPLATE, height=680, margin_t=90, hovermode="x unified")


def angle_curves(steps: Mapping[str, Sequence[dict]], bins: int = 10) -> go.Figure:
    """Angles over training: mean cosine and conflict ratio of the tasks' loss gradients, conflict ratio
    of their flat gradients, each over equal stretches of training.

    Args:
        steps: run name -> ``Run.measured_steps``.
        bins: number of stretches.
    """
    titles = ["cosine of the loss gradients", "conflict ratio, loss parts", "conflict ratio, flat parts"]
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.07)
    for name, entries in steps.items():
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
    """Cosine of the decomposed update with the direct one, over the measured steps of each run."""
    figure = go.Figure()
    for name, entries in steps.items():
        same = [entry["same"] for entry in entries if "same" in entry]
        look = line(name)["line"]
        figure.add_histogram(
            x=same,
            name=name,
            histnorm="percent",
            marker_color=look["color"],
            xbins=dict(start=0.9, end=1.0, size=0.005),
        )
    figure.update_layout(template=TEMPLATE, height=380, barmode="group", margin_t=70)
    figure.update_xaxes(title_text="cos(decomposed update, direct update)", range=[0.9, 1.001])
    return figure.update_yaxes(title_text="% of the measured steps")


def curves(
    x: Sequence[float], ys: Mapping[str, Sequence[float]], x_title: str, y_title: str, log: bool = False
) -> go.Figure:
    """Curves over one axis, each with a dash and a marker of its own.

    Args:
        x: numbers or a tensor.
        ys: name of a curve -> its values, as many as ``x``.
        x_title, y_title: names of the axes.
        log: whether both axes are logarithmic.
    """
    figure = go.Figure()
    for look, (name, y) in zip(cycle(METHODS.values()), ys.items()):
        style = dict(line=dict(color=look["color"], dash=look["dash"], width=2.5))
        marker = dict(color=look["color"], symbol=look["symbol"], size=8)
        figure.add_scatter(x=_short(x), y=_short(y), name=name, mode="lines+markers", marker=marker, **style)
    figure.update_xaxes(title_text=x_title).update_yaxes(title_text=y_title, rangemode="tozero")
    if log:
        ticks = dict(type="log", dtick=1, exponentformat="power")
        figure.update_xaxes(**ticks).update_yaxes(**ticks, title_standoff=25).update_layout(margin_l=110)
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=100)


def conflict_thirds(shares: Mapping[str, Mapping[str, Sequence[float]]]) -> go.Figure:
    """How often loss and flat parts conflict, by thirds of training: a panel per method.

    Args:
        shares: method -> kind -> three shares; the kinds are "loss parts" and "flat parts", between the
            tasks, and "within task 1", "within task 2".
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
            look = looks[kind]
            curve = go.Scatter(
                x=["first third", "second", "last third"],
                y=_short(thirds),
                name=kind,
                legendgroup=kind,
                showlegend=column == 1,
                mode="lines+markers",
                line=dict(color=look["color"], dash=look["dash"], width=3),
                marker=dict(color=look["color"], symbol=look["symbol"], size=11),
            )
            figure.add_trace(curve, 1, column)
    figure.update_yaxes(range=[-0.02, 1], tickformat=".0%")
    figure.update_yaxes(title_text="steps in conflict", title_standoff=20, col=1)
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=100)


def sharpness_bars(sharpness: Mapping[str, Sequence[float]], tasks: Sequence[str]) -> go.Figure:
    """Ten-step sharpness of each run, a bar per task."""
    figure = go.Figure()
    for k, task in enumerate(tasks):
        bars = go.Bar(
            x=_wrapped(sharpness),
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


def spread_dots(groups: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> go.Figure:
    """Every value as a dot and each mean as a bar, in one panel per group.

    Args:
        groups: panel title -> run name -> values (one per seed).
        title: what the values are, for the axis.
    """
    widths = [len(runs) for runs in groups.values()]
    figure = make_subplots(
        rows=1,
        cols=len(groups),
        column_widths=widths,
        subplot_titles=list(groups),
        shared_yaxes=True,
        horizontal_spacing=0.03,
    )
    for column, runs in enumerate(groups.values(), 1):
        for name, values in runs.items():
            look = line(name)
            mean = go.Scatter(
                x=_wrapped([name]),
                y=[np.mean(values)],
                mode="markers",
                showlegend=False,
                name="mean",
                marker=dict(symbol="line-ew", size=34, line=dict(width=3, color=look["line"]["color"])),
            )
            dots = go.Scatter(
                x=_wrapped([name]) * len(values),
                y=list(values),
                mode="markers",
                showlegend=False,
                name=name,
                marker=look["marker"] | dict(size=9, opacity=0.75),
            )
            figure.add_traces([mean, dots], rows=1, cols=column)
    figure.update_xaxes(tickangle=0).update_yaxes(title_text=title, col=1)
    return figure.update_layout(template=TEMPLATE, height=470, margin_t=60, margin_b=80)


def _short(values: Sequence[float]) -> list[float]:
    return [float(f"{float(value):.4g}") for value in values]


def _wrapped(names: Iterable[str]) -> list[str]:
    """Names for an axis: a long one on several lines, so that none is turned."""
    return [re.sub(r" (?=on the|mean|\+|decay|CAGrad)", "<br>", name) for name in names]


def _share_negative(values) -> float:
    return float(np.mean(np.asarray(values) < 0))


def _binned(pairs: Sequence[tuple[float, Sequence[float]]], reduce, bins: int) -> tuple[list, list]:
    if not pairs:
        return [], []
    edges = np.linspace(0, max(epoch for epoch, _ in pairs) + 1e-9, bins + 1)
    where = np.digitize([epoch for epoch, _ in pairs], edges) - 1
    kept = [b for b in range(bins) if (where == b).any()]
    centres = (edges[1:] + edges[:-1]) / 2
    values = [reduce([v for w, (_, v) in zip(where, pairs) if w == b]) for b in kept]
    return [round(float(centres[b]), 3) for b in kept], [round(float(v), 4) for v in values]
