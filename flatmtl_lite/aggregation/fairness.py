"""The exact solution of ⟨gᵢ, d⟩ = wᵢ^(-1/α), which Nash-MTL and FairGrad need."""

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from .unit_rows import identity, mean_norm

ROUNDS = 300
PATIENCE = 40  # rounds before steps are damped: with rows that nearly cancel, full steps may go in circles
FINEST = 1e-6  # the smallest step that differs from rounding, unless gradients nearly cancel
SPREAD = 1e-8  # of norms: it limits how far the weights can lie apart, and so the number of rounds


def fair_direction(C: Tensor, norms: Tensor, alpha: float, eps: float) -> Tensor:
    """Solve ⟨gᵢ, d⟩ = wᵢ^(-1/α), d = Σ wᵢ gᵢ, for w > 0 up to a common factor. Exact and batched.

    With uᵢ = wᵢ‖gᵢ‖ and p = 1/α, the solution is the minimum of the convex
    ½ ‖Σ uᵢ ĝᵢ‖² - Σ bᵢ uᵢ^(1-p)/(1-p), bᵢ = ‖gᵢ‖^(p-1) (for p = 1 the sum is Σ log uᵢ). Newton's method
    finds it. Where 0 is in the convex hull of gradients, the minimum is at infinity: no solution exists.

    Args:
        C: cosines (..., T, T).
        norms: row norms (..., T) with largest 1. Norms below 1e-8 count as 1e-8; rows of 0 are left out.
        alpha: α.
        eps: relative accuracy of ``C``. A ridge of 8 eps is added to ``C``.

    Returns:
        The coefficients (..., T) of the unit rows in d, as long as the rows are on average, or 0 where no
        solution exists.
    """
    p, I = 1 / alpha, identity(C.shape[-1])
    # a zero row becomes a row at right angles to all others, which does not change their solution
    C = C.clone()
    C.diagonal(dim1=-2, dim2=-1).fill_(1 + 8 * eps)
    log_b = (norms.clamp_min(SPREAD).log() * (p - 1)).unsqueeze(-1)
    log_u = log_b / (p + 1)  # exact for orthogonal gradients
    close = max(eps**0.5, FINEST)  # after a step of that size, the weights are off by about its square
    going = torch.ones(1, dtype=torch.bool, device="cpu")
    for k in range(ROUNDS):
        u = log_u.softmax(-2)
        row = u.mT
        inner = C @ u
        total = row @ inner
        solvable = total > 40 * eps
        going = solvable & going
        # b matters only up to a factor; this factor makes u the lowest point of its ray
        target = torch.add(log_b, log_u, alpha=1 - p).softmax(-2) * total / u
        system = torch.addcmul(C * row, target, I, value=p)  # scaling both sides by u would harm LU's pivots
        step = torch.linalg.solve_ex(system, target - inner)[0]
        size = step.abs().amax(-2, keepdim=True)
        if k >= PATIENCE:
            step = step / (1 + size)
        # Newton's step for u where it rises and for u^-p where it falls: no row by itself goes too far
        change = leaky_relu(step, -p).log1p()  # of step, or of p |step| where it falls
        log_u = torch.where(going, log_u + leaky_relu(change.copysign(step), 1 / p), log_u)
        going = going & (size > close)
        if not bool(going.any()):
            break
    # a row that owes most of its gain to the ridge gains nothing, and then no solution exists
    solvable = (solvable & (target > 16 * eps * u)).all(-2)
    u = log_u.softmax(-2) * norms.sign().unsqueeze(-1)
    length = (u.mT @ C @ u).squeeze(-1).sqrt().clamp_min(torch.finfo(u.dtype).tiny)
    return u.squeeze(-1) * (mean_norm(norms) * solvable / length)
