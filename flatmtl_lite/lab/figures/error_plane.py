"""The plane of two tasks' errors: the fronts of fixed weights, and every method as a point."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from .basic import short
from .frontier import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Axes, offsets
from .style import BLACK, GREY, INK, INKS, ORANGE, PURPLE, SKY, TEMPLATE

Point = Sequence[float]  # errors of the two tasks
HEIGHT = 560
# how a method's name begins -> the name of its family, and its look; the first that fits
FAMILIES = {
    "F-": ("F-method", dict(color=SKY, symbol="triangle-up")),
    "direct": ("direct", dict(color=ORANGE, symbol="x")),
    "SAM": ("SAM on the mean loss", dict(color=PURPLE, symbol="diamond")),
    "": ("other methods", dict(color=GREY, symbol="circle")),
}
MARGIN = 0.15  # share of the methods' range that is free on each side
DASHES = ("solid", "dash", "dot")


def error_plane(
    fronts: Mapping[str, Mapping[str, Point]],
    methods: Mapping[str, Point],
    named: Iterable[str],
    tasks: Sequence[str],
) -> go.Figure:
    """Draw the errors that fixed weights reach as lines, and the errors of other methods as dots.

    The axes have room for the methods. A line may go on beyond them. Two of its points have their weights:
    the second and the last but one.

    Args:
        fronts: name -> weights in words -> the errors of the two tasks, in the order of the line.
        methods: name -> the errors of the two tasks. The pointer shows every name.
        named: the methods whose name is written next to the dot.
        tasks: names of the tasks.
    """
    figure = go.Figure()
    points = np.array([*methods.values()])
    low, high = points.min(0), points.max(0)
    x, y = np.stack([low - MARGIN * (high - low), high + MARGIN * (high - low)], 1)
    axes = Axes(short(x), short(y), np.array([WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM]))
    lines = []
    for dash, (name, front) in zip(DASHES, fronts.items(), strict=False):
        figure.add_trace(_front(name, front, dash))
        lines += [axes.pixels(*pair) for pair in pairwise(front.values())]
    for start in FAMILIES:
        members = {name: point for name, point in methods.items() if _start(name) == start}
        if members:
            figure.add_trace(_dots(start, members))
    ends = {f"fixed weights, {name}": list(front.values())[len(front) // 3] for name, front in fronts.items()}
    labels = {name: methods[name] for name in named} | ends
    dots = {name: axes.pixels(point)[0] for name, point in labels.items()}
    nameless = [axes.pixels(point)[0] for name, point in methods.items() if name not in labels]
    for name, (dx, dy) in offsets(dots, axes.size, lines, nameless).items():
        figure.add_annotation(
            text=f"<b>{name}</b>" if name in ends else name,
            font=dict(size=13, color=INKS.get(FAMILIES[_start(name)][1]["color"], INK)),
            **dict(zip("xy", labels[name], strict=True)),
            **dict(ax=round(dx, 1), ay=round(-dy, 1), arrowhead=0, arrowwidth=1, arrowcolor=GREY, standoff=7),
        )
    figure.update_xaxes(range=axes.x, title=f"test error of {tasks[0]}, %")
    figure.update_yaxes(range=axes.y, title=f"test error of {tasks[1]}, %")
    margins = dict(l=LEFT, r=RIGHT, t=TOP, b=BOTTOM)
    return figure.update_layout(template=TEMPLATE, height=HEIGHT, margin=margins)


def _start(name: str) -> str:
    return next(start for start in FAMILIES if name.startswith(start))


def _front(name: str, front: Mapping[str, Point], dash: str) -> go.Scatter:
    x, y = (short(column) for column in zip(*front.values(), strict=True))
    written = [weights if k in (1, len(front) - 2) else "" for k, weights in enumerate(front)]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers+text",
        text=written,
        textposition="bottom right",
        textfont_size=12,
        name=f"fixed weights, {name}",
        line=dict(color=BLACK, dash=dash, width=2),
        marker=dict(size=6, color=BLACK),
        customdata=list(front),
        hovertemplate=f"{name}, weights %{{customdata}}: %{{x:.1f}}, %{{y:.1f}}<extra></extra>",
    )


def _dots(start: str, methods: Mapping[str, Point]) -> go.Scatter:
    family, look = FAMILIES[start]
    x, y = (short(column) for column in zip(*methods.values(), strict=True))
    marker = look | dict(size=11, line=dict(width=1, color=INK))
    hover = "%{customdata}: %{x:.1f}, %{y:.1f}<extra></extra>"
    return go.Scatter(
        x=x, y=y, mode="markers", name=family, marker=marker, customdata=[*methods], hovertemplate=hover
    )
