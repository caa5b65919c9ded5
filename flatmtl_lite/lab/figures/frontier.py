"""Benefit against cost: every method with its name, and the Pareto front."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .basic import short
from .style import BLACK, BLUE, GREEN, GREY, INK, INKS, ORANGE, PURPLE, SKY, TEMPLATE

Interval = Sequence[float]  # mean, low, high
# how a method's name begins -> its look; the first that fits
FAMILIES = {
    "F-": dict(color=SKY, symbol="triangle-up"),
    "SAM on the mean": dict(color=PURPLE, symbol="diamond"),
    "SAMO": dict(color=ORANGE, symbol="square"),
    "G-SAM": dict(color=ORANGE, symbol="square"),
    "SAGE": dict(color=GREEN, symbol="triangle-down"),
    "polar": dict(color=GREEN, symbol="triangle-down"),
    "noise": dict(color=GREEN, symbol="triangle-down"),
    "CAGrad": dict(color=BLUE, symbol="pentagon"),
    "": dict(color=GREY, symbol="circle"),
}
WIDTH, HEIGHT = 960, 480  # pixels of the picture, and of each panel
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 60
BETWEEN = 0.09  # share of the picture between two panels
LETTER, LINE = 7.3, 17  # pixels of a letter and of a line of names
DOT = 7  # pixels from the middle of a dot to its rim, and a little
# where a name may stand: directions, right and left first, and ever farther away
SIDES = [(1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.6), (-0.8, 0.6), (0.8, -0.6), (-0.8, -0.6)]
TURNS = [np.array(side, dtype=float) for side in SIDES]
FARTHER = (0, 16, 32, 50, 70, 95, 125, 160)


def frontier(
    costs: Mapping[str, float],
    panels: Mapping[str, Mapping[str, Interval]],
    fronts: Mapping[str, Sequence[str]],
    x_title: str,
) -> go.Figure:
    """Draw the benefit of methods against their cost, with intervals and a name at each dot.

    A stepped line joins the methods of the Pareto front, and their names are bold.

    Args:
        costs: method -> cost of a step.
        panels: title, which names the benefit -> method -> mean, lower and upper end of its interval.
        fronts: title -> the methods of the front, cheapest first.
        x_title: name of the costs, for the axis.
    """
    figure = make_subplots(len(panels), 1, subplot_titles=list(panels), vertical_spacing=BETWEEN)
    x_range = _padded([costs[name] for gains in panels.values() for name in gains], 0.04, 0.14)
    height = (HEIGHT * len(panels) - TOP - BOTTOM) * (1 - BETWEEN * (len(panels) - 1)) / len(panels)
    size = WIDTH - LEFT - RIGHT, height
    for row, (title, gains) in enumerate(panels.items(), 1):
        y_range = _padded([gain[0] for gain in gains.values()], 0.1, 0.1)
        ends = [(costs[name], gains[name][0]) for name in fronts[title]]
        steps = [corner for one, other in pairwise(ends) for corner in (one, (other[0], one[1]))] + ends[-1:]
        line = dict(color=BLACK, width=1.5, dash="dot")
        x, y = (short(column) for column in zip(*steps, strict=True))
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name="front", hoverinfo="skip", row=row, col=1)
        figure.add_hline(y=0, line=dict(color=GREY, width=1), row=row, col=1)
        for name, gain in gains.items():
            figure.add_trace(_dot(name, costs[name], gain), row, 1)

        def pixels(points: Sequence, y_range: list[float] = y_range) -> np.ndarray:
            low, high = np.array([x_range, y_range]).T
            return (np.array(points) - low) / (high - low) * size

        dots = {name: pixels((costs[name], gain[0])) for name, gain in gains.items()}
        bars = [pixels([(costs[name], end) for end in gain[1:]]) for name, gain in gains.items()]
        lines = [pixels(pair) for pair in pairwise(steps)] + bars
        for name, way in offsets(dots, size, lines).items():
            label = _label(name, way, name in fronts[title])
            figure.add_annotation(label, x=costs[name], y=gains[name][0], row=row, col=1)
        figure.update_yaxes(range=y_range, title_text="benefit, % of F-LS's", row=row, col=1)
    figure.update_xaxes(range=x_range, ticksuffix=" ×", showgrid=False)
    figure.update_xaxes(title_text=x_title, row=len(panels), col=1)
    margins = dict(l=LEFT, r=RIGHT, t=TOP, b=BOTTOM)
    height = HEIGHT * len(panels)
    return figure.update_layout(template=TEMPLATE, height=height, margin=margins, showlegend=False)


def offsets(
    dots: Mapping[str, Sequence[float]], size: Sequence[float], lines: Sequence[np.ndarray] = ()
) -> dict[str, np.ndarray]:
    """Return for each name the way from its dot to its middle, in pixels, so that no two names overlap.

    Each name takes the nearest place where it covers least. Names and dots count most, then the lines, and
    the thin line from a name to its dot.

    Args:
        dots: name -> pixels to the right of the panel's left side, and above its lower side.
        size: of the panel, in pixels.
        lines: pairs of points to keep off, (2, 2) each.
    """
    boxes = [(np.array(dot, dtype=float), np.full(2, DOT)) for dot in dots.values()]
    points = np.concatenate([np.zeros((0, 2)), *(_along(*line) for line in lines)])
    ways = {}
    for name in sorted(dots, key=lambda name: -dots[name][1]):
        dot, half = np.array(dots[name], dtype=float), half_size(name)
        options = [turn * (half + DOT + 4) + turn * far for far in FARTHER for turn in TURNS]
        others = [box for box in boxes if (box[0] != dot).any()]

        def covered(way: np.ndarray, dot=dot, half=half, others=others, points=points) -> float:
            place = dot + way
            outside = (place - half < 2).any() or (place + half > np.array(size) - 2).any()
            names = sum(bool((np.abs(place - m) < half + h).all()) for m, h in boxes)
            leader = _along(dot, dot + way)
            crossed = sum(bool((np.abs(leader - m) < h).all(1).any()) for m, h in others)
            return 3 * outside + names + 0.5 * crossed + 0.04 * _inside(points, place, half)

        way = min(options, key=lambda way: covered(way) + 0.002 * float(np.hypot(*way)))
        boxes.append((dot + way, half))
        points = np.concatenate([points, *[_along(dot, dot + way)] * 4])  # a name on it looks like its own
        ways[name] = way
    return ways


def _along(start: Sequence[float], end: Sequence[float]) -> np.ndarray:
    """Return points of a line (n, 2), about six pixels apart."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    count = 2 + int(np.hypot(*(end - start)) / 6)
    return start + (end - start) * np.linspace(0, 1, count)[:, None]


def _inside(points: np.ndarray, place: np.ndarray, half: np.ndarray) -> int:
    return int((np.abs(points - place) < half).all(-1).sum())


def half_size(name: str) -> np.ndarray:
    """Return half the width and the height of a name, in pixels."""
    return np.array([LETTER * len(name), LINE]) / 2


def _padded(values: Sequence[float], before: float, after: float) -> list[float]:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return short([low - before * span, high + after * span])


def _look(name: str) -> dict:
    return next(look for start, look in FAMILIES.items() if name.startswith(start))


def _dot(name: str, cost: float, gain: Interval) -> go.Scatter:
    mean, low, high = short(gain)
    look = _look(name)
    bars = dict(type="data", array=[high - mean], arrayminus=[mean - low], width=0, thickness=1.5)
    return go.Scatter(
        x=short([cost]),
        y=[mean],
        error_y=bars | dict(color=look["color"]),
        mode="markers",
        name=name,
        marker=look | dict(size=10, line=dict(width=1, color=INK)),
        hovertemplate=f"{name}: cost %{{x:.2f}}, benefit {mean:.0f} ({low:.0f} to {high:.0f})<extra></extra>",
    )


def _label(name: str, way: np.ndarray, is_on_front: bool) -> go.layout.Annotation:
    """Return a name at its place, with a thin line to its dot if they are apart."""
    color = _look(name)["color"]
    leader = dict(showarrow=True, arrowhead=0, arrowwidth=1, arrowcolor=GREY, standoff=DOT, borderpad=0)
    text = f"<b>{name}</b>" if is_on_front else name
    font = dict(size=12, color=INKS.get(color, color))
    return go.layout.Annotation(text=text, font=font, ax=round(way[0], 1), ay=round(-way[1], 1), **leader)
