"""The bound instrument: what Theorem 1 promises at real sizes."""

import math

import torch

from ..figures.axes import decades
from ..figures.style import BLACK, GREY, ORANGE, PATH, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from ..theorem import bound_terms
from .parts.panels import POSITIONS, RIGHT, panelled, position, staged, walked

CHANCE = math.log(10)
# weights of trunk and both heads
NETWORKS = {"LeNet": 31_910, "MLP": 402_964, "ResNet-18": 11_223_560}
LOOKS = {
    "LeNet": dict(color=SKY, dash="dot"),
    "MLP": dict(color=GREY, dash="solid"),
    "ResNet-18": dict(color=ORANGE, dash="dash"),
}


def bound_instrument(
    images: float = 2000, network: str = "MLP", norm_squared: float = 289.0, after: Prediction | None = None
) -> Stage:
    """What the bound of Theorem 1 allows the test loss, against the number of training images.

    Args:
        images: where the slider begins; the nearest of its positions, 1,000 to 1e15, is taken.
        network: one of ``NETWORKS``.
        norm_squared: ‖θ‖², taken to be the same for all networks and numbers of images.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: ``network`` is unknown, ``norm_squared`` is not above 0, or ``images`` lies outside
            1,000 to 1e15.
    """
    N = [float(f"{n:.2g}") for n in torch.logspace(3, 15, POSITIONS, dtype=torch.float64).tolist()]
    N = torch.tensor(N, dtype=torch.float64)
    sizes = torch.logspace(1, 8, 61, dtype=torch.float64)
    names = list(bound_terms(1, 1))
    figure, on = panelled(
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
            title="the terms of f, each divided by √N",
            xaxis=dict(range=[-8, 6], **decades(-8, 6, 4)),
            yaxis=dict(range=[len(names) - 0.5, -0.5], tickvals=list(range(len(names))), ticktext=names),
        ),
        sizes=dict(
            x=(RIGHT + 0.03, 1),
            y=(0.02, 0.42),
            title="f against the number of weights, at this N",
            xaxis=dict(range=[1, 8], title="weights T", **decades(2, 6, 2)),
            yaxis=dict(range=[-6, 7], **decades(-6, 6, 3)),
        ),
    )
    chance = dict(mode="lines", line=dict(color=BLACK, dash="dashdot", width=2.5), name="a guess at random")
    figure.add_scatter(x=[1e3, 1e15], y=[CHANCE] * 2, uid="chance", **chance, **on["images"])
    figure.add_scatter(x=[CHANCE] * 2, y=[-0.5, len(names)], showlegend=False, **chance, **on["terms"])
    figure.add_scatter(x=[10, 1e8], y=[CHANCE] * 2, showlegend=False, **chance, **on["sizes"])
    for name, look in LOOKS.items():
        line = dict(mode="lines", line=look | dict(width=2.5))
        figure.add_scatter(uid=f"{name}-curve", name=name, **line, **on["images"])
    here = dict(symbol="circle", size=13, color=PATH, line=dict(width=2, color=BLACK))
    dot = dict(mode="markers", marker=here, cliponaxis=False, showlegend=False)
    figure.add_scatter(uid="here", **dot, **on["images"])
    bars = dict(mode="lines", line=dict(color=GREY, width=13), showlegend=False)
    figure.add_scatter(uid="terms", **bars, **on["terms"])
    figure.add_scatter(
        uid="sizes", mode="lines", line=dict(color=GREY, width=2.5), showlegend=False, **on["sizes"]
    )
    figure.add_scatter(uid="size", **dot, **on["sizes"])
    figure.update_layout(legend_y=1.05)

    def compute(choice: str) -> Table:
        weights = NETWORKS[choice]

        def f(T, N):
            return sum(bound_terms(T, N, norm_squared).values())

        # curves to be found, not to be seen at once
        traces = {f"{name}-curve": walked(torch.stack([N, f(T, N)], -1)) for name, T in NETWORKS.items()}
        traces["chance"] = torch.tensor([[[1e3, CHANCE], [1e15, CHANCE]]], dtype=torch.float64)
        traces["here"] = torch.stack([N, f(weights, N)], -1).unsqueeze(1)
        values = torch.stack(list(bound_terms(weights, N, norm_squared).values()), -1)
        rows = torch.arange(len(names)).expand_as(values)
        left = torch.full_like(values, 1e-8)
        gap = torch.full_like(values, torch.nan)
        traces["terms"] = torch.stack(
            [torch.stack([left, values, gap], -1), torch.stack([rows, rows, rows], -1)], -1
        ).flatten(1, 2)
        curve = f(sizes, N.unsqueeze(-1))
        traces["sizes"] = torch.stack([sizes.expand_as(curve), curve], -1)
        traces["size"] = torch.stack([torch.full_like(N, weights), f(weights, N)], -1).unsqueeze(1)
        states = [
            f"{n:,.0f} images, {choice}: f = {value:,.{0 if value >= 100 else 2}f} nats; "
            f"a guess at random has {CHANCE:.2f}. "
            + ("It promises nothing." if value >= CHANCE else "Here it says something.")
            for n, value in zip(N.tolist(), f(weights, N).tolist(), strict=True)
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
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
