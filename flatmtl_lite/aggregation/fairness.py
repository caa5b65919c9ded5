"""The exact solution of ⟨gᵢ, d⟩ = wᵢ^(-1/α), which Nash-MTL and FairGrad need."""

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from .base import identity, mean_norm

ROUNDS = 300
PATIENCE = 40  # rounds, after which steps are damped: rows that nearly cancel may go in circles
FINEST = 1e-6  # step that can be told from rounding, unless gradients nearly cancel
SPREAD = 1e-8  # of norms: bounds how far the weights can lie apart, and with it the rounds


def fair_direction(C: Tensor, norms: Tensor, alpha: float, eps: float) -> Tensor:
    """Solve ⟨gᵢ, d⟩ = wᵢ^(-1/α), d = Σ wᵢ gᵢ, for w > 0 up to a common factor; exact and batched.

    In uᵢ = wᵢ‖gᵢ‖, with p = 1/α, this is the minimum of the convex
    ½ ‖Σ uᵢ ĝᵢ‖² - Σ bᵢ uᵢ^(1-p)/(1-p), bᵢ = ‖gᵢ‖^(p-1) (p = 1: - Σ log uᵢ), found by Newton's method.
    The minimum is at infinity, and there is no solution, where 0 is in the convex hull of gradients.

    Args:
        C: cosines (..., T, T).
        norms: row norms (..., T) with largest 1; below 1e-8 they count as 1e-8, but 0 is left out.
        alpha: α.
        eps: relative accuracy of ``C``, to which a ridge of 8 eps is added.

    Returns:
        The coefficients (..., T) of the unit rows in d, as long as the rows are on average; 0 where there
        is no solution.
    """
    p, I = 1 / alpha, identity(C.shape[-1])
    # a zero row is taken for one at right angles to all others, for whom that changes nothing
    C = C.clone()
    C.diagonal(dim1=-2, dim2=-1).fill_(1 + 8 * eps)
    log_b = (norms.clamp_min(SPREAD).log() * (p - 1)).unsqueeze(-1)
    log_u = log_b / (p + 1)  # exact for orthogonal gradients
    close = max(eps**0.5, FINEST)  # behind a step the weights are off by about its square
    going = True
    for k in range(ROUNDS):
        u = log_u.softmax(-2)
        row = u.mT
        inner = C @ u
        total = row @ inner
        solvable = total > 40 * eps
        going = solvable & going
        # b matters up to a factor only; with this one, u is the lowest point of its ray
        asked = torch.add(log_b, log_u, alpha=1 - p).softmax(-2) * total / u
        system = torch.addcmul(C * row, asked, I, value=p)  # both sides scaled by u, LU would pivot badly
        step = torch.linalg.solve_ex(system, asked - inner)[0]
        size = step.abs().amax(-2, keepdim=True)
        if k >= PATIENCE:
            step = step / (1 + size)
        # Newton's step for u where it rises, for u^-p where it falls: a row by itself never goes too far
        change = leaky_relu(step, -p).log1p()  # of step, or of p |step| where it falls
        log_u = torch.where(going, log_u + leaky_relu(change.copysign(step), 1 / p), log_u)
        going = going & (size > close)
        if not bool(going.any()):
            break
    # a row that owes most of its gain to the ridge has none, and where one has none there is no solution
    solvable = (solvable & (asked > 16 * eps * u)).all(-2)
    u = log_u.softmax(-2) * norms.sign().unsqueeze(-1)
    length = (u.mT @ C @ u).squeeze(-1).sqrt().clamp_min(torch.finfo(u.dtype).tiny)
    return u.squeeze(-1) * (mean_norm(norms) * solvable / length)
