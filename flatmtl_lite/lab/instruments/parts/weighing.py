"""What the instruments of aggregators share: every method's weights, and panels with a row a method."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ....aggregation import AGGREGATORS, GramianAggregator
from ...figures.style import BLACK, TASKS

METHODS = [name for name, method in AGGREGATORS.items() if issubclass(method, GramianAggregator)]
CONE = "rgba(0, 0, 0, 0.09)"
CHOSEN = "rgba(230, 159, 0, 0.25)"


# the legend in a row of its own, above the titles of the panels
ROOM = dict(height=490, margin_t=78, margin_b=36, legend_y=1.065)


def weigh_all(G: Tensor) -> Tensor:
    """Weights of all ``METHODS`` for gradients (N, T, P), each by a fresh aggregator: (methods, N, T)."""
    M = G @ G.mT
    return torch.stack([AGGREGATORS[name]().weights(M) for name in METHODS])


def slopes(G: Tensor, d: Tensor) -> Tensor:
    """Cosine of each gradient (N, T, P) with the direction (..., N, P): (..., N, T); NaN for d = 0.

    A gradient of 0 has the cosine 0.
    """
    inner = (G @ d.unsqueeze(-1)).squeeze(-1)
    cosine = inner / (G.norm(dim=-1) * d.norm(dim=-1, keepdim=True)).clamp_min(1e-300)
    return cosine.masked_fill(d.norm(dim=-1, keepdim=True) < 1e-9, torch.nan)


def row_panels() -> dict[str, dict]:
    """Two panels with a row a method: the weights, and how the direction stands to the worst task."""
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


def add_rows(figure: go.Figure, on: Mapping[str, Mapping], tasks: int) -> None:
    """The traces of both panels: the chosen row, a bar a task, a mark for the worst task."""
    for panel in ("weights", "worst"):
        box = dict(fill="toself", fillcolor=CHOSEN, line_width=0, mode="lines", showlegend=False)
        figure.add_scatter(uid=f"chosen-{panel}", **box, **on[panel])
        zero = dict(mode="lines", line=dict(color=BLACK, width=1), showlegend=False)
        figure.add_scatter(x=[0, 0], y=[-1, 99], **zero, **on[panel])
    for k in range(tasks):
        bar = dict(mode="lines", line=dict(color=TASKS[k], width=12 if tasks == 2 else 8), showlegend=False)
        figure.add_scatter(uid=f"weights-{k}", **bar, **on["weights"])
    mark = dict(symbol="diamond", size=11, color=BLACK)
    figure.add_scatter(uid="worst", mode="markers", marker=mark, showlegend=False, **on["worst"])


def row_traces(chosen: int, weights: Tensor, cosines: Tensor) -> dict[str, Tensor]:
    """The points of those traces from weights and cosines, (methods, N, T) each."""
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
        traces[f"weights-{k}"] = with_gaps(bars)
    worst = cosines.amin(-1).T
    traces["worst"] = torch.stack([worst, rows.expand_as(worst)], -1)
    return traces


def with_gaps(lines: Tensor) -> Tensor:
    """Lines (N, n, points, 2) as one trace (N, n (points + 1), 2): a gap after each."""
    gap = torch.full_like(lines[:, :, :1], torch.nan)
    return torch.cat([lines, gap], 2).flatten(1, 2)


def verdict(weights: Sequence[float], cosines: Sequence[float], length: float) -> str:
    """A method's weights and what its direction does, in words."""
    said = f"weights {', '.join(f'{w:.2f}' for w in weights)}; "
    if any(math.isnan(c) for c in cosines):
        return said + "direction 0: it stops."
    worse = [f"{k + 1}" for k, c in enumerate(cosines) if c < -1e-6]
    effect = f"makes task {' and '.join(worse)} worse" if worse else "makes no task worse"
    return f"{said}length {length:.2f}; it {effect}."
