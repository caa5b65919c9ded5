"""The exact minimum over the cone of the gradients, which MGDA, UPGrad, CAGrad and ConicGrad need."""

import torch
from torch import Tensor

from .active_set import FEW, active_set, best_face, on_all_faces, on_face
from .unit_rows import identity


def cone_minimum(C: Tensor, b: Tensor, eps: float) -> Tensor:
    """Minimise ½ ‖Σ vᵢ ĝᵢ‖² - Σ bᵢ vᵢ over v >= 0, where ĝᵢ are the unit rows. Exact and batched.

    The optimality conditions are ⟨ĝᵢ, Σ vⱼ ĝⱼ⟩ >= bᵢ, with equality where vᵢ > 0. With bᵢ = -⟨ĝᵢ, x⟩ the
    minimum therefore projects x onto the cone of directions that oppose no gradient: x + Σ vᵢ ĝᵢ.

    A ridge of 8 eps on the cosines lifts a Gramian that is singular or, through rounding, slightly
    indefinite.

    Args:
        C: cosines (..., T, T).
        b: linear term (..., T), with one dimension less than ``C``; dimensions of 1 in ``C`` broadcast.
        eps: relative accuracy of ``C``.

    Returns:
        v (..., T).
    """
    shape, T = b.shape, b.shape[-1]
    C = torch.add(C, identity(T), alpha=8 * eps)
    if T <= FEW:
        systems, faces = on_all_faces(C)
        right_sides = (faces * b.unsqueeze(-2)).unsqueeze(-1)
        v = torch.linalg.solve_ex(systems, right_sides)[0].squeeze(-1)
        return best_face(v, v @ C - b.unsqueeze(-2))
    C = C.expand(*shape, T).reshape(-1, T, T)
    b = b.reshape(-1, T)
    bounded = torch.ones_like(b[:, :1], dtype=torch.bool)

    def toward(face: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        minimum = torch.linalg.solve_ex(on_face(C, face), b.masked_fill(~face, 0.0))[0]
        inner = (C @ minimum.unsqueeze(-1)).squeeze(-1)
        size = (minimum * inner).sum(-1, keepdim=True).clamp_min(0.0).sqrt()
        return minimum - v, bounded, (inner - b) / size.masked_fill(size == 0, 1.0)

    return active_set(b > 0, torch.zeros_like(b), toward).reshape(shape)
