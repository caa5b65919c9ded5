"""The portrait instrument: the ends of 100 starts, for every rule and every ρ."""

import os
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import Mean
from ...decomposition import RULES
from ...toy import PROBLEMS, Method, descend
from ..figures.landscape import ground
from ..figures.style import BLACK
from ..figures.style import RULES as LOOKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.opening import open_stage, position
from .parts.panels import Axes, panel_figure
from .parts.points import circle, growing_curve
from .rules import AGGREGATES

RHOS = torch.linspace(0, 1, 11, dtype=torch.float64)
SIDE = 10  # starts along each side of the window
VALLEYS = {"sharp valley": "dot", "flat valley": "solid"}
NEAR = 0.4  # an end within this distance of a bottom lies in its valley
PATH_STEPS = [0, 2, 4, 7, 11, 17, 30, 60]  # the steps that a drawn path shows: dense where it is fast


def portrait_instrument(
    rho: float = 0.0, aggregate: str = "PCGrad", after: Prediction | None = None
) -> Stage:
    """Show 100 starts on the problem "valleys", the five rules, and the share in the flat valley against ρ.

    With FLATMTL_FAST=1 there are 25 starts instead of 100.

    Args:
        rho: the slider begins at its position nearest to this ρ.
        aggregate: one of ``AGGREGATES``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the aggregator is unknown, or ρ lies outside 0 to 1.
    """
    side = SIDE // 2 if os.environ.get("FLATMTL_FAST") == "1" else SIDE
    return open_stage(
        _figure(side),
        partial(_table, side),
        recipe="lab.portrait_instrument(rho={value}, aggregate={choice})",
        title="Portrait instrument",
        label="ρ",
        values=[f"{value:.1f}" for value in RHOS.tolist()],
        index=position(rho, RHOS, "rho"),
        choices=list(AGGREGATES),
        choice=aggregate,
        choice_label="aggregator",
        after=after,
    )


def starts(side: int = SIDE) -> Tensor:
    """Return starts on a grid over the window of "valleys", (side², 2); by default 100."""
    x, y = (
        torch.linspace(low + 0.2, high - 0.2, side, dtype=torch.float64)
        for low, high in PROBLEMS["valleys"].window
    )
    return torch.cartesian_prod(x, y)


def valley_bottoms() -> Tensor:
    """Return the points where descent on the mean loss ends in the sharp and in the flat valley, (2, 2)."""
    near = torch.tensor([[-1.0, -0.1], [1.2, -0.8]])
    return descend(PROBLEMS["valleys"], near, 0.0, [Method(Mean(), "erm")], steps=300)[0, :, -1]


def count_ends(ends: Tensor, bottoms: Tensor) -> Tensor:
    """Count the ends (..., N, 2) in the sharp valley, in the flat valley and in neither: (..., 3)."""
    inside = ((ends.unsqueeze(-2) - bottoms).norm(dim=-1) < NEAR).sum(-2)
    return torch.cat([inside, ends.shape[-2] - inside.sum(-1, keepdim=True)], -1)


def _table(side: int, choice: str) -> Table:
    methods = [Method(AGGREGATES[choice](), rule) for rule in RULES]
    paths = descend(PROBLEMS["valleys"], starts(side), RHOS[:, None], methods)
    kept = paths.unflatten(2, (side, side))[:, :, ::2, ::2].flatten(2, 3)[..., PATH_STEPS, :]
    gap = torch.full_like(kept[..., :1, :], torch.nan)
    counts = count_ends(paths[..., -1, :], valley_bottoms())
    upright = torch.tensor([[0.0, 0.0], [0.0, 100.0]])
    traces = {"cursor": RHOS[:, None, None] * torch.tensor([1.0, 0.0]) + upright}
    for k, rule in enumerate(RULES):
        rows = slice(1) if rule == "erm" else slice(None)  # the slider does not move it
        traces[f"paths-{rule}"] = torch.cat([kept, gap], -2)[k, rows].flatten(1, 2)
        traces[f"ends-{rule}"] = squares(paths[k, rows, :, -1])
        traces[f"flat-{rule}"] = growing_curve(torch.stack([RHOS, counts[k, :, 1].double()], -1))
    states = [
        f"ρ = {value:.1f}, {choice}; sharp/flat/neither: "
        + ", ".join(f"{rule} {a}/{b}/{c}" for rule, (a, b, c) in zip(RULES, rows, strict=True))
        + "."
        for value, rows in zip(RHOS.tolist(), counts.transpose(0, 1).tolist(), strict=True)
    ]
    return Table(traces, states)


def squares(points: Tensor) -> Tensor:
    """Return a short stroke through each point, (..., N, 2) -> (..., 3 N, 2): faster drawn than N markers."""
    stroke = torch.tensor([[-0.08, 0], [0.08, 0], [torch.nan, torch.nan]])
    return (points.unsqueeze(-2) + stroke).flatten(-3, -2)


def _figure(side: int) -> go.Figure:
    figure, axes = _panels(side)
    for rule, look in LOOKS.items():
        _add_valleys(figure, axes[rule], named=rule == "erm")
        quiet = dict(mode="lines", showlegend=False)
        paths, ends = (dict(color=look["color"], width=width) for width in (1, 7))
        figure.add_scatter(uid=f"paths-{rule}", line=paths, **quiet, **axes[rule])
        figure.add_scatter(uid=f"ends-{rule}", line=ends, **quiet, **axes[rule])
        curve = dict(color=look["color"], dash=look["dash"], width=3)
        figure.add_scatter(uid=f"flat-{rule}", line=curve, cliponaxis=False, **quiet, **axes["flat"])
    dotted = dict(mode="lines", line=dict(color=BLACK, dash="dot", width=1.5), showlegend=False)
    figure.add_scatter(uid="cursor", **dotted, **axes["flat"])
    return figure.update_layout(margin=dict(l=12, r=15, t=30, b=52), legend=dict(y=-0.02, yanchor="top"))


def _panels(side: int) -> tuple[go.Figure, Axes]:
    """Return six panels: the plane under each of the five rules, and the count in the flat valley."""
    (left, right), (low, high) = PROBLEMS["valleys"].window
    plane = dict(
        xaxis=dict(range=[left, right], showticklabels=False),
        yaxis=dict(range=[low, high], showticklabels=False),
    )
    places = [((k % 3) / 3, 0.54 * (1 - k // 3)) for k in range(6)]
    panels = {
        rule: dict(x=(x, x + 0.3), y=(y, y + 0.43), title=rule, **plane)
        for rule, (x, y) in zip(RULES, places, strict=False)
    }
    panels["flat"] = dict(
        x=(places[5][0] + 0.02, 1),
        y=(0.03, 0.43),
        title=f"in the flat valley, of {side**2}",
        xaxis=dict(range=[0, 1], title="ρ"),
        yaxis=dict(range=[0, side**2]),
    )
    return panel_figure([], **panels)


def _add_valleys(figure: go.Figure, axes: dict, named: bool) -> None:
    """Add the landscape of the mean loss and a ring round the bottom of each valley."""
    figure.add_trace(ground(PROBLEMS["valleys"]).update(**axes))
    for bottom, (name, dash) in zip(valley_bottoms(), VALLEYS.items(), strict=True):
        x, y = (bottom + NEAR * circle()).T.tolist()
        ring = dict(mode="lines", line=dict(color=BLACK, dash=dash, width=2), name=name)
        figure.add_scatter(x=x, y=y, **ring, showlegend=named, **axes)
