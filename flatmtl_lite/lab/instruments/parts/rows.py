"""Two panels with one row per aggregator: its weights, and its cosine with the worst task."""

from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, TASKS
from .points import lines_with_gaps
from .weighing import METHODS

CHOSEN = "rgba(230, 159, 0, 0.25)"
# the legend has a row of its own above the titles of the panels
ROOM = dict(height=490, margin_t=78, margin_b=36, legend_y=1.065)


def row_panels() -> dict[str, dict]:
    """Return the two panels, with one row per method."""
    rows = dict(range=[len(METHODS) - 0.5, -0.5], tickvals=list(range(len(METHODS))), showgrid=False)
    return {
        "weights": dict(
            x=(0.61, 0.81),
            y=(0.06, 1),
            title="weights",
            xaxis=dict(range=[-0.7, 1.7]),
            yaxis=rows | dict(ticktext=METHODS),
        ),
        "worst": dict(
            x=(0.845, 1),
            y=(0.06, 1),
            title="worst cosine",
            xaxis=dict(range=[-1.1, 1.1], tickvals=[-1, 0, 1]),
            yaxis=rows | dict(showticklabels=False, ticks=""),
        ),
    }


def add_rows(figure: go.Figure, axes: Mapping[str, Mapping], tasks: int) -> None:
    """Add the traces of both panels: the chosen row, one bar per task, and a mark for the worst task."""
    for panel in ("weights", "worst"):
        box = dict(fill="toself", fillcolor=CHOSEN, line_width=0, mode="lines", showlegend=False)
        figure.add_scatter(uid=f"chosen-{panel}", **box, **axes[panel])
        zero = dict(mode="lines", line=dict(color=BLACK, width=1), showlegend=False)
        figure.add_scatter(x=[0, 0], y=[-1, 99], **zero, **axes[panel])
    for k in range(tasks):
        bar = dict(mode="lines", line=dict(color=TASKS[k], width=12 if tasks == 2 else 8), showlegend=False)
        figure.add_scatter(uid=f"weights-{k}", **bar, **axes["weights"])
    mark = dict(symbol="diamond", size=11, color=BLACK)
    figure.add_scatter(uid="worst", mode="markers", marker=mark, showlegend=False, **axes["worst"])


def row_traces(chosen: int, weights: Tensor, cosines: Tensor) -> dict[str, Tensor]:
    """Return the points of these traces from weights and cosines, (methods, N, T) each."""
    n, _, tasks = weights.shape
    low, high = chosen - 0.5, chosen + 0.5
    traces = {}
    corners = [(-9, low), (9, low), (9, high), (-9, high), (-9, low)]  # wider than either panel
    for panel in ("weights", "worst"):
        traces[f"chosen-{panel}"] = torch.tensor([corners], dtype=torch.float64)
    rows = torch.arange(n, dtype=torch.float64)
    for k in range(tasks):
        height = (rows + 0.5 * ((k + 0.5) / tasks - 0.5) * 1.3).expand(weights.shape[1], n)
        ends = torch.stack([torch.zeros_like(height), weights[..., k].T], -1)
        bars = torch.stack([ends, height.unsqueeze(-1).expand_as(ends)], -1)
        traces[f"weights-{k}"] = lines_with_gaps(bars)
    worst = cosines.amin(-1).T
    traces["worst"] = torch.stack([worst, rows.expand_as(worst)], -1)
    return traces
