"""Benefit against cost: every method with its name, and the Pareto front."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .basic import short
from .style import BLACK, BLUE, GREEN, GREY, INK, INKS, ORANGE, PURPLE, SKY, TEMPLATE

Interval = Sequence[float]  # mean, low, high
Places = Mapping[str, tuple[float, Interval]]  # method -> cost, benefit
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
SIDES = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)]
SIDES += [(x * a, y * b) for a, b in ((0.8, 0.6), (0.95, 0.3), (0.4, 0.9)) for x in (1, -1) for y in (1, -1)]
TURNS = [np.array(side, dtype=float) for side in SIDES]
FARTHER = (0, 16, 32, 50, 70, 95, 125, 160)
SWEEPS = 3  # a name may have to make room for a later one


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
    names = {name for gains in panels.values() for name in gains}
    x_range = _padded([costs[name] for name in names], 0.04, 0.14)
    share = (1 - BETWEEN * (len(panels) - 1)) / len(panels)
    size = np.array([WIDTH - LEFT - RIGHT, (HEIGHT * len(panels) - TOP - BOTTOM) * share])
    for row, (title, gains) in enumerate(panels.items(), 1):
        axes = Axes(x_range, _padded([gain[0] for gain in gains.values()], 0.1, 0.25), size)
        places = {name: (costs[name], gain) for name, gain in gains.items()}
        for trace in (_front(fronts[title], places), *(_dot(name, *p) for name, p in places.items())):
            figure.add_trace(trace, row, 1)
        figure.add_hline(y=0, line=dict(color=GREY, width=1), row=row, col=1)
        for label in _labels(places, fronts[title], axes):
            figure.add_annotation(label, row=row, col=1)
        figure.update_yaxes(range=axes.y, title_text="benefit, % of F-LS's", row=row, col=1)
    figure.update_xaxes(range=x_range, ticksuffix=" ×", showgrid=False)
    figure.update_xaxes(title_text=x_title, row=len(panels), col=1)
    margins = dict(l=LEFT, r=RIGHT, t=TOP, b=BOTTOM)
    height = HEIGHT * len(panels)
    return figure.update_layout(template=TEMPLATE, height=height, margin=margins, showlegend=False)


class Axes(NamedTuple):
    """The ranges of a panel's axes, and its size in pixels."""

    x: list[float]
    y: list[float]
    size: np.ndarray

    def pixels(self, *points: Sequence[float]) -> np.ndarray:
        """Return points (n, 2) in pixels, from the lower left corner."""
        low, high = np.array([self.x, self.y]).T
        return (np.array(points) - low) / (high - low) * self.size


def offsets(
    dots: Mapping[str, np.ndarray],
    size: np.ndarray,
    lines: Sequence[np.ndarray] = (),
    nameless: Sequence[np.ndarray] = (),
) -> dict[str, np.ndarray]:
    """Return for each name the way from its dot to its middle, in pixels, so that no two names overlap.

    Each name takes the nearest place where it covers least. Names and dots count most, then the lines, and
    the thin line from a name to its dot.

    Args:
        dots: name -> place (2,), in pixels from the panel's lower left corner.
        size: of the panel, in pixels (2,).
        lines: pairs of points to keep off, (2, 2) each.
        nameless: places of dots without a name, (2,) each.
    """
    fixed = np.concatenate([np.zeros((0, 2)), *(_along(*line) for line in lines)])
    ways: dict[str, np.ndarray] = {}
    for name in SWEEPS * sorted(dots, key=lambda name: -dots[name][1]):
        others = {other: way for other, way in ways.items() if other != name}
        places = [dots[other] + way for other, way in others.items()]
        leaders = [_along(dots[other], place) for other, place in zip(others, places, strict=True)]
        points = np.concatenate([fixed, *leaders])
        middles = np.array([*dots.values(), *nameless, *places])
        sizes = [np.full(2, DOT)] * (len(dots) + len(nameless)) + [half_size(other) for other in others]
        halves = np.array(sizes)
        dot, half = dots[name], half_size(name)
        options = np.array([turn * (half + DOT + 4) + turn * far for far in FARTHER for turn in TURNS])
        spots = dot + options[:, None]
        ways_there = dot + options[:, None] * np.linspace(0, 1, 30)[:, None]
        outside = ((spots - half < 2) | (spots + half > size - 2)).any((1, 2))
        covered = (np.abs(spots - middles) < half + halves).all(-1).sum(1)
        crossed = (np.abs(ways_there[:, :, None] - middles) < halves).all(-1).any(1)
        crossed = crossed[:, (middles != dot).any(-1)].sum(1)
        touched = (np.abs(spots - points) < half).all(-1).sum(1)
        far = np.hypot(*options.T)
        badness = 100 * outside + 5 * covered + crossed + 0.06 * touched + 0.005 * far
        ways[name] = options[badness.argmin()]
    return ways


def _along(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return points of a line (n, 2), about six pixels apart."""
    count = 2 + int(np.hypot(*(end - start)) / 6)
    return start + (end - start) * np.linspace(0, 1, count)[:, None]


def half_size(name: str) -> np.ndarray:
    """Return half the width and the height of a name, in pixels."""
    return np.array([LETTER * len(name), LINE]) / 2


def _padded(values: Sequence[float], before: float, after: float) -> list[float]:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return short([low - before * span, high + after * span])


def _look(name: str) -> dict:
    return next(look for start, look in FAMILIES.items() if name.startswith(start))


def _corners(front: Sequence[str], places: Places) -> list[tuple[float, float]]:
    """Return the corners of the stepped line through the methods of the front."""
    ends = [(places[name][0], places[name][1][0]) for name in front]
    return [corner for one, other in pairwise(ends) for corner in (one, (other[0], one[1]))] + ends[-1:]


def _front(front: Sequence[str], places: Places) -> go.Scatter:
    x, y = (short(column) for column in zip(*_corners(front, places), strict=True))
    line = dict(color=BLACK, width=1.5, dash="dot")
    return go.Scatter(x=x, y=y, mode="lines", line=line, name="front", hoverinfo="skip")


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


def _labels(places: Places, front: Sequence[str], axes: Axes) -> Iterator[go.layout.Annotation]:
    """Yield each name at its place, with a thin line to its dot if they are apart. Bold: on the front."""
    dots = {name: axes.pixels((cost, gain[0]))[0] for name, (cost, gain) in places.items()}
    bars = [axes.pixels((cost, gain[1]), (cost, gain[2])) for cost, gain in places.values()]
    steps = [axes.pixels(*pair) for pair in pairwise(_corners(front, places))]
    leader = dict(showarrow=True, arrowhead=0, arrowwidth=1, arrowcolor=GREY, standoff=DOT, borderpad=0)
    for name, (dx, dy) in offsets(dots, axes.size, [*bars, *steps]).items():
        color = _look(name)["color"]
        cost, gain = places[name]
        yield go.layout.Annotation(
            text=f"<b>{name}</b>" if name in front else name,
            font=dict(size=12, color=INKS.get(color, color)),
            x=cost,
            y=gain[0],
            ax=round(dx, 1),
            ay=round(-dy, 1),
            **leader,
        )
