"""Handles, markers and lines that several instruments draw."""

from collections.abc import Mapping

import plotly.graph_objects as go

from ...figures.style import BLACK, PATH


def edged_marker(color: str, symbol: str = "circle", size: int = 12, edge: float = 1.5) -> dict:
    """Return a marker with a black edge, so that a pale colour is seen too."""
    return dict(symbol=symbol, size=size, color=color, line=dict(width=edge, color=BLACK))


def add_handle(figure: go.Figure, axes: Mapping, k: int = 0) -> None:
    """Add the handle of the ``k``-th draggable point."""
    marker = dict(symbol="circle-cross", size=17, color="white", line=dict(width=2.5, color=BLACK))
    figure.add_scatter(uid=f"point-{k}", mode="markers", marker=marker, showlegend=False, **axes)


def add_edged_line(figure: go.Figure, uid: str, axes: Mapping, **options) -> None:
    """Add a line in the pale colour of paths, framed in black by the trace uid + "-edge"."""
    edge = dict(color=BLACK, width=5.5)
    figure.add_scatter(uid=f"{uid}-edge", mode="lines", line=edge, showlegend=False, **axes)
    figure.add_scatter(uid=uid, mode="lines", line=dict(color=PATH, width=3), **options, **axes)


def add_path(figure: go.Figure, axes: Mapping) -> None:
    """Add a path, the handle at its start and a diamond at its end."""
    add_edged_line(figure, "path", axes, name="path")
    add_handle(figure, axes)
    marker = edged_marker(PATH, "diamond", size=13)
    figure.add_scatter(uid="end", mode="markers", marker=marker, showlegend=False, **axes)
