"""The Gramian G Gᵀ of task gradients: how it is computed, split into cosines and norms, and left again."""

from collections.abc import Callable

import torch
from torch import Tensor

from .checks import check_finite
from .products import inner_products, matmul


def gramian(G: Tensor, parts: int = 1, to_cpu: Callable[[Tensor], Tensor] = Tensor.cpu) -> Tensor:
    """Return the inner products of the rows of ``G``, on the CPU, after one copy from the device.

    Args:
        G: rows (..., T, P).
        parts: number of blocks that lie below each other in ``G``, each with one row per task.
        to_cpu: copies the inner products to the CPU; a caller may send other numbers in the same copy.

    Returns:
        (..., T, T), in the dtype of ``G`` or float32 if that is finer. If a square would overflow or
        underflow there, the rows are rescaled first and the result is in float64. A row whose entries all
        lie below about 1e-153 counts as 0: float64 cannot hold its square.

    Raises:
        NonFiniteGradient: a row holds NaN or infinity. The error names its task.
        ValueError: a square does not fit float64 either, because an entry lies above about 1e150.

    Example:
        >>> gramian(torch.tensor([[4.0, 0.0], [0.0, 2.0**70]])).diagonal().log2().tolist()
        [4.0, 140.0]
    """
    G = G if G.dtype.itemsize >= 4 else G.float()
    M = to_cpu(inner_products(G))
    squares = M.diagonal(dim1=-2, dim2=-1)
    info = torch.finfo(M.dtype)
    smallest = G.shape[-1] * info.tiny / info.eps
    in_range = squares.clamp(smallest, info.max)
    if in_range.equal(squares):
        return M
    largest = check_finite(G, parts)
    if torch.where(largest > 0, in_range, 0.0).equal(squares):  # only rows of zeros are out of range
        return M
    return _rescaled_gramian(G, largest.double().unsqueeze(-1))


def _rescaled_gramian(G: Tensor, largest: Tensor) -> Tensor:
    """Return the Gramian (..., T, T) in float64 by way of rows whose largest entry is 1.

    ``largest`` (..., T, 1) holds the largest absolute entry of each row.
    """
    rescaled = G / torch.where(largest > 0, largest, 1.0).to(G)
    factors = largest.masked_fill(largest.square() < torch.finfo(torch.float64).tiny, 0.0)
    M = inner_products(rescaled).cpu().double() * (factors * factors.mT)
    if not bool(M.isfinite().all()):
        raise ValueError(
            f"Got task gradients with entries up to {largest.max().item():.0e}; expected entries below "
            "1e150, whose squares float64 can hold. Scale the losses down."
        )
    return M


def relative_accuracy(G: Tensor) -> float:
    """Return the relative accuracy of inner products of rows of ``G``, computed in float32 or better."""
    return torch.finfo(torch.promote_types(G.dtype, torch.float32)).eps


def scale_free(M: Tensor) -> tuple[Tensor, Tensor]:
    """Split a Gramian into cosines (..., T, T) and row norms (..., T) relative to the largest.

    Cosines are clamped to [-1, 1]. A zero row has cosines of 0.
    """
    # rounding may leave the square of a zero row below 0
    squares = M.diagonal(dim1=-2, dim2=-1).clamp_min(0.0)
    inverse = squares.rsqrt().nan_to_num(0.0, 0.0, 0.0)
    C = (M * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)).clamp(-1.0, 1.0)
    norms = squares * inverse
    return C, norms / norms.amax(-1, keepdim=True).clamp_min(torch.finfo(M.dtype).tiny)


def weighted_sum(weights: Tensor, G: Tensor) -> Tensor:
    """Return w G (..., P) in the dtype of ``G``, for weights (..., T) in float64 and rows (..., T, P).

    A weight may lie outside the range of that dtype although the sum lies within it. The rows are then
    rescaled first.
    """
    if G.dtype != weights.dtype:
        info = torch.finfo(G.dtype)
        if not torch.hardshrink(weights, info.tiny).clamp(-info.max, info.max).equal(weights):
            scale = G.abs().amax(-1, keepdim=True)
            G = G / torch.where(scale > 0, scale, 1.0)
            weights = weights * scale.squeeze(-1).to(weights)
    return matmul(weights.to(G).unsqueeze(-2), G).squeeze(-2)
