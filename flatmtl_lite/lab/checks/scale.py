"""Exercise of notebook 04: the two laws of scale."""

import torch
from torch import Tensor

from ...aggregation import MGDA
from .exercise import Exercise
from .vectors import unit, vector


def _mean(G: Tensor) -> Tensor:
    return G.mean(0)


def _sum(G: Tensor) -> Tensor:
    return G.sum(0)


def _weighted(G: Tensor) -> Tensor:
    return vector(0.1, 0.2, 0.7) @ G


def _mgda(G: Tensor) -> Tensor:
    return MGDA()(G)


def _unit_mean(G: Tensor) -> Tensor:
    return unit(G.mean(0))


def _last_row_squared(G: Tensor) -> Tensor:
    return G[-1] * G[-1].norm()


def _unanimous(A, G: Tensor) -> bool:
    return torch.allclose(A(G[:1].expand_as(G)), G[0])


def _homogeneous(A, G: Tensor) -> bool:
    return torch.allclose(A(10 * G), 10 * A(G))


ROWS = torch.stack([vector(0.1, 0.7), vector(1, -2), vector(0.4, 0.4)])
UNIT_FIRST = torch.stack([vector(0.6, 0.8), vector(1, -2), vector(0.4, 0.4)])

keeps_scale = Exercise(
    arguments=("A", "G"),
    cases=[
        (_mean, torch.stack([vector(1, 2), vector(3, -4)])),
        (_mean, ROWS),
        (_mean, torch.stack([vector(1, 2), vector(1, 2)])),
        (_sum, ROWS),
        (_mgda, ROWS),
        (_weighted, ROWS),
        (_unit_mean, UNIT_FIRST),
        (_last_row_squared, UNIT_FIRST),
        (_unit_mean, ROWS),
    ],
    right=lambda A, G: _unanimous(A, G) and _homogeneous(A, G),
    mistakes={
        "you test only equal gradients. Test also that A(10 G) is 10 A(G).": _unanimous,
        "you test only A(10 G). Test also that equal gradients come back unchanged.": _homogeneous,
        "one law is not enough. Both must hold: use and, not or.": (
            lambda A, G: _unanimous(A, G) or _homogeneous(A, G)
        ),
        "the rows of G differ. Make T equal rows first, such as G[:1].expand_as(G).": (
            lambda A, G: torch.allclose(A(G), G[0]) and _homogeneous(A, G)
        ),
        "A(G[:1]) asks about one task. Unanimity needs T equal rows, such as G[:1].expand_as(G).": (
            lambda A, G: torch.allclose(A(G[:1]), G[0]) and _homogeneous(A, G)
        ),
        "A takes a matrix with one row per task. Make T equal rows first, such as G[:1].expand_as(G).": (
            lambda A, G: torch.allclose(A(G[0]), G[0]) and _homogeneous(A, G)
        ),
        "A(10 G) must be 10 A(G), not A(G): the step grows with the gradients.": (
            lambda A, G: _unanimous(A, G) and torch.allclose(A(10 * G), A(G))
        ),
        "equal gradients must come back as one of them, not as their sum.": (
            lambda A, G: torch.allclose(A(G[:1].expand_as(G)), len(G) * G[0]) and _homogeneous(A, G)
        ),
        "== compares every bit, and rounding changes the last one. Compare with torch.allclose.": (
            lambda A, G: torch.equal(A(G[:1].expand_as(G)), G[0]) and torch.equal(A(10 * G), 10 * A(G))
        ),
    },
    praise="both laws hold: equal gradients come back unchanged, and the unit of the loss is only a factor.",
)
