"""The portrait instrument: where 100 starts end, for every rule and every ρ."""

import torch
from torch import Tensor

from ...aggregation import Mean
from ...decomposition import RULES
from ...toy import PROBLEMS, Method, descend
from ..figures.landscape import contours
from ..figures.style import BLACK
from ..figures.style import RULES as LOOKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import circle, panelled, position, staged, walked
from .rules import AGGREGATES

RHOS = torch.linspace(0, 1, 11, dtype=torch.float64)
SIDE = 10  # starts along each side of the window
VALLEYS = {"sharp valley": "dot", "flat valley": "solid"}
NEAR = 0.4  # an end within this distance of a bottom lies in its valley
PATH_STEPS = [0, 2, 4, 7, 11, 17, 30, 60]  # of the paths that are drawn: dense where they are fast


def portrait_instrument(
    rho: float = 0.0, aggregate: str = "PCGrad", after: Prediction | None = None
) -> Stage:
    """The problem "valleys": 100 starts, the five rules, and how many end in which valley against ρ.

    Args:
        rho: where the slider begins; the nearest of its positions is taken.
        aggregate: one of ``AGGREGATES``.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: the aggregator is unknown, or ρ lies outside 0 to 1.
    """
    landscape = PROBLEMS["valleys"]
    bottoms = valley_bottoms()
    (left, right), (low, high) = landscape.window
    plane = dict(
        xaxis=dict(range=[left, right], showticklabels=False),
        yaxis=dict(range=[low, high], showticklabels=False),
    )
    places = [((k % 3) / 3, 0.54 * (1 - k // 3)) for k in range(6)]
    panels = {
        rule: dict(x=(x, x + 0.3), y=(y, y + 0.43), title=rule, **plane)
        for rule, (x, y) in zip(RULES, places, strict=False)
    }
    figure, on = panelled(
        [],
        **panels,
        flat=dict(
            x=(places[5][0] + 0.02, 1),
            y=(0.03, 0.43),
            title="in the flat valley, of 100",
            xaxis=dict(range=[0, 1], title="ρ"),
            yaxis=dict(range=[0, 100]),
        ),
    )
    for rule, look in LOOKS.items():
        axes = on[rule]
        figure.add_trace(contours(landscape)[0].update(**axes))
        for bottom, (name, dash) in zip(bottoms, VALLEYS.items(), strict=True):
            x, y = (bottom + NEAR * circle(None)).T.tolist()
            ring = dict(mode="lines", line=dict(color=BLACK, dash=dash, width=2), name=name)
            figure.add_scatter(x=x, y=y, **ring, showlegend=rule == "erm", **axes)
        quiet = dict(mode="lines", showlegend=False)
        figure.add_scatter(uid=f"paths-{rule}", line=dict(color=look["color"], width=1), **quiet, **axes)
        figure.add_scatter(uid=f"ends-{rule}", line=dict(color=look["color"], width=7), **quiet, **axes)
        curve = dict(color=look["color"], dash=look["dash"], width=3)
        figure.add_scatter(
            uid=f"flat-{rule}", mode="lines", line=curve, cliponaxis=False, showlegend=False, **on["flat"]
        )
    figure.add_scatter(
        uid="cursor",
        mode="lines",
        line=dict(color=BLACK, dash="dot", width=1.5),
        showlegend=False,
        **on["flat"],
    )
    figure.update_layout(margin=dict(l=12, r=15, t=30, b=52), legend=dict(y=-0.02, yanchor="top"))

    def compute(choice: str) -> Table:
        paths = descend(landscape, starts(), RHOS[:, None], [Method(AGGREGATES[choice](), r) for r in RULES])
        kept = paths.unflatten(2, (SIDE, SIDE))[:, :, ::2, ::2].flatten(2, 3)[..., PATH_STEPS, :]
        gap = torch.full_like(kept[..., :1, :], torch.nan)
        counts = count_ends(paths[..., -1, :], bottoms)
        upright = torch.tensor([[0.0, 0.0], [0.0, 100.0]])
        traces = {"cursor": RHOS[:, None, None] * torch.tensor([1.0, 0.0]) + upright}
        for k, rule in enumerate(RULES):
            rows = slice(1) if rule == "erm" else slice(None)  # the slider does not move it
            traces[f"paths-{rule}"] = torch.cat([kept, gap], -2)[k, rows].flatten(1, 2)
            traces[f"ends-{rule}"] = squares(paths[k, rows, :, -1])
            traces[f"flat-{rule}"] = walked(torch.stack([RHOS, counts[k, :, 1].double()], -1))
        states = [
            f"ρ = {value:.1f}, {choice}; sharp/flat/neither: "
            + ", ".join(f"{rule} {a}/{b}/{c}" for rule, (a, b, c) in zip(RULES, rows, strict=True))
            + "."
            for value, rows in zip(RHOS.tolist(), counts.transpose(0, 1).tolist(), strict=True)
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
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


def squares(points: Tensor) -> Tensor:
    """A short stroke through each point, (..., N, 2) -> (..., 3 N, 2): faster drawn than N markers."""
    stroke = torch.tensor([[-0.08, 0], [0.08, 0], [torch.nan, torch.nan]])
    return (points.unsqueeze(-2) + stroke).flatten(-3, -2)


def starts() -> Tensor:
    """100 starts on a grid over the window of "valleys", (100, 2)."""
    x, y = (
        torch.linspace(low + 0.2, high - 0.2, SIDE, dtype=torch.float64)
        for low, high in PROBLEMS["valleys"].window
    )
    return torch.cartesian_prod(x, y)


def valley_bottoms() -> Tensor:
    """Where descent on the mean loss comes to rest in the sharp and in the flat valley, (2, 2)."""
    near = torch.tensor([[-1.0, -0.1], [1.2, -0.8]])
    return descend(PROBLEMS["valleys"], near, 0.0, [Method(Mean(), "erm")], steps=300)[0, :, -1]


def count_ends(ends: Tensor, bottoms: Tensor) -> Tensor:
    """How many of the ends (..., N, 2) lie in the sharp valley, in the flat one, in neither: (..., 3)."""
    inside = ((ends.unsqueeze(-2) - bottoms).norm(dim=-1) < NEAR).sum(-2)
    return torch.cat([inside, ends.shape[-2] - inside.sum(-1, keepdim=True)], -1)
