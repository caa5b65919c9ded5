"""The dial: a half circle on which needles show angles."""

import math
from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from .arrows import arrow_points

DIAL = dict(
    xaxis=dict(range=[-1.3, 1.3], visible=False), yaxis=dict(range=[-0.15, 1.3], visible=False), equal=True
)


def add_dial(figure: go.Figure, axes: Mapping) -> None:
    """Add a half circle from 0° at the right to 180° at the left. The left half means conflict."""
    turn = torch.linspace(0, math.pi, 61)
    x, y = turn.cos().tolist(), turn.sin().tolist()
    quiet = dict(showlegend=False, mode="lines")
    conflict = dict(fill="toself", fillcolor="rgba(213, 94, 0, 0.12)", line_width=0)
    figure.add_scatter(x=[0, *x[30:]], y=[0, *y[30:]], **conflict, **quiet, **axes)
    figure.add_scatter(x=x, y=y, line=dict(color="#444444", width=1.5), **quiet, **axes)
    places = {"0°": (1.18, 0), "90°": (0, 1.14), "180°": (-1.2, 0), "conflict": (-0.62, 0.3)}
    for text, (left, up) in places.items():
        figure.add_annotation(
            text=text, x=left, y=up, xref=axes["xaxis"], yref=axes["yaxis"], showarrow=False, font_size=13
        )


def needles(degrees: Tensor) -> Tensor:
    """Return the points (N, 2, 2) of a needle at each angle (N,)."""
    radians = torch.deg2rad(degrees)
    return arrow_points(torch.stack([radians.cos(), radians.sin()], -1))


def title_dial_legends(figure: go.Figure, between: str) -> None:
    """Title the legends of the needles: ``between`` two tasks, and within one task."""
    for legend, text in (("legend3", between), ("legend4", "within, loss to flat: ")):
        figure.update_layout({legend: dict(title=dict(text=text, side="left", font_size=13))})
