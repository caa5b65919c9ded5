"""The exact minimum over a convex hull of gradients that MGDA and CAGrad need."""

import torch
from torch import Tensor

from .base import length


def hull_minimum(C: Tensor, norms: Tensor, h: Tensor, c: float, eps: float) -> Tensor:
    """Minimise f(w) = <g_w, h> + c ‖g_w‖, g_w = Σ wᵢ gᵢ, over the simplex; exact and batched.

    An active-set method: the minimum over the affine hull of a face has a closed form, so each round
    solves one T x T system, walks to that minimum or to the first side of the face on the way, and
    then adds the row that promises the steepest descent. It ends at the optimality conditions.

    The unknown is u, uᵢ proportional to wᵢ‖gᵢ‖, so that norms far apart do no harm. A ridge of 8 eps on
    the cosines (``eps``: their accuracy) lifts a Gramian that is singular or, through rounding, slightly
    indefinite; where g_w cancels to a fraction δ of its terms, it shifts the optimum by about 8 eps/δ².

    Args:
        C: cosines (..., T, T).
        norms: row norms (..., T); a zero row takes part as the point 0.
        h: inner products of the unit rows with the linear term (..., T).
        c: factor of the norm, > 0.
        eps: relative accuracy of ``C``.

    Returns:
        u (..., T) >= 0, the unit-row coefficients of g_w/‖g_w‖; w is u / norms, normalised to sum to 1.
    """
    T = norms.shape[-1]
    shape = norms.shape
    ridge = 8 * eps
    C = C.reshape(-1, T, T) + ridge * torch.eye(T, dtype=C.dtype)
    h = h.reshape(-1, T)
    a = simplex_scale(norms).reshape(-1, T)

    start = ((h + c * C.diagonal(dim1=-2, dim2=-1).sqrt()) / a).argmin(-1, keepdim=True)
    face = torch.zeros_like(a, dtype=torch.bool).scatter_(-1, start, True)
    u = face / a
    newest = torch.full_like(start, -1)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(10 + 8 * T):
        step, bounded = _to_face_minimum(C, a, h, c, face, u)
        reach = torch.where(face & (step < 0), u / -step, torch.inf)
        limit, side = reach.min(-1, keepdim=True)
        blocked = limit.isfinite() & ((limit < 1) | ~bounded) & ~done
        fraction = torch.where(blocked, limit, bounded.to(u.dtype)).masked_fill(done, 0.0)
        u = (u + fraction * step).clamp_min(0.0)

        done = done | (blocked & (side == newest) & (limit == 0))
        on_side = torch.zeros_like(face).scatter_(-1, side, blocked)
        face, u = face & ~on_side, u.masked_fill(on_side, 0.0)

        slope = h + c * (C @ u.unsqueeze(-1)).squeeze(-1) / _ridged_length(C, u, ridge)
        gain = (slope - a * (u * slope).sum(-1, keepdim=True)).masked_fill(face, torch.inf)
        best, entering = gain.min(-1, keepdim=True)
        enters = (best < -1e-11) & ~blocked & ~done
        done = done | (~enters & ~blocked)
        face = face | torch.zeros_like(face).scatter_(-1, entering, enters)
        newest = torch.where(enters, entering, torch.where(blocked, -1, newest))
        if bool(done.all()):
            break
    return (u / _ridged_length(C, u, ridge)).reshape(shape)


def simplex_scale(norms: Tensor) -> Tensor:
    """The a of Σ aᵢuᵢ = 1, which says Σ wᵢ = 1: smallest norm over norm, 1 for a zero row."""
    smallest = norms.masked_fill(norms == 0, torch.inf).amin(-1, keepdim=True)
    return torch.where(norms > 0, smallest / norms, 1.0)


def _to_face_minimum(
    C: Tensor, a: Tensor, h: Tensor, c: float, face: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    """The step from u to the minimum of f over the affine hull of a face; a ray where f has none.

    Stationarity on the face reads C u + t h = ν a with t = ‖g‖/c, so u = u0 + t u1, where u0 is the
    point nearest to the origin and u1 is C-orthogonal to it: ‖g‖² = ‖u0‖² + t²‖u1‖² = c² t².
    """
    inside = face.unsqueeze(-1) & face.unsqueeze(-2)
    system = torch.where(inside, C, 0.0) + torch.diag_embed((~face).to(C.dtype))
    right = torch.stack([a, h], -1).masked_fill(~face.unsqueeze(-1), 0.0)
    p, r = torch.linalg.solve_ex(system, right)[0].unbind(-1)
    total = (a * p).sum(-1, keepdim=True)
    u0 = p / total
    u1 = u0 * (a * r).sum(-1, keepdim=True) - r
    room = c**2 - length(C, u1) ** 2
    bounded = room > 0
    t = length(C, u0) / torch.where(bounded, room, 1.0).sqrt()
    step = torch.where(bounded, u0 + t * u1 - u, u1)
    # Σ aᵢ stepᵢ = 0 only up to rounding of its largest terms, which may swamp the others: make it exact
    pivot = a.masked_fill(~face, 0.0).argmax(-1, keepdim=True)
    others = (a * step).scatter(-1, pivot, 0.0).sum(-1, keepdim=True)
    return step.scatter(-1, pivot, -others / a.gather(-1, pivot)), bounded


def _ridged_length(C: Tensor, u: Tensor, ridge: float) -> Tensor:
    """The length of u, at least what the ridge makes of it: rounding may leave less, or nothing."""
    return torch.maximum(length(C, u), ridge**0.5 * torch.linalg.vector_norm(u, dim=-1, keepdim=True))
