"""The exact solution of ⟨gᵢ, d⟩ = wᵢ^(-1/α), which Nash-MTL and FairGrad need."""

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from .unit_rows import identity, mean_norm

ROUNDS = 300
PATIENCE = 20  # rounds with bold steps; most problems take 4 to 8
CLOSE = 3e-5
SPREAD = 1e-8  # of norms: it limits how far the weights can lie apart, and so the number of rounds
ROUNDING = 4 * torch.finfo(torch.float64).eps  # of ⟨ĝᵢ, Σ uⱼ ĝⱼ⟩, where Σ u = 1


def fair_direction(C: Tensor, norms: Tensor, alpha: float, eps: float) -> Tensor:
    """Solve ⟨gᵢ, d⟩ = wᵢ^(-1/α), d = Σ wᵢ gᵢ, for w > 0 up to a common factor. Exact and batched.

    With uᵢ = wᵢ‖gᵢ‖ and p = 1/α, the solution is the minimum of the convex
    ½ ‖Σ uᵢ ĝᵢ‖² - Σ bᵢ uᵢ^(1-p)/(1-p), bᵢ = ‖gᵢ‖^(p-1) (for p = 1 the sum is Σ log uᵢ). Newton's method
    finds it. Where 0 is in the convex hull of gradients, the minimum is at infinity: no solution exists.

    The ridge keeps that minimum finite. At the minimum, some cancelling row then gains no more than the ridge
    gives it. This is how such a point is known.

    The first rounds step boldly in log u. Where rows nearly cancel, such a step breaks the balance of the
    rows, and Newton's method may go in circles. Later rounds therefore step linearly in u, less far, and
    stop only where each row meets its equation up to rounding. A problem that has not stopped after
    ``ROUNDS`` rounds counts as one without solution.

    Args:
        C: cosines (..., T, T).
        norms: row norms (..., T) with largest 1. Norms below 1e-8 count as 1e-8; rows of 0 are left out.
        alpha: α.
        eps: relative accuracy of ``C``. A ridge of 8 eps is added to ``C``.

    Returns:
        The coefficients (..., T) of the unit rows in d, as long as the rows are on average. They are 0 where
        no solution exists, or where the gain of a row is so small that rounding hides its sign.
    """
    p, I = 1 / alpha, identity(C.shape[-1])
    # a zero row becomes a row at right angles to all others, which does not change their solution
    C = C.clone()
    C.diagonal(dim1=-2, dim2=-1).fill_(1 + 8 * eps)
    log_b = (norms.clamp_min(SPREAD).log() * (p - 1)).unsqueeze(-1)
    log_u = log_b / (p + 1)  # exact for orthogonal gradients
    # after a step of that size, the weights are off by its square; where rows cancel, that must be less
    close = max(eps**0.5, CLOSE)
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
        miss = target - inner
        step = torch.linalg.solve_ex(system, miss)[0]
        size = step.abs().amax(-2, keepdim=True)
        if k < PATIENCE:
            # Newton's step for u where it rises and for u^-p where it falls: no row by itself goes too far
            change = leaky_relu(step, -p).log1p()  # of step, or of p |step| where it falls
            change = leaky_relu(change.copysign(step), 1 / p)
            log_u = torch.where(going, log_u + change, log_u)
            going = going & (size > close * total)
        else:
            allowed = 1e-9 * target + ROUNDING * (1 + target / total)
            going = going & (miss.abs() > allowed).any(-2, keepdim=True)
            log_u = torch.where(going, u.log() + (step / (1 + size)).log1p(), log_u)
        if not bool(going.any()):
            break
    # a row that owes most of its gain to the ridge, or all to rounding, gains nothing: no solution exists
    solvable = (solvable & ~going & (target > 16 * eps * u + 2 * ROUNDING)).all(-2)
    u = log_u.softmax(-2) * norms.sign().unsqueeze(-1)
    length = (u.mT @ C @ u).squeeze(-1).sqrt().clamp_min(torch.finfo(u.dtype).tiny)
    return u.squeeze(-1) * (mean_norm(norms) * solvable / length)
