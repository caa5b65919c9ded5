"""The exact minimum over a convex hull of gradients that CAGrad and ConicGrad need."""

import torch
from torch import Tensor

from .active_set import active_set, on_face
from .base import length


def hull_minimum(C: Tensor, norms: Tensor, h: Tensor, c: float, eps: float) -> Tensor:
    """Minimise f(w) = <g_w, h> + c ‖g_w‖, g_w = Σ wᵢ gᵢ, over the simplex; exact and batched.

    The minimum over the affine hull of a face has a closed form, so each round solves one T x T system.

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
    shape, T = norms.shape, norms.shape[-1]
    ridge = 8 * eps
    identity = torch.eye(T, dtype=C.dtype)
    C = C.reshape(-1, T, T) + ridge * identity
    h = h.reshape(-1, T)
    a = simplex_scale(norms).reshape(-1, T)

    def toward(face: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        return _to_face_minimum(C, identity, a, h, c, face, u)

    def slope(u: Tensor) -> Tensor:
        slope = h + c * (C @ u.unsqueeze(-1)).squeeze(-1) / _ridged_length(C, u, ridge)
        return slope - a * (u * slope).sum(-1, keepdim=True)

    start = ((h + c * C.diagonal(dim1=-2, dim2=-1).sqrt()) / a).argmin(-1, keepdim=True)
    face = torch.zeros_like(a, dtype=torch.bool).scatter_(-1, start, True)
    u = active_set(face, face / a, toward, slope)
    return (u / _ridged_length(C, u, ridge)).reshape(shape)


def simplex_scale(norms: Tensor) -> Tensor:
    """The a of Σ aᵢuᵢ = 1, which says Σ wᵢ = 1: smallest norm over norm, 1 for a zero row."""
    smallest = norms.masked_fill(norms == 0, torch.inf).amin(-1, keepdim=True)
    return (smallest / norms).clamp_max(1.0)


def _to_face_minimum(
    C: Tensor, identity: Tensor, a: Tensor, h: Tensor, c: float, face: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    """The step from u to the minimum of f over the affine hull of a face; a ray where f has none.

    Stationarity on the face reads C u + t h = ν a with t = ‖g‖/c, so u = u0 + t u1, where u0 is the
    point nearest to the origin and u1 is C-orthogonal to it: ‖g‖² = ‖u0‖² + t²‖u1‖² = c² t².
    """
    right = torch.stack([a, h], -1).masked_fill(~face.unsqueeze(-1), 0.0)
    solved = torch.linalg.solve_ex(on_face(C, face, identity), right)[0]
    aa, ah, _, hh = (right.mT @ solved).flatten(-2).split(1, -1)
    p, r = solved.unbind(-1)
    u0 = p / aa
    u1 = u0 * ah - r
    room = c**2 - (hh - ah * ah / aa)
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
