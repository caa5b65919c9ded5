"""Combinations Σ uᵢ ĝᵢ of unit gradients, handled by their coefficients u and the cosines C alone."""

from functools import cache

import torch
from torch import Tensor


@cache
@torch.inference_mode(False)  # the cached tensor serves callers inside and outside of inference mode
def identity(T: int) -> Tensor:
    """Return the identity (T, T) in float64. Callers share it and must not write to it."""
    return torch.eye(T, dtype=torch.float64, device="cpu")


def length(C: Tensor, u: Tensor) -> Tensor:
    """Return ‖Σ uᵢ ĝᵢ‖ (..., 1) for cosines ``C`` (..., T, T) and coefficients ``u`` (..., T)."""
    row = u.unsqueeze(-2)
    return (row @ C @ row.mT).squeeze(-1).clamp_min(0.0).sqrt()


def along(C: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return the length (..., 1) of g = Σ uᵢ ĝᵢ, and ⟨ĝᵢ, g/‖g‖⟩ (..., T), which is 0 where g is 0."""
    row = u.unsqueeze(-2)
    inner = row @ C
    size = (inner @ row.mT).squeeze(-1).clamp_min(0.0).sqrt()
    return size, inner.squeeze(-2) / size.masked_fill(size == 0, torch.inf)


def safe_length(C: Tensor, u: Tensor, eps: float) -> Tensor:
    """Return ‖Σ uᵢ ĝᵢ‖ (..., 1), or infinity where it is below √(45 eps) of its terms.

    The limit is 1e-7 in float64 and 2e-3 in float32. A shorter direction is mostly rounding of ``C`` and
    must not be stretched to another length.
    """
    size = length(C, u)
    return size.masked_fill(size <= (45 * eps) ** 0.5 * u.abs().sum(-1, keepdim=True), torch.inf)


def zero_where_cancelling(u: Tensor, C: Tensor) -> Tensor:
    """Return u (..., T), or 0 where Σ uᵢ ĝᵢ is below 1e-7 of its terms: only rounding is left there."""
    return u.masked_fill(length(C, u) <= 1e-7 * u.abs().sum(-1, keepdim=True), 0.0)


def per_norm(u: Tensor, norms: Tensor) -> Tensor:
    """Return u / norms (..., T), and 0 for zero rows."""
    return u * norms.reciprocal().nan_to_num(0.0, 0.0, 0.0)


def mean_norm(norms: Tensor) -> Tensor:
    """Return the mean norm of the rows that are not 0: (..., T) -> (..., 1)."""
    return norms.sum(-1, keepdim=True) / norms.sign().sum(-1, keepdim=True).clamp_min(1.0)


def equal_projections(C: Tensor, norms: Tensor, eps: float) -> Tensor:
    """Return u (..., T) for which Σ uᵢ ĝᵢ has the projection 1 onto all unit gradients but zero rows.

    Dependent gradients may have no such direction. The pseudo-inverse then gives the nearest in least squares
    of the projections, which is 0 where the unit gradients sum to 0. Eigenvalues of ``C`` below 10 T eps of
    the largest count as 0.
    """
    nonzero = norms.sign()
    tolerance = 10 * norms.shape[-1] * eps
    inverse: Tensor = torch.linalg.pinv(C, rtol=tolerance, hermitian=True)
    u = (inverse @ nonzero.unsqueeze(-1)).squeeze(-1)
    # the squared length of the part of the equations' right side that the gradients can reach
    reach = (nonzero * (C @ u.unsqueeze(-1)).squeeze(-1)).sum(-1, keepdim=True)
    return u.masked_fill(reach <= tolerance * nonzero.sum(-1, keepdim=True), 0.0)
