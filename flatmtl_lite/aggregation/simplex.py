"""The exact minimum over a convex hull of gradients that CAGrad and ConicGrad need."""

import torch
from torch import Tensor

from .active_set import FEW, active_set, best_face, on_all_faces, on_face
from .base import identity, length

ROUNDING = 8 * torch.finfo(torch.float64).eps


def hull_minimum(C: Tensor, norms: Tensor, h: Tensor, c: float, eps: float) -> Tensor:
    """Minimise f(w) = <g_w, h> + c ‖g_w‖, g_w = Σ wᵢ gᵢ, over the simplex; exact and batched.

    The minimum over the affine hull of a face has a closed form, so each round solves one T x T system;
    for few rows all faces are tried at once.

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
    C = torch.add(C, identity(T), alpha=ridge)
    a = simplex_scale(norms)
    if T <= FEW:
        return _best_of_all_faces(C, a, h, c)
    C, a, h = C.reshape(-1, T, T), a.reshape(-1, T), h.reshape(-1, T)

    def toward(face: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        return _to_face_minimum(C, a, h, c, face, u)

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


def _best_of_all_faces(C: Tensor, a: Tensor, h: Tensor, c: float) -> Tensor:
    """On a face, C v + h = τ a with ‖v‖ = c at the minimum, so v = τ p - r; v/‖v‖ is the answer.

    τ is the larger root of ‖v‖² = aa τ² - 2 ah τ + hh = c²; with none, f has no minimum there.
    """
    ends = torch.stack([a, h], -1)
    solved = on_all_faces(C, ends)
    aa, ah, _, hh = (ends.mT.unsqueeze(-3) @ solved).flatten(-2).unsqueeze(-2).unbind(-1)
    # where c is tiny, a face of one row has a root but for rounding
    tau = (ah + ((1 + ROUNDING) * ah * ah - aa * (hh - c**2)).sqrt()) / aa
    p, r = solved.unbind(-1)
    v = tau * p - r
    v = best_face(v, v @ C + h.unsqueeze(-2) - tau * a.unsqueeze(-2))
    return v / length(C, v).clamp_min(torch.finfo(v.dtype).tiny)


def _to_face_minimum(
    C: Tensor, a: Tensor, h: Tensor, c: float, face: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    """The step from u to the minimum of f over the affine hull of a face; a ray where f has none.

    Stationarity on the face reads C u + t h = ν a with t = ‖g‖/c, so u = u0 + t u1, where u0 is the
    point nearest to the origin and u1 is C-orthogonal to it: ‖g‖² = ‖u0‖² + t²‖u1‖² = c² t².
    """
    right = torch.stack([a, h], -1).masked_fill(~face.unsqueeze(-1), 0.0)
    solved = torch.linalg.solve_ex(on_face(C, face), right)[0]
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
