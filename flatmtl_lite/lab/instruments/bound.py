"""The bound instrument: what Theorem 1 promises at real sizes."""

import math

import torch
from torch import Tensor

from ..figures.axes import decades
from ..figures.style import BLACK, GREEN, GREY, ORANGE, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..theorem import bound_terms
from .parts.bars import Shares
from .parts.curve import Curves, draw_line
from .parts.labels import draw_labels
from .parts.opening import POSITIONS, Drawing, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.picture import Picture
from .parts.points import pairs

CHANCE = math.log(10)  # the loss of a guess at random among ten classes, in nats
# number of weights of the trunk and both heads
NETWORKS = {"LeNet": 31_910, "MLP": 402_964, "ResNet-18": 11_223_560}
LOOKS = {
    "LeNet": dict(color=SKY, dash="dot"),
    "MLP": dict(color=GREEN, dash="solid"),
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
    recipe = "lab.bound_instrument(images={value}, network={choice}, "
    recipe += f"norm_squared={float(norm_squared)!r})"
    controls = slider("images", N, "images", images, _short) | menu("network", NETWORKS, network)
    return open_stage("Bound instrument", recipe, controls, after, _draw, N, norm_squared)


def _draw(N: Tensor, norm_squared: float, choice: str) -> Drawing:
    """Draw f against the numbers of images N and of weights, and its terms for a network."""

    def bound(P: float | Tensor, N: Tensor) -> Tensor:
        return sum(bound_terms(P, N, norm_squared).values(), torch.zeros((), dtype=torch.float64))

    f = {name: bound(P, N) for name, P in NETWORKS.items()}
    terms = bound_terms(NETWORKS[choice], N, norm_squared)
    x = dict(range=[3, 15], title="training images N", **decades(3, 12, 3))
    y = dict(range=[-3, 7], **decades(-2, 6, 2))
    curves = {f"{name}-curve": (name, look) for name, look in LOOKS.items()}
    images = Curves("f, in nats: how far the test loss may rise", x, y, curves, N, f.values(), origin=0)
    chance = dict(color=BLACK, dash="dashdot", width=2)
    name = f"a guess at random: {CHANCE:.2f} nats"
    draw_line(images, name, [1e3, 1.1e3, 1e15], [CHANCE] * 3, chance, 1)
    shares = Shares("the terms of f: nats, share of f", "terms", terms)
    x = dict(range=[1, 8], title="number of weights P", **decades(2, 8, 2))
    sizes = Panel("f against the number of weights", x, dict(range=[-6, 9.5], **decades(-6, 9, 3)))
    draw_line(sizes, "", [10, 1e8], [CHANCE] * 2, chance)
    curve = pairs(SIZES, bound(SIZES, N.unsqueeze(-1)))
    sizes.line("sizes", GREY, points=curve)
    dots = [pairs(torch.full_like(N, P), f[name]) for name, P in NETWORKS.items()]
    colors = [look["color"] for look in LOOKS.values()]
    sizes.dots("size", colors, size=11, points=torch.stack(dots, 1), cliponaxis=False)
    things = dict(zip(NETWORKS, zip(colors, dots, strict=True), strict=True))
    draw_labels(sizes, things, [curve], "size-names")

    chosen = f[choice].tolist()
    nats = [f"{value:,.0f}" if value >= 100 else f"{value:,.2f}" for value in chosen]
    promise = ["It promises nothing." if value >= CHANCE else "Here it says something." for value in chosen]
    counts = [f"{n:,.0f}" if n < 1e6 else _short(n) for n in N.tolist()]
    values = torch.stack(list(terms.values()), -1)
    rests = 100 * (1 - values.amax(-1) / values.sum(-1))
    sentence = "{n} images, {network}: f = {f} nats. {promise} All terms but one make {rest:.1g} % of it."
    words = sentences(sentence, network=choice, n=counts, f=nats, promise=promise, rest=rests)
    return Picture(images, [[shares], [sizes]]), words


def _short(number: float) -> str:
    return f"{number:.0f}" if number < 1e6 else f"{number:.2g}"
