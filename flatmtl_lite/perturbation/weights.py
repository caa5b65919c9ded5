"""Move weights by ε, and bring them back bit for bit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..trunk_and_heads import unflatten


@contextmanager
def perturbed(
    parameters: Sequence[Tensor], weights: Tensor, epsilon: Tensor, factor: float = 1.0
) -> Iterator[None]:
    """Run a block with parameters = weights + factor · epsilon; afterwards they are ``weights`` again.

    Args:
        parameters: the parameters to move, in place.
        weights: (P,), a copy of their present values, see :func:`flatmtl_lite.gradients.flatten`. They come
            back bit for bit, also if the block raises.
        epsilon: (P,).
        factor: scales ``epsilon``.

    Example:
        >>> w = torch.tensor([1.0, 2.0])
        >>> with perturbed([w], w.clone(), torch.tensor([0.5, 0.0])):
        ...     print(w)
        tensor([1.5000, 2.0000])
        >>> w
        tensor([1., 2.])
    """
    with restored(parameters, weights):
        move(parameters, unflatten(weights, parameters), unflatten(epsilon, parameters), factor)
        yield


@contextmanager
def restored(parameters: Sequence[Tensor], weights: Tensor) -> Iterator[None]:
    """Set the parameters to ``weights`` (P,) when the block ends, also if it raises."""
    try:
        yield
    finally:
        move(parameters, unflatten(weights, parameters))


@torch.no_grad()
def move(
    parameters: Sequence[Tensor],
    weights: list[Tensor],
    epsilon: Sequence[Tensor] | None = None,
    factor: float = 1.0,
) -> None:
    """Set the parameters to weights + factor · epsilon, in one sweep; each argument has their shapes."""
    if epsilon is not None:
        for p, w, e in zip(parameters, weights, epsilon, strict=True):
            torch.add(w, e, alpha=factor, out=p)
    elif weights:
        torch._foreach_copy_(list(parameters), weights)
    torch.clear_autocast_cache()  # else a pass within one autocast block runs on casts of the old weights
