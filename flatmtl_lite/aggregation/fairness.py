"""The exact solution of ⟨gᵢ, d⟩ = wᵢ^(-1/α), which Nash-MTL and FairGrad need."""

import torch
from torch import Tensor

from .base import mean_norm, safe_length

ROUNDS = 300
CLOSE = 1e-6  # of the last step: Newton's error is then its square
FAINT = 1e-30  # a coefficient below this share of the largest is lost in any sum
SPREAD = 1e-8  # of norms: bounds how far the weights can lie apart, and with it the rounds


def fair_direction(C: Tensor, norms: Tensor, alpha: float, eps: float) -> Tensor:
    """Solve ⟨gᵢ, d⟩ = wᵢ^(-1/α), d = Σ wᵢ gᵢ, for w > 0 up to a common factor; exact and batched.

    In uᵢ = wᵢ‖gᵢ‖, with p = 1/α, this is the minimum of the convex
    ½ ‖Σ uᵢ ĝᵢ‖² - Σ bᵢ uᵢ^(1-p)/(1-p), bᵢ = ‖gᵢ‖^(p-1) (p = 1: - Σ log uᵢ). Each round of Newton's method
    takes the minimum of a quadratic that, along the step, lies above the function: it always falls.
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
    p, live = 1 / alpha, norms > 0
    logs = norms.clamp_min(SPREAD).log()
    identity = torch.eye(C.shape[-1], dtype=C.dtype)
    C = C + 8 * eps * identity
    log_b = torch.where(live, (p - 1) * logs, -1e4)
    u = torch.where(live, (log_b / (p + 1)).exp(), FAINT)  # exact for orthogonal gradients
    done = torch.zeros_like(live[..., :1])
    for _ in range(ROUNDS):
        u = (u / u.amax(-1, keepdim=True)).clamp_min(FAINT)
        has = u * (C @ u.unsqueeze(-1)).squeeze(-1)
        total = has.sum(-1, keepdim=True)
        # b matters up to a factor only; with this one, u is the lowest point of its ray
        asked = torch.add(log_b, u.log(), alpha=1 - p).softmax(-1) * total
        curvature = p * asked
        far = has > 4 * max(1.0, p) * asked
        if bool(far.any()):
            # a row far above what it asks for falls by the factor down to which the quadratic still holds
            factor = torch.where(far, curvature / has, 0.0) ** (1 / (1 + p))
            curvature = torch.where(far, has / (1 - factor), curvature)
        system = u.unsqueeze(-1) * C * u.unsqueeze(-2) + curvature.unsqueeze(-1) * identity
        step = torch.linalg.solve_ex(system, asked - has)[0]
        moves = torch.where(u > FAINT, step, step.clamp_min(0.0)).abs() > CLOSE
        fall = step.masked_fill(far, 0.0).amin(-1, keepdim=True).clamp_max(0.0)
        u = torch.where(done, u, u * (1 + step / (1 - (1 + p) * fall)))
        done = done | ~moves.any(-1, keepdim=True) | (total <= 45 * eps * u.sum(-1, keepdim=True) ** 2)
        if bool(done.all()):
            break
    u = u * norms.sign()
    return u * (mean_norm(norms) / safe_length(C, u, eps))
