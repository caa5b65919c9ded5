"""The bound instrument: what Theorem 1 promises at real sizes."""

import math
from collections.abc import Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ..figures.axes import decades
from ..figures.style import BLACK, GREY, ORANGE, PATH, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from ..theorem import bound_terms
from .parts.marks import edged_marker
from .parts.opening import POSITIONS, open_stage, position
from .parts.panels import RIGHT, Axes, panel_figure
from .parts.points import growing_curve

CHANCE = math.log(10)  # the loss of a guess at random among ten classes, in nats
# number of weights of the trunk and both heads
NETWORKS = {"LeNet": 31_910, "MLP": 402_964, "ResNet-18": 11_223_560}
LOOKS = {
    "LeNet": dict(color=SKY, dash="dot"),
    "MLP": dict(color=GREY, dash="solid"),
    "ResNet-18": dict(color=ORANGE, dash="dash"),
}
SIZES = torch.logspace(1, 8, 61, dtype=torch.float64)


def bound_instrument(
    images: float = 2000, network: str = "MLP", norm_squared: float = 289.0, after: Prediction | None = None
) -> Stage:
    """Show how far Theorem 1 lets the test loss rise, against the number of training images.

    Args:
        images: the slider begins at its position nearest to this number, 1,000 to 1e15.
        network: one of ``NETWORKS``.
        norm_squared: ‖θ‖². It is the same for all networks and all numbers of images.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``network`` is unknown, ``norm_squared`` is not above 0, or ``images`` lies outside
            1,000 to 1e15.
    """
    counts = torch.logspace(3, 15, POSITIONS, dtype=torch.float64).tolist()
    N = torch.tensor([float(f"{n:.2g}") for n in counts], dtype=torch.float64)
    return open_stage(
        _figure(list(bound_terms(1, 1))),
        partial(_table, N, norm_squared),
        recipe="lab.bound_instrument(images={value}, network={choice}, "
        f"norm_squared={float(norm_squared)!r})",
        title="Bound instrument",
        label="images",
        values=[f"{n:.0f}" if n < 1e6 else f"{n:.2g}" for n in N.tolist()],
        index=position(images, N, "images"),
        choices=list(NETWORKS),
        choice=network,
        choice_label="network",
        after=after,
    )


def _table(N: Tensor, norm_squared: float, choice: str) -> Table:
    weights = NETWORKS[choice]

    def f(P: float | Tensor, N: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        return sum(bound_terms(P, N, norm_squared).values(), total)

    traces = {f"{name}-curve": growing_curve(torch.stack([N, f(P, N)], -1)) for name, P in NETWORKS.items()}
    traces["chance"] = torch.tensor([[[1e3, CHANCE], [1e15, CHANCE]]], dtype=torch.float64)
    traces["here"] = torch.stack([N, f(weights, N)], -1).unsqueeze(1)
    terms = torch.stack(list(bound_terms(weights, N, norm_squared).values()), -1)
    shares = 100 * terms / terms.sum(-1, keepdim=True)
    rests = shares.sort(-1).values[..., :-1].sum(-1)
    traces["terms"] = _bars(shares)
    by_size = f(SIZES, N.unsqueeze(-1))
    traces["sizes"] = torch.stack([SIZES.expand_as(by_size), by_size], -1)
    traces["size"] = torch.stack([torch.full_like(N, weights), f(weights, N)], -1).unsqueeze(1)
    states = [
        f"{n:,.0f} images, {choice}: f = {value:,.{0 if value >= 100 else 2}f} nats; "
        f"a guess at random has {CHANCE:.2f}. "
        + ("It promises nothing. " if value >= CHANCE else "Here it says something. ")
        + f"All terms but one make {rest:.1g} % of it."
        for n, value, rest in zip(N.tolist(), f(weights, N).tolist(), rests.tolist(), strict=True)
    ]
    return Table(traces, states)


def _bars(values: Tensor) -> Tensor:
    """Return one bar per term as lines with gaps, (N, 3 terms, 2)."""
    rows = torch.arange(values.shape[-1]).expand_as(values)
    left, gap = torch.zeros_like(values), torch.full_like(values, torch.nan)
    x, y = torch.stack([left, values, gap], -1), torch.stack([rows, rows, rows], -1)
    return torch.stack([x, y], -1).flatten(1, 2)


def _figure(terms: Sequence[str]) -> go.Figure:
    figure, axes = _panels(terms)
    chance = dict(mode="lines", line=dict(color=BLACK, dash="dashdot", width=2.5), name="a guess at random")
    figure.add_scatter(x=[1e3, 1e15], y=[CHANCE] * 2, uid="chance", **chance, **axes["images"])
    figure.add_scatter(x=[10, 1e8], y=[CHANCE] * 2, showlegend=False, **chance, **axes["sizes"])
    for name, look in LOOKS.items():
        line = dict(mode="lines", line=look | dict(width=2.5))
        figure.add_scatter(uid=f"{name}-curve", name=name, **line, **axes["images"])
    marker = edged_marker(PATH, size=13, edge=2)
    dot = dict(mode="markers", marker=marker, cliponaxis=False, showlegend=False)
    figure.add_scatter(uid="here", **dot, **axes["images"])
    bars = dict(mode="lines", line=dict(color=GREY, width=13), showlegend=False)
    figure.add_scatter(uid="terms", **bars, **axes["terms"])
    curve = dict(mode="lines", line=dict(color=GREY, width=2.5), showlegend=False)
    figure.add_scatter(uid="sizes", **curve, **axes["sizes"])
    figure.add_scatter(uid="size", **dot, **axes["sizes"])
    return figure.update_layout(legend_y=1.05)


def _panels(terms: Sequence[str]) -> tuple[go.Figure, Axes]:
    return panel_figure(
        [],
        images=dict(
            x=(0.02, 0.46),
            y=(0.02, 1),
            title="f, in nats, against the number of training images",
            xaxis=dict(range=[3, 15], title="training images N", **decades(3, 12, 3)),
            yaxis=dict(range=[-3, 7], **decades(-2, 6, 2)),
        ),
        terms=dict(
            x=(0.68, 1),
            y=(0.62, 1),
            title="the share of each term in f, %",
            xaxis=dict(range=[0, 100], tickvals=[0, 25, 50, 75, 100]),
            yaxis=dict(range=[len(terms) - 0.5, -0.5], tickvals=list(range(len(terms))), ticktext=terms),
        ),
        sizes=dict(
            x=(RIGHT + 0.03, 1),
            y=(0.02, 0.42),
            title="f against the number of weights, at this N",
            xaxis=dict(range=[1, 8], title="weights P", **decades(2, 6, 2)),
            yaxis=dict(range=[-6, 7], **decades(-6, 6, 3)),
        ),
    )
