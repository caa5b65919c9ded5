"""Exercises of notebook 04: the cone of common descent, MGDA, PCGrad for many tasks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import MGDA, PCGrad
from ...aggregation.unit_rows import identity
from .exercise import Exercise
from .vectors import PAIRS, vector

OPPOSED = torch.stack([vector(1, 0), vector(-1, 0.5)])
LIKE = torch.stack([vector(2, 1), vector(1, 3), vector(0.5, 0.1)])

good_for_all = Exercise(
    arguments=("G", "d"),
    cases=[
        (OPPOSED, vector(0.2, 1)),
        (OPPOSED, vector(1, 0.5)),
        (OPPOSED, vector(2, 4.5)),
        (OPPOSED, vector(1, -0.2)),
        (OPPOSED, vector(-0.2, -1)),
        (LIKE, vector(1, 1)),
        (LIKE, vector(1, -0.5)),
        (LIKE, vector(-1, 4)),
        (LIKE, vector(0, 0)),
    ],
    right=lambda G, d: bool((G @ d > 0).all()),
    mistakes={
        "the step goes against d. So a task gains if its inner product with d is positive.": (
            lambda G, d: bool((G @ d < 0).all())
        ),
        "a task whose inner product is 0 does not gain. Use > 0, not >= 0.": (
            lambda G, d: bool((G @ d >= 0).all())
        ),
        "one task that gains is not enough. Every inner product must be positive: use .all().": (
            lambda G, d: bool((G @ d > 0).any())
        ),
        "you check the mean gradient. The mean may gain while one task loses: check every row of G.": (
            lambda G, d: bool(G.mean(0) @ d > 0)
        ),
        "you return the inner products. Return one True or False: are all of them positive?": (
            lambda G, d: G @ d
        ),
        "(G @ d).all() asks whether all are different from 0. Compare first: (G @ d > 0).all().": (
            lambda G, d: bool((G @ d).all() > 0)
        ),
        "you return one answer per task. Return one for all of them: .all().": lambda G, d: G @ d > 0,
        "d @ G mixes the tasks: it is a weighted sum of the rows. G @ d is one inner product per row.": (
            lambda G, d: bool((d @ G > 0).all())
        ),
        "compare inner products, not single entries. The signs of single entries depend on the axes.": (
            lambda G, d: bool((G * d > 0).all())
        ),
    },
    praise="the wedge of the instrument holds exactly the steps -d whose d your function accepts.",
)


def _on_the_segment(g1: Tensor, g2: Tensor, clip: float | None = 0.0, swap: bool = False) -> Tensor:
    share = (g2 - g1) @ g2 / ((g1 - g2) @ (g1 - g2))
    share = share if clip is None else share.clamp(clip, 1 - clip)
    return _mixed(g1, g2, 1 - share if swap else share)


def _mixed(g1: Tensor, g2: Tensor, share: Tensor) -> Tensor:
    return share * g1 + (1 - share) * g2


mgda = Exercise(
    arguments=("g1", "g2"),
    cases=[*PAIRS, (vector(3, 1), vector(0.5, 0)), (vector(0.2, 0.3), vector(1, 2))],
    right=lambda g1, g2: MGDA()(torch.stack([g1, g2])),
    mistakes={
        "γ is not yet cut to the range from 0 to 1. Without the cut your vector may lie off the segment.": (
            lambda g1, g2: _on_the_segment(g1, g2, clip=None)
        ),
        "the weights are swapped. γ belongs to g₁, and 1 - γ belongs to g₂.": (
            lambda g1, g2: _on_the_segment(g1, g2, swap=True)
        ),
        "cut γ at 0 and 1. Some published code cuts at 0.001 and 0.999, which misses the minimum.": (
            lambda g1, g2: _on_the_segment(g1, g2, clip=0.001)
        ),
        "the numerator has the wrong sign. It is the inner product of g₂ - g₁ and g₂.": (
            lambda g1, g2: _mixed(g1, g2, ((g1 - g2) @ g2 / (g1 - g2).norm() ** 2).clamp(0, 1))
        ),
        "the numerator is the inner product of g₂ - g₁ and g₂, not of g₁ and g₂.": (
            lambda g1, g2: _mixed(g1, g2, (g1 @ g2 / (g1 - g2).norm() ** 2).clamp(0, 1))
        ),
        "you cut γ at 0 only. Cut it at 1 too: γ.clamp(0, 1).": (
            lambda g1, g2: _mixed(g1, g2, ((g2 - g1) @ g2 / (g1 - g2).norm() ** 2).clamp(min=0))
        ),
        "you return γ. Return the vector γ g₁ + (1 - γ) g₂.": (
            lambda g1, g2: ((g2 - g1) @ g2 / (g1 - g2).norm() ** 2).clamp(0, 1)
        ),
        "you return the shorter of the two gradients. A vector between them may be shorter still.": (
            lambda g1, g2: min(g1, g2, key=Tensor.norm)
        ),
        "you return the mean. It is right only for gradients of equal length.": lambda g1, g2: (g1 + g2) / 2,
        "divide by the squared length of g₁ - g₂, not by its length.": (
            lambda g1, g2: ((g2 - g1) @ g2 / (g1 - g2).norm()).clamp(0, 1) * (g1 - g2) + g2
        ),
        "you multiply by the number of tasks, as some published code does. Then equal gradients come "
        "out doubled.": (lambda g1, g2: 2 * _on_the_segment(g1, g2)),
    },
    praise="this is MGDA for two tasks: the point of the dotted segment nearest to the origin.",
)


class InOrder(PCGrad):
    """PCGrad whose tasks all go through the others in a given order instead of a random one."""

    def __init__(self, order: Sequence[int]):
        super().__init__()
        self.order = order

    def others(self, T: int) -> Tensor:
        rounds = [[j for j in self.order if j != i] for i in range(T)]
        return identity(T)[torch.tensor(rounds).T]


def _projected(
    G: Tensor,
    order: Sequence[int],
    always: bool = False,
    at_once: bool = False,
    with_itself: bool = False,
    by_own: bool = False,
    against_changed: bool = False,
    asks_original: bool = False,
    by_length: bool = False,
) -> Tensor:
    """Return the vector v of every task as a learner writes it. The options make the classic mistakes."""
    V = G.clone()
    for i in range(len(G)):
        for j in order:
            if j == i and not with_itself:
                continue
            g = V[j] if against_changed else G[j]
            dot = (G if at_once else V)[i] @ g
            conflict = G[i] @ g if asks_original else dot
            if always or conflict < 0 or (j == i and with_itself):
                square = V[i] @ V[i] if by_own else g @ g
                V[i] = V[i] - dot / (square.sqrt() if by_length else square) * g
    return V


PULLED = torch.stack([vector(1, 0), vector(-1, 1), vector(0, -2)])
SPREAD = torch.stack([vector(1, 0, 2), vector(-1, 1, -0.3), vector(0.2, -2, -1), vector(-1, 0.5, 1)])

pcgrad_in_order = Exercise(
    arguments=("G", "order"),
    cases=[
        (PULLED, [1, 2, 0]),
        (PULLED, [0, 2, 1]),
        (PULLED[:2], [1, 0]),
        (SPREAD, [2, 0, 3, 1]),
        (SPREAD, [0, 1, 2, 3]),
        (LIKE, [0, 1, 2]),
    ],
    right=lambda G, order: InOrder(order)(G),
    mistakes={
        "you always project. Project only where the inner product is below 0.": (
            lambda G, order: _projected(G, order, always=True).mean(0)
        ),
        "compare the *present* v with the next gradient. You use the original gradient each time, so a later "
        "step does not know what an earlier one removed.": (
            lambda G, order: _projected(G, order, at_once=True).mean(0)
        ),
        "you remove the component of the present v, but you ask the original gradient whether it conflicts. "
        "Ask the present v: is its inner product with the next gradient below 0?": (
            lambda G, order: _projected(G, order, asks_original=True).mean(0)
        ),
        "divide the inner product by the *squared* length of the other gradient, not by its length.": (
            lambda G, order: _projected(G, order, by_length=True).mean(0)
        ),
        "project against the original gradients. You project against rows that are already changed.": (
            lambda G, order: _projected(G, order, against_changed=True).mean(0)
        ),
        "divide the inner product by the squared length of the other gradient, the one you remove.": (
            lambda G, order: _projected(G, order, by_own=True).mean(0)
        ),
        "leave a task itself out of its own round: its gradient has no conflict with itself.": (
            lambda G, order: _projected(G, order, with_itself=True).mean(0)
        ),
        "you go through the tasks as 0, 1, 2, ... and pay no attention to order.": (
            lambda G, order: _projected(G, sorted(order)).mean(0)
        ),
        "you add the T vectors. Take their mean, so that equal gradients stay as they are.": (
            lambda G, order: _projected(G, order).sum(0)
        ),
        "you return the vector of task 0 alone. Return the mean after the loop, with all T vectors.": (
            lambda G, order: _projected(G, order)[0]
        ),
        "you return all T vectors. Return their mean.": _projected,
    },
    praise="this is PCGrad. It draws a random order for each task, so with three tasks its step is random.",
)
