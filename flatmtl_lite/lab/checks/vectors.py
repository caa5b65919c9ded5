"""Vectors in the cases of several exercises."""

import torch
from torch import Tensor


def vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def unit(g: Tensor) -> Tensor:
    return g / g.norm(dim=-1, keepdim=True)


PAIRS = [
    (vector(1, 0), vector(-1, 1)),
    (vector(2, 1), vector(1, 3)),
    (vector(0.3, -4), vector(1, 2)),
    (vector(0, 1), vector(5, 0)),
]
