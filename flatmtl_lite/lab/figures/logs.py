"""Lines of logs, a look for each method, bands and panels, for the figures of runs."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb
from plotly.subplots import make_subplots

from .style import BLACK, BLUE, GREEN, GREY, METHODS, ORANGE, PURPLE, SKY, TEMPLATE, VERMILLION

Line = Mapping[str, Any]
Runs = Mapping[str, Sequence[Sequence[Line]]]  # name of a method -> its logs, one per seed

# Looks of methods that the course does not know. No two of them agree in colour and dash.
FURTHER = [
    dict(color=color, dash=dash, symbol=symbol)
    for color, dash, symbol, _ in zip(
        cycle((BLUE, VERMILLION, BLACK, PURPLE, GREY, GREEN, ORANGE, SKY)),
        cycle(("dot", "longdash", "dashdot", "dash", "solid")),
        cycle(("star", "cross", "pentagon", "hexagon", "hourglass", "bowtie", "triangle-left")),
        range(40),
    )
]


class NothingToDraw(ValueError):
    """The runs did not measure what a figure shows."""


def looks(names: Iterable[str]) -> dict[str, dict]:
    """Return colour, dash and symbol of each name. Methods of the course keep their look in every figure."""
    names = list(names)
    others = [look for name, look in METHODS.items() if name not in names]
    rest = cycle([look for look in others if look["color"] != GREY] + FURTHER)
    return {name: METHODS[name] if name in METHODS else next(rest) for name in names}


def lines_with(runs: Runs, kind: str, key: str) -> dict[str, list[list[Line]]]:
    """Return the lines of a kind that hold ``key``, log by log. A run without such a line is left out.

    Raises:
        NothingToDraw: no run has such a line.
    """
    by_method = {}
    for name, logs in runs.items():
        kept = [
            [line for line in log if line["kind"] == kind and line.get(key) not in (None, {}, [])]
            for log in logs
        ]
        if any(kept):
            by_method[name] = [lines for lines in kept if lines]
    if not by_method:
        raise NothingToDraw(
            f"Got runs {list(runs)} without a {kind!r} line that holds {key!r}; expected at least one. "
            "Give the log lines of runs that measured it."
        )
    return by_method


def over_seeds(logs: Iterable[Iterable[tuple[float, float]]]) -> np.ndarray:
    """Turn points (x, y) of each seed into rows (x, lowest, mean, highest) over the seeds that have that x.

    Example:
        >>> over_seeds([[(1, 2.0), (2, 3.0)], [(1, 6.0)]]).tolist()
        [[1.0, 2.0, 4.0, 6.0], [2.0, 3.0, 3.0, 3.0]]
    """
    values: dict[float, list[float]] = {}
    for log in logs:
        for x, y in log:
            values.setdefault(x, []).append(y)
    return np.array([(x, min(ys), np.mean(ys), max(ys)) for x, ys in sorted(values.items())])


def over_stretches(pairs: Iterable[tuple[float, float]], stretches: int = 25) -> np.ndarray:
    """Turn points (epoch, y) into rows (middle, 10th percentile, median, 90th) of equal stretches."""
    x, y = np.array(list(pairs), dtype=float).T
    width = max(x.max(), 1e-9) / stretches
    place = np.minimum(x // width, stretches - 1)  # the last step belongs to the last stretch
    rows = [((k + 0.5) * width, *np.percentile(y[place == k], (10, 50, 90))) for k in np.unique(place)]
    return np.array(rows)


def add_band(
    figure: go.Figure, rows: np.ndarray, name: str, look: Mapping, row: int, column: int, seeds: int = 0
) -> None:
    """Add a line through the middle of rows (x, low, middle, high), and a band if low and high differ.

    The legend shows its name once, for the first panel. Without rows nothing is added.

    Args:
        figure: the figure, with panels.
        rows: (N, 4).
        name, look: name of the method, and its look from :func:`looks`.
        row, column: place of the panel.
        seeds: number of seeds behind the rows; 0: they are not of seeds. Two seeds are two dots, low and
            high, because a band would promise more values than there are.
    """
    if not len(rows):
        return
    x, low, middle, high = np.array([[float(f"{value:.5g}") for value in line] for line in rows]).T.tolist()
    at = dict(row=row, col=column)
    shown = all(trace.name != name for trace in figure.data)
    color = look["color"]
    if low != high and seeds == 2:
        dots = dict(mode="markers", marker=dict(color=color, symbol=look["symbol"], size=5, opacity=0.5))
        quiet = dict(hoverinfo="skip", showlegend=False, legendgroup=name)
        figure.add_scatter(x=x + x, y=low + high, **dots, **quiet, **at)
    elif low != high:
        edge = dict(x=x + x[::-1], y=high + low[::-1], mode="lines", line_width=0, fill="toself")
        quiet = dict(hoverinfo="skip", showlegend=False, legendgroup=name)
        figure.add_scatter(**edge, fillcolor=faint(color), **quiet, **at)
    figure.add_scatter(
        x=x,
        y=middle,
        name=name,
        legendgroup=name,
        showlegend=shown,
        mode="lines+markers",
        line=dict(color=color, dash=look["dash"], width=2.5),
        marker=dict(color=color, symbol=look["symbol"], size=8, maxdisplayed=12),
        **at,
    )


def faint(color: str, opacity: float = 0.16) -> str:
    """Return a colour of the course as a transparent one."""
    return f"rgba({', '.join(map(str, hex_to_rgb(color)))}, {opacity})"


def panel_grid(titles: Sequence[Sequence[str]], height: int = 300, **options) -> go.Figure:
    """Return rows and columns of panels, each under its title, each row ``height`` pixels high.

    The legend stands at a fixed distance above the titles, for any number of rows.
    """
    above = 36 + 20 * any("<br>" in title for title in titles[0])  # room for titles
    rows, gap = len(titles), 48 + above
    plot = rows * height + (rows - 1) * gap
    figure = make_subplots(
        rows,
        len(titles[0]),
        subplot_titles=[title for row in titles for title in row],
        **dict(vertical_spacing=gap / plot, horizontal_spacing=0.07) | options,
    )
    figure.update_annotations(font_size=16)
    figure.update_yaxes(title_standoff=10, automargin=True)
    margin = dict(t=74 + above, b=70, l=85)
    height = plot + margin["t"] + margin["b"]
    return figure.update_layout(template=TEMPLATE, height=height, margin=margin, legend_y=1 + above / plot)


def panel_titles(names: Iterable[str], tasks: Sequence[str]) -> list[list[str]]:
    """Return the titles of panels with one row per method and one column per task."""
    return [[f"{name}<br>{task}" for task in tasks] for name in names]
