"""Weights of all aggregators at once, and what their directions do for the tasks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ....aggregation import GramianAggregator, aggregator

# the methods that the instruments show; ``sweep_instrument`` shows the others too
METHODS = [
    *("mean", "mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "fairgrad", "upgrad", "aligned_mtl"),
    *("conicgrad", "gradvac", "ngdiff"),
]


def weigh_all(G: Tensor) -> Tensor:
    """Return the weights (methods, N, T) of all ``METHODS`` for gradients G (N, T, P).

    Each method is a fresh aggregator.
    """
    M = G @ G.mT
    return torch.stack([gramian_method(name).weights(M) for name in METHODS])


def gramian_method(name: str) -> GramianAggregator:
    """Make one of ``METHODS``."""
    method = aggregator(name)
    assert isinstance(method, GramianAggregator)
    return method


def slopes(G: Tensor, d: Tensor) -> Tensor:
    """Return the cosine (..., N, T) of each gradient G (N, T, P) with the direction d (..., N, P).

    A gradient of 0 has the cosine 0. A direction of 0 has the cosine NaN.
    """
    inner = (G @ d.unsqueeze(-1)).squeeze(-1)
    cosine = inner / (G.norm(dim=-1) * d.norm(dim=-1, keepdim=True)).clamp_min(1e-300)
    return cosine.masked_fill(d.norm(dim=-1, keepdim=True) < 1e-9, torch.nan)


def verdict(weights: Sequence[float], cosines: Sequence[float], length: float) -> str:
    """Write the weights of a method and the effect of its direction in words."""
    numbers = f"weights {', '.join(f'{w:.2f}' for w in weights)}; "
    if any(math.isnan(c) for c in cosines):
        return numbers + "direction 0: it stops."
    worse = [f"{k + 1}" for k, c in enumerate(cosines) if c < -1e-6]
    effect = f"makes task {' and '.join(worse)} worse" if worse else "makes no task worse"
    return f"{numbers}length {length:.2f}; {effect}."
