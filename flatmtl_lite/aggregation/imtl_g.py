"""IMTL-G: the direction with the same projection onto every task gradient."""

from torch import Tensor

from .base import GramianAggregator
from .unit_rows import equal_projections, per_norm


class IMTLG(GramianAggregator):
    """Impartial multi-task learning, gradient part: the direction with equal projections on all gradients.

    The pseudo-inverse solves ⟨gᵢ, d⟩ = ‖gᵢ‖ for all i, d = Σ βᵢ gᵢ. Dependent gradients may have no
    solution; d is then the nearest direction in least squares of ⟨gᵢ, d⟩/‖gᵢ‖, which is 0 where the unit
    gradients sum to 0. Zero rows are left out. Cosine eigenvalues below 10 T eps of the largest count as 0,
    so the weights jump where rows become equal (T >= 3) or opposite.

    Guarantees: with independent gradients, descends on every task, equally fast per unit of its gradient.
    Scale: divided by Σ|β| (the paper divides by Σβ, which may be negative for T >= 3 and then ascends
        on every task).
    Cost: G Gᵀ and w G, and a T × T pseudo-inverse.
    Paper: Liu et al., ICLR 2021 (https://openreview.net/forum?id=IMPnRXEWpvr).

    Example:
        >>> import torch
        >>> IMTLG()(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        tensor([0.7500, 0.7500])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        u = equal_projections(C, norms, eps)
        total = per_norm(u, norms).abs().sum(-1, keepdim=True)
        return u / total.masked_fill(total == 0, 1.0)
