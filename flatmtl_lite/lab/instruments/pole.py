"""The pole instrument: published IMTL-G and ours, while the third task's gradient shrinks."""

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import IMTLG, weighted_sum
from ..figures.arrows import arrow
from ..figures.style import BLACK, PURPLE
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.arrows import arrow_points
from .parts.opening import open_stage, position
from .parts.panels import panel_figure
from .parts.rows import ROOM
from .parts.space import SPACE, add_space, find_independent, project, space_traces

# All three agree, and the third lies a little to the side of the middle of the other two.
NARROW = ((0.42, 0.0, 0.91), (-0.42, 0.0, 0.91), (0.0, 0.26, 0.97))
LENGTHS = torch.linspace(0.05, 1.5, 88, dtype=torch.float64)
CAMERA = 60.0
# divisor -> colour, dash, name
LOOKS = {
    "ours": (BLACK, "solid", "divided by Σ|β|"),
    "published": (PURPLE, "dash", "divided by Σβ"),
}


def pole_instrument(length: float = 1.5, after: Prediction | None = None) -> Stage:
    """Show published IMTL-G and ours while the third task's gradient shrinks. The camera stands still.

    The right panel shows what each method does for every task: the inner product of its direction with
    each unit gradient. IMTL-G makes it equal for all tasks. Where Σβ changes its sign, the published
    direction goes to infinity and comes back from the other side. Its arrow and its dot stop at the rim.

    Args:
        length: length of the third gradient, 0.05 to 1.5. The nearest slider position is taken.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the length lies outside its range.
    """
    table = _table()
    return open_stage(
        _figure(),
        lambda choice: table,
        recipe="lab.pole_instrument({value})",
        title="Pole instrument",
        label="length of task 3's gradient",
        values=[f"{value:.3g}" for value in LENGTHS.tolist()],
        index=position(length, LENGTHS, "length"),
        after=after,
    )


def published_imtl_g(weights: Tensor) -> Tensor:
    """Return IMTL-G's weights (..., T) as published, divided by Σβ, from ours, divided by Σ|β|."""
    return weights / weights.sum(-1, keepdim=True)


def gain(G: Tensor, d: Tensor) -> Tensor:
    """Return ⟨gᵢ, d⟩/‖gᵢ‖ of the first task, (N,), for gradients (N, T, P) and directions (N, P)."""
    return (G[:, 0] * d).sum(-1) / G[:, 0].norm(dim=-1)


def broken_at_poles(curve: Tensor) -> Tensor:
    """Return the curve (N, 2) with a gap where its height changes sign."""
    jump = torch.cat([curve[1:, 1] * curve[:-1, 1] < 0, torch.zeros(1, dtype=torch.bool)])
    return curve.masked_fill(jump.unsqueeze(-1), torch.nan)


def _table() -> Table:
    G = find_independent(NARROW).expand(len(LENGTHS), 3, 3).clone()
    G[:, 2] *= (LENGTHS / G[:, 2].norm(dim=-1)).unsqueeze(-1)
    weights = IMTLG().weights(G @ G.mT)
    directions = {"ours": weighted_sum(weights, G), "published": weighted_sum(published_imtl_g(weights), G)}
    gains = {uid: gain(G, d) for uid, d in directions.items()}
    camera = torch.full_like(LENGTHS, CAMERA)
    traces = space_traces(G, camera)
    for uid, d in directions.items():
        arrows = project(d.unsqueeze(1), camera)[:, 0]
        traces[uid] = arrow_points(arrows * (1.15 / arrows.norm(dim=-1, keepdim=True)).clamp_max(1.0))
        traces[f"{uid}-here"] = torch.stack([LENGTHS, gains[uid].clamp(-1.65, 1.65)], -1).unsqueeze(1)
        traces[f"{uid}-curve"] = broken_at_poles(torch.stack([LENGTHS, gains[uid]], -1))[None]
    states = [
        f"Length {length:.2f}: divided by Σ|β| every task gains {ours:.2f}, divided by Σβ {published:.2f}"
        f"{' (all get worse)' if published < 0 else ''}."
        for length, ours, published in zip(
            LENGTHS.tolist(), gains["ours"].tolist(), gains["published"].tolist(), strict=True
        )
    ]
    return Table(traces, states)


def _figure() -> go.Figure:
    panel = dict(
        x=(0.6, 1),
        y=(0.1, 1),
        title="what each task gains",
        xaxis=dict(range=[0, 1.55], title="length of task 3's gradient"),
        yaxis=dict(range=[-1.7, 1.7], title="⟨gᵢ, d⟩ / ‖gᵢ‖, the same for all i"),
    )
    figure, axes = panel_figure([], space=SPACE, gain=panel)
    figure.update_layout(**ROOM)
    add_space(figure, axes["space"])
    zero = dict(mode="lines", line=dict(color=BLACK, width=1), showlegend=False)
    figure.add_scatter(x=[0, 2], y=[0, 0], **zero, **axes["gain"])
    for uid, (color, dash, name) in LOOKS.items():
        figure.add_trace(arrow(uid, color, dash, name=name, **axes["space"]))
        curve = dict(mode="lines", line=dict(color=color, dash=dash, width=3), showlegend=False)
        figure.add_scatter(uid=f"{uid}-curve", **curve, **axes["gain"])
        marker = dict(size=11, color=color, line=dict(width=1.5, color=BLACK))
        figure.add_scatter(uid=f"{uid}-here", mode="markers", marker=marker, showlegend=False, **axes["gain"])
    return figure
