"""Figures of plain numbers: images, arrows, curves, dots."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .arrows import arrow
from .style import INKS, METHODS, PARTS, TEMPLATE, line

NAME_WIDTH = 9  # letters of a name on one line of an axis


def image_row(images, titles: Sequence[str]) -> go.Figure:
    """Draw a row of grey images (N, H, W), each under its title."""
    n = len(images)
    figure = make_subplots(1, n, subplot_titles=list(titles), horizontal_spacing=0.012)
    for k, image in enumerate(np.asarray(images)):
        figure.add_trace(go.Heatmap(z=image[::-1], coloraxis="coloraxis", hoverinfo="skip"), 1, k + 1)
        figure.update_yaxes(scaleanchor=f"x{k + 1 if k else ''}", constrain="domain", row=1, col=k + 1)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_annotations(font_size=13)
    figure.update_layout(coloraxis=dict(colorscale="gray", cmin=0, cmax=255, showscale=False))
    return figure.update_layout(template=TEMPLATE, height=230, margin=dict(l=10, r=10, t=60, b=10))


def arrows(vectors: Mapping[str, Mapping[str, Sequence[float]]], reach: float) -> go.Figure:
    """Draw steps in the plane of two weights, one panel per group, each step with its name.

    Args:
        vectors: panel title -> part ("loss", "flat" or "sam") -> (x, y), numbers or a tensor. The flat part
            begins at the tip of the loss part, and the others begin at the origin.
        reach: half the height of each panel. It is the same in all panels, so lengths compare.
    """
    figure = make_subplots(1, len(vectors), subplot_titles=list(vectors))
    for column, parts in enumerate(vectors.values(), 1):
        steps = {part: np.array([float(x), float(y)]) for part, (x, y) in parts.items()}
        tails = {"flat": steps.get("loss", np.zeros(2))}
        ends = {part: (tails.get(part, np.zeros(2)), step) for part, step in steps.items()}
        center = np.mean([tail + step / 2 for tail, step in ends.values()], 0)
        for part, (tail, step) in ends.items():
            if not step.any():
                continue
            look = PARTS[part]
            trace = arrow(f"{part}-{column}", look["color"], look["dash"], name=part, showlegend=False)
            trace.update(x=[round(v, 4) for v in (tail[0], tail[0] + step[0])])
            trace.update(y=[round(v, 4) for v in (tail[1], tail[1] + step[1])])
            figure.add_trace(trace, 1, column)
            figure.add_annotation(_name_of_arrow(part, tail, step, center), row=1, col=column)
        figure.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", row=1, col=column)
    # constrain="range" would zoom out at every change of the width
    fixed = dict(range=[-reach, reach], constrain="domain")
    figure.update_yaxes(**fixed).update_xaxes(**fixed)
    figure.update_xaxes(title_text="θ₁").update_yaxes(title_text="θ₂", col=1)
    return figure.update_layout(template=TEMPLATE, height=470, margin_t=50)


def _name_of_arrow(part: str, tail: np.ndarray, step: np.ndarray, center: np.ndarray) -> go.layout.Annotation:
    """Return the name of an arrow, next to its middle, on the side away from the other arrows."""
    middle = tail + step / 2
    side = np.array([-step[1], step[0]]) / np.linalg.norm(step)
    outward = side @ (middle - center)
    if outward < -1e-9 or (part == "sam" and outward < 1e-9):  # loss and SAM may be one line
        side = -side
    name = "SAM" if part == "sam" else part
    x, y = (round(float(v), 4) for v in middle)
    color = PARTS[part]["color"]
    look = dict(showarrow=False, font_color=INKS.get(color, color))
    shift = dict(xshift=26 * side[0], yshift=16 * side[1])
    return go.layout.Annotation(x=x, y=y, text=f"<b>{name}</b>", **look, **shift)


def curves(
    x: Sequence[float], ys: Mapping[str, Sequence[float]], x_title: str, y_title: str, log: bool = False
) -> go.Figure:
    """Draw curves over one axis. No two of them have the same dash and marker.

    Args:
        x: numbers or a tensor.
        ys: name of a curve -> its values, one for each number in ``x``.
        x_title, y_title: names of the axes.
        log: True if both axes are logarithmic.
    """
    figure = go.Figure()
    for look, (name, y) in zip(cycle(METHODS.values()), ys.items()):
        style = dict(line=dict(color=look["color"], dash=look["dash"], width=2.5))
        marker = dict(color=look["color"], symbol=look["symbol"], size=8)
        figure.add_scatter(x=short(x), y=short(y), name=name, mode="lines+markers", marker=marker, **style)
    figure.update_xaxes(title_text=x_title).update_yaxes(title_text=y_title, rangemode="tozero")
    if log:
        ticks = dict(type="log", dtick=1, exponentformat="power")
        figure.update_xaxes(**ticks).update_yaxes(**ticks, title_standoff=25).update_layout(margin_l=110)
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=100)


def spread_dots(groups: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> go.Figure:
    """Draw every value as a dot and each mean as a bar, in one panel per group.

    Args:
        groups: panel title -> run name -> values (one per seed).
        title: name of the values, for the axis.
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
                x=wrapped([name]),
                y=[np.mean(values)],
                mode="markers",
                showlegend=False,
                name="mean",
                marker=dict(symbol="line-ew", size=34, line=dict(width=3, color=look["line"]["color"])),
            )
            dots = go.Scatter(
                x=wrapped([name]) * len(values),
                y=list(values),
                mode="markers",
                showlegend=False,
                name=name,
                marker=look["marker"] | dict(size=9, opacity=0.75),
            )
            figure.add_traces([mean, dots], rows=1, cols=column)
    figure.update_xaxes(tickangle=0).update_yaxes(title_text=title, col=1)
    return figure.update_layout(template=TEMPLATE, height=470, margin_t=60, margin_b=80)


def short(values: Sequence[float]) -> list[float]:
    """Round numbers to four digits, so that the notebook file stays small."""
    return [float(f"{float(value):.4g}") for value in values]


def wrapped(names: Iterable[str]) -> list[str]:
    """Break long names of an axis into several lines, so that plotly does not turn them."""
    lines = [
        textwrap.wrap(name, NAME_WIDTH, break_long_words=False, break_on_hyphens=False) for name in names
    ]
    return ["<br>".join(words) for words in lines]
