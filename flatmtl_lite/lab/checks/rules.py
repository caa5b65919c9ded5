"""Exercises of notebook 05: the decomposed rule, and whether an aggregator is additive."""

import torch
from torch import Tensor

from ...aggregation import MGDA, Mean, PCGrad
from ...decomposition import Decomposition, decomposed, second
from .exercise import Exercise
from .vectors import unit, vector

THREE = torch.stack([vector(1, 0, 2), vector(-1, 1, 0.3), vector(0.2, -2, 1)])
FLAT = torch.stack([vector(0.3, 1, -0.5), vector(0.4, 0.1, 0.9), vector(-1, 0.7, 0.2)])
TENTHS = torch.tensor([[0.1, 0.7], [0.2, -0.3]], dtype=torch.float64)  # whose sums round

decomposed_rule = Exercise(
    arguments=("loss", "flat", "A"),
    cases=[(THREE, FLAT, MGDA()), (THREE[:2], FLAT[:2], PCGrad()), (THREE[:2], 5 * FLAT[:2], MGDA())],
    right=lambda loss, flat, A: decomposed(Decomposition(loss, flat), A),
    mistakes={
        "this is the direct rule, A(loss + flat). Call the aggregator twice, once for each part.": (
            lambda loss, flat, A: A(loss + flat)
        ),
        "you count the loss twice. Make the second call with the flat part alone.": (
            lambda loss, flat, A: A(loss) + A(loss + flat)
        ),
        "flat is the flat part already. Do not subtract the loss part again: use A(flat).": (
            lambda loss, flat, A: A(loss) + A(flat - loss)
        ),
        "the flat answer is added, not subtracted.": lambda loss, flat, A: A(loss) - A(flat),
        "you return the two answers. Add them, and return one vector.": lambda loss, flat, A: (
            A(loss),
            A(flat),
        ),
        "you return only A(flat). Add A(loss).": (lambda loss, flat, A: A(flat)),
        "you return A(loss), which is ERM. Add A(flat).": lambda loss, flat, A: A(loss),
        "you put all 2T rows into one call, so the losses and the flatness compete. Make two calls.": (
            lambda loss, flat, A: A(torch.cat([loss, flat]))
        ),
        'you aggregate the two answers: this is the rule "second". Add them instead.': (
            lambda loss, flat, A: second(Decomposition(loss, flat), A)
        ),
        "you take the mean of the two answers, which is half as long. Add them.": lambda loss, flat, A: (
            (A(loss) + A(flat)) / 2
        ),
    },
    praise="one call settles the losses, one call settles the flatness, and you add the two answers.",
)


def unit_mean(G: Tensor) -> Tensor:
    return unit(G.mean(0))


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second)


additive = Exercise(
    arguments=("A", "G", "H"),
    cases=[
        (Mean(), TENTHS, TENTHS.flip(0) / 3),
        (Mean(), torch.stack([vector(2, 4), vector(6, -8)]), torch.eye(2, dtype=torch.float64)),
        (MGDA(), THREE, FLAT),
        (MGDA(), THREE, 2 * THREE),
        (PCGrad(), THREE[:2], FLAT[:2]),
        (PCGrad(), THREE[:2].abs(), FLAT[:2].abs()),
        (Mean(), THREE, 0 * THREE),
        (unit_mean, THREE, FLAT),
        (MGDA(), torch.stack([vector(2, 0), vector(-1, 0)]), torch.stack([vector(1, 0), vector(3, 0)])),
    ],
    right=lambda A, G, H: _same(A(G + H), A(G) + A(H)),
    mistakes={
        "== is False if numbers differ only by rounding. Compare with torch.allclose.": (
            lambda A, G, H: torch.equal(A(G + H), A(G) + A(H))
        ),
        "yours holds for every aggregator of this course, as A(2G) = 2A(G) does. Compare A(G + H) with "
        "A(G) + A(H).": (lambda A, G, H: _same(A(2 * G), 2 * A(G))),
        "the other way round: True where the sum of the answers is the answer to the sum.": (
            lambda A, G, H: not _same(A(G + H), A(G) + A(H))
        ),
        "all entries must be equal, not only some: .all(), not .any().": (
            lambda A, G, H: bool(torch.isclose(A(G + H), A(G) + A(H)).any())
        ),
        "a difference may be negative. Take its absolute value or its length before you compare it with a "
        "small number.": lambda A, G, H: bool((A(G + H) - A(G) - A(H)).max() < 1e-8),
        "you compare lengths. Compare the vectors.": (
            lambda A, G, H: _same(A(G + H).norm(), A(G).norm() + A(H).norm())
        ),
        "your test is False even for the mean. The right side is A(G) + A(H), not A(G) alone.": (
            lambda A, G, H: _same(A(G + H), A(G))
        ),
    },
    praise="one pair can show that A is not linear. No single pair can show that it is.",
)
