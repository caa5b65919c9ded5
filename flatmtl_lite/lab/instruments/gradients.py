"""The gradients instrument: drag gradients, and see what every method makes of them."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import weighted_sum
from ...diagnostics import angles
from ..figures.landscape import arrow
from ..figures.style import BLACK, GREY, TASK_DASHES, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import add_handle, arrow_points, conflict_text, panelled, position, staged
from .parts.weighing import CONE, METHODS, ROOM, add_rows, row_panels, row_traces, slopes, verdict, weigh_all

REACH = 2.2
TURNS = torch.arange(0, 361, 5, dtype=torch.float64)


def gradients_instrument(
    gradients: Sequence[Sequence[float]] = ((2.0, 0.0), (0.5, 0.87)),
    turn: float = 0.0,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Two or three gradients to drag and turn: every method's direction and weights, and who pays.

    The shaded wedge holds the directions that descend on every task (the optimizer steps against the
    direction). Dots mark where the other methods point; the dotted line is the rim of the convex hull.

    Args:
        gradients: (x, y) for each of two or three tasks; can be dragged.
        turn: degrees by which the last gradient is turned, 0 to 360; the nearest slider position is taken.
        method: whose direction is drawn as an arrow, a key of ``flatmtl_lite.AGGREGATORS`` that works on
            the Gramian.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: neither two nor three gradients, one outside the picture, an unknown method, or a turn
            outside its range.
    """
    tasks = len(gradients)
    if tasks not in (2, 3):
        raise ValueError(f"Got {tasks} gradients; expected two or three pairs (x, y).")
    axis = dict(range=[-REACH, REACH], tickvals=[-2, -1, 0, 1, 2])
    plane = dict(x=(0, 0.46), y=(0, 1), title="", equal=True, xaxis=axis, yaxis=axis)
    figure, on = panelled([], plane=plane, **row_panels())
    figure.update_layout(**ROOM)
    wedge = dict(mode="lines", line_width=0, fill="toself", fillcolor=CONE)
    figure.add_scatter(uid="cone", name="good for all", **wedge, **on["plane"])
    edge = dict(mode="lines", line=dict(color=GREY, width=1.5, dash="dot"))
    figure.add_scatter(uid="hull", showlegend=False, **edge, **on["plane"])
    for k in range(tasks):
        look = dict(color=TASKS[k], dash=TASK_DASHES[k], name=f"task {k + 1}")
        figure.add_trace(arrow(f"gradient-{k}", **look, **on["plane"]))
    for k in range(tasks):
        add_handle(figure, on["plane"], k)
    dots = dict(symbol="circle-open", size=9, color=GREY, line_width=2)
    figure.add_scatter(uid="others", mode="markers", marker=dots, name="others", **on["plane"])
    figure.add_trace(arrow("direction", BLACK, name="direction", **on["plane"]))
    add_rows(figure, on, tasks)

    @functools.lru_cache(maxsize=1)  # all choices look at the same
    def weighed(points: tuple) -> tuple[Tensor, Tensor]:
        G = turned(torch.tensor(points, dtype=torch.float64))
        return G, weigh_all(G)

    def compute(choice: str, *points: tuple[float, float]) -> Table:
        G, weights = weighed(points)
        d = weighted_sum(weights, G)
        cosine, chosen = slopes(G, d), METHODS.index(choice)
        traces = row_traces(chosen, weights, cosine)
        traces |= {"cone": wedges(G), "hull": torch.cat([G, G[:, :1]], 1)}
        traces |= {"others": d.transpose(0, 1), "direction": arrow_points(d[chosen])}
        traces |= {f"gradient-{k}": arrow_points(G[:1, k]) for k in range(tasks - 1)}
        last = tasks - 1  # its handle rides on the slider
        traces |= {f"gradient-{last}": arrow_points(G[:, last]), f"point-{last}": G[:, last:]}
        between = (angles(G) * (1 - torch.eye(tasks))).amax((-2, -1))
        states = [
            f"{'Angle' if tasks == 2 else 'Largest angle'} {a:.0f}°{conflict_text(a)}. {choice}: "
            + verdict(w, c, size)
            for a, w, c, size in zip(
                between.tolist(),
                weights[chosen].tolist(),
                cosine[chosen].tolist(),
                d[chosen].norm(dim=-1).tolist(),
                strict=True,
            )
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
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
    """Gradients (T, 2), the last one turned by each of ``TURNS``: (N, T, 2)."""
    a = torch.deg2rad(TURNS)
    rotation = torch.stack([torch.stack([a.cos(), -a.sin()], -1), torch.stack([a.sin(), a.cos()], -1)], -2)
    return torch.cat([G[:-1].expand(len(a), -1, -1), (rotation @ G[-1]).unsqueeze(1)], 1)


def wedges(G: Tensor) -> Tensor:
    """Outlines (N, 33, 2) of {d: ⟨gᵢ, d⟩ > 0 for all i} for gradients (N, T, 2); NaN where it is empty."""
    angle = torch.atan2(G[..., 1], G[..., 0])
    away = torch.remainder(angle - angle[:, :1] + math.pi, 2 * math.pi) - math.pi
    low, high = away.amax(-1) - math.pi / 2, away.amin(-1) + math.pi / 2
    share = torch.linspace(0, 1, 31, dtype=G.dtype)
    arc = angle[:, :1] + low[:, None] + (high - low)[:, None] * share
    rim = 2 * REACH * torch.stack([arc.cos(), arc.sin()], -1)
    tip = torch.zeros_like(rim[:, :1])
    empty = (high - low < 1e-9) | (G.norm(dim=-1) == 0).any(-1)
    return torch.cat([tip, rim, tip], 1).masked_fill(empty[:, None, None], torch.nan)
