"""The exact minimum over the convex hull of the gradients, which CAGrad and ConicGrad need."""

import torch
from torch import Tensor

from .active_set import FEW, active_set, best_face, on_all_faces, on_face
from .unit_rows import identity

ROUNDING = 8 * torch.finfo(torch.float64).eps


def hull_minimum(C: Tensor, norms: Tensor, h: Tensor, c: float, eps: float) -> Tensor:
    """Minimise f(w) = <g_w, h> + c ‖g_w‖ over the simplex, where g_w = Σ wᵢ gᵢ. Exact and batched.

    The minimum over the affine hull of a face has a closed form, so each round of the search solves one
    T x T system twice. For few rows, all faces are tried at once.

    The unknown is u with uᵢ proportional to wᵢ‖gᵢ‖, so that norms far apart do no harm. A ridge of 8 eps on
    the cosines lifts a Gramian that is singular or, through rounding, slightly indefinite. Where g_w
    cancels to a fraction δ of its terms, the ridge shifts ‖g_w‖ by about 8 eps/δ² of itself and the slopes
    of f by 8 eps/δ.

    Args:
        C: cosines (..., T, T).
        norms: row norms (..., T); a zero row takes part as the point 0.
        h: inner products of the unit rows with the linear term (..., T).
        c: factor of the norm, > 0.
        eps: relative accuracy of ``C``.

    Returns:
        v (..., T) >= 0, the unit-row coefficients of c g_w/‖g_w‖. The weights w are v / norms, divided by
        their sum.
    """
    shape, T = norms.shape, norms.shape[-1]
    C = torch.add(C, identity(T), alpha=8 * eps)
    a = simplex_scale(norms)
    if T <= FEW:
        systems, faces = on_all_faces(C)
        a, h = a.unsqueeze(-2), h.unsqueeze(-2)
        v, _, _, tau = _face_minimum(systems, faces * a, faces * h, c)
        return best_face(v, torch.addcmul(v @ C + h, tau, a, value=-1))
    C, a, h = C.reshape(-1, T, T), a.reshape(-1, T), h.reshape(-1, T)

    def minimum(face: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return _face_minimum(on_face(C, face), a.masked_fill(~face, 0.0), h.masked_fill(~face, 0.0), c)

    def toward(face: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        v, ray, total, tau = minimum(face)
        bounded = total > 0
        step = torch.where(bounded, v / total - u, ray)
        return step, bounded, torch.addcmul((C @ v.unsqueeze(-1)).squeeze(-1) + h, tau, a, value=-1)

    start = ((h + c * C.diagonal(dim1=-2, dim2=-1).sqrt()) / a).argmin(-1, keepdim=True)
    face = torch.zeros_like(a, dtype=torch.bool).scatter_(-1, start, True)
    u = active_set(face, face / a, toward)
    # the closed form gives v the length c; the length of u would have to be recomputed and would cancel
    v, ray, total, _ = minimum(u > 0)
    return torch.where(total > 0, v, ray).clamp_min(0.0).reshape(shape)


def simplex_scale(norms: Tensor) -> Tensor:
    """Return the a for which Σ aᵢuᵢ = 1 says Σ wᵢ = 1: smallest norm over norm, and 1 for a zero row."""
    smallest = norms.masked_fill(norms == 0, torch.inf).amin(-1, keepdim=True)
    return (smallest / norms).clamp_max(1.0)


def _face_minimum(C: Tensor, a: Tensor, h: Tensor, c: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the minimum over the affine hull of a face. Outside of it, C is the identity, a and h are 0.

    The minimum has C v + h = τ a and ‖v‖ = c. The part of h that is a multiple of a moves only τ. The rest
    is orthogonal to a in the metric of C⁻¹, so v = rise C⁻¹a - C⁻¹rest and rise² ‖C⁻¹a‖² = c² - ‖C⁻¹rest‖².
    The rest has a system of its own: where C is singular, C⁻¹a and C⁻¹h are huge and would cancel.

    Returns:
        v, or NaN if f falls for ever; the ray along which f then falls; Σ aᵢvᵢ (..., 1); τ (..., 1).
    """
    p = torch.linalg.solve_ex(C, a)[0]
    aa = (a * p).sum(-1, keepdim=True)
    level = (h * p).sum(-1, keepdim=True) / aa
    rest = torch.addcmul(h, level, a, value=-1)
    q = torch.linalg.solve_ex(C, rest)[0]
    # rounding leaves a multiple of p in q, and p is huge where C is singular
    q = torch.addcmul(q, (a * q).sum(-1, keepdim=True) / aa, p, value=-1)
    # a face of one row has a minimum for every c; with a tiny c, rounding would hide it
    rise = ((c**2 + ROUNDING**2 - (rest * q).sum(-1, keepdim=True)) / aa).sqrt()
    return rise * p - q, -q, rise * aa, level + rise
