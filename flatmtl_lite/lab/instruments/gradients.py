"""The gradients instrument: drag gradients, and watch what every method makes of them."""

import functools
import math
from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import weighted_sum
from ...diagnostics import angles
from ..figures.arrows import arrow
from ..figures.style import BLACK, GREY, TASK_DASHES, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import conflict_text
from .parts.arrows import arrow_points
from .parts.marks import add_handle
from .parts.opening import open_stage, position
from .parts.panels import panel_figure
from .parts.rows import ROOM, add_rows, row_panels, row_traces
from .parts.weighing import METHODS, slopes, verdict, weigh_all

CONE = "rgba(0, 0, 0, 0.09)"
REACH = 2.2
TURNS = torch.arange(0, 361, 5, dtype=torch.float64)


def gradients_instrument(
    gradients: Sequence[Sequence[float]] = ((2.0, 0.0), (0.5, 0.87)),
    turn: float = 0.0,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Drag and turn two or three gradients: see every method's direction and weights, and who pays.

    The shaded wedge holds the directions that descend on every task (the optimizer steps against the
    direction). Dots mark the directions of the other methods. The dotted line is the rim of the convex hull.

    Args:
        gradients: (x, y) for each of two or three tasks. The learner can drag them.
        turn: degrees by which the last gradient is turned, 0 to 360. The nearest slider position is taken.
        method: the method whose direction is drawn as an arrow. It is a key of
            ``flatmtl_lite.AGGREGATORS`` that works on the Gramian.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: there are neither two nor three gradients, one lies outside the picture, the method is
            unknown, or the turn lies outside its range.
    """
    tasks = len(gradients)
    if tasks not in (2, 3):
        raise ValueError(f"Got {tasks} gradients; expected two or three pairs (x, y).")
    return open_stage(
        _figure(tasks),
        _table,
        recipe="lab.gradients_instrument({points}, turn={value}, method={choice})",
        title="Gradients instrument",
        label=f"turn task {tasks} by (°)",
        values=[f"{value:.0f}" for value in TURNS.tolist()],
        index=position(turn, TURNS, "turn"),
        choices=METHODS,
        choice=method,
        points={f"task {k + 1}": point for k, point in enumerate(gradients)},
        after=after,
    )


def turned(G: Tensor) -> Tensor:
    """Return the gradients (T, 2) with the last one turned by each of ``TURNS``: (N, T, 2)."""
    a = torch.deg2rad(TURNS)
    rotation = torch.stack([torch.stack([a.cos(), -a.sin()], -1), torch.stack([a.sin(), a.cos()], -1)], -2)
    return torch.cat([G[:-1].expand(len(a), -1, -1), (rotation @ G[-1]).unsqueeze(1)], 1)


def wedges(G: Tensor) -> Tensor:
    """Return the outline (N, 33, 2) of {d: ⟨gᵢ, d⟩ > 0 for all i} for gradients (N, T, 2).

    It is NaN if no direction is good for all.
    """
    angle = torch.atan2(G[..., 1], G[..., 0])
    away = torch.remainder(angle - angle[:, :1] + math.pi, 2 * math.pi) - math.pi
    low, high = away.amax(-1) - math.pi / 2, away.amin(-1) + math.pi / 2
    share = torch.linspace(0, 1, 31, dtype=G.dtype)
    arc = angle[:, :1] + low[:, None] + (high - low)[:, None] * share
    rim = 2 * REACH * torch.stack([arc.cos(), arc.sin()], -1)
    tip = torch.zeros_like(rim[:, :1])
    empty = (high - low < 1e-9) | (G.norm(dim=-1) == 0).any(-1)
    return torch.cat([tip, rim, tip], 1).masked_fill(empty[:, None, None], torch.nan)


@functools.lru_cache(maxsize=1)  # every choice needs the weights of all methods
def _turned_weights(points: tuple[tuple[float, float], ...]) -> tuple[Tensor, Tensor]:
    G = turned(torch.tensor(points, dtype=torch.float64))
    return G, weigh_all(G)


def _table(choice: str, *points: tuple[float, float]) -> Table:
    G, weights = _turned_weights(points)
    d = weighted_sum(weights, G)
    cosine, chosen, last = slopes(G, d), METHODS.index(choice), len(points) - 1
    traces = row_traces(chosen, weights, cosine)
    traces |= {"cone": wedges(G), "hull": torch.cat([G, G[:, :1]], 1)}
    traces |= {"others": d.transpose(0, 1), "direction": arrow_points(d[chosen])}
    traces |= {f"gradient-{k}": arrow_points(G[:1, k]) for k in range(last)}
    # the last handle moves along with the slider
    traces |= {f"gradient-{last}": arrow_points(G[:, last]), f"point-{last}": G[:, last:]}
    largest = (angles(G) * (1 - torch.eye(len(points)))).amax((-2, -1))
    states = [
        f"{'Angle' if len(points) == 2 else 'Largest angle'} {a:.0f}°{conflict_text(a)}. {choice}: "
        + verdict(w, c, size)
        for a, w, c, size in zip(
            largest.tolist(),
            weights[chosen].tolist(),
            cosine[chosen].tolist(),
            d[chosen].norm(dim=-1).tolist(),
            strict=True,
        )
    ]
    return Table(traces, states)


def _figure(tasks: int) -> go.Figure:
    axis = dict(range=[-REACH, REACH], tickvals=[-2, -1, 0, 1, 2])
    plane = dict(x=(0, 0.46), y=(0, 1), title="", equal=True, xaxis=axis, yaxis=axis)
    figure, axes = panel_figure([], plane=plane, **row_panels())
    figure.update_layout(**ROOM)
    wedge = dict(mode="lines", line_width=0, fill="toself", fillcolor=CONE)
    figure.add_scatter(uid="cone", name="good for all", **wedge, **axes["plane"])
    edge = dict(mode="lines", line=dict(color=GREY, width=1.5, dash="dot"))
    figure.add_scatter(uid="hull", showlegend=False, **edge, **axes["plane"])
    for k in range(tasks):
        look = dict(color=TASKS[k], dash=TASK_DASHES[k], name=f"task {k + 1}")
        figure.add_trace(arrow(f"gradient-{k}", **look, **axes["plane"]))
    for k in range(tasks):
        add_handle(figure, axes["plane"], k)
    dots = dict(symbol="circle-open", size=9, color=GREY, line_width=2)
    figure.add_scatter(uid="others", mode="markers", marker=dots, name="others", **axes["plane"])
    figure.add_trace(arrow("direction", BLACK, name="direction", **axes["plane"]))
    add_rows(figure, axes, tasks)
    return figure
