"""ConFIG: project the mean gradient onto the line that has the same angle to every gradient."""

from torch import Tensor

from .base import GramianAggregator
from .unit_rows import equal_projections, safe_length


class ConFIG(GramianAggregator):
    """Conflict-free inverse gradients: the mean gradient, projected onto the line at equal angles to all.

    u is the unit direction with the same cosine to all gradients, by the pseudo-inverse of the unit rows
    (Eq. 2). The length is the mean of the projections ⟨gᵢ, u⟩, so d = ⟨g₀, u⟩ u, where g₀ is the mean
    gradient. Zero rows are left out. With independent gradients u is :class:`IMTLG`'s direction, and only
    the length differs.

    Dependent gradients may have no such direction; u is then the nearest in least squares of ⟨gᵢ, u⟩/‖gᵢ‖,
    as in IMTL-G with its jumps, and single tasks may ascend. The sum of the projections may be negative
    there. Then d is along -u, as in the paper. d = 0 where the unit gradients sum to 0, and where u cancels
    to 1e-7 of its terms (to 2e-3 in float32).

    Guarantees: with independent gradients, descends on every task, equally fast per unit of its gradient;
        never ascends on the mean loss of the tasks that have a gradient.
    Scale: the mean projection (the paper: the sum, T times as long).
    Cost: G Gᵀ and w G, and a T × T pseudo-inverse.
    Paper: Liu, Chu and Thuerey, ICLR 2025, arXiv 2408.11104.

    Example:
        >>> import torch
        >>> ConFIG()(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        tensor([1., 1.])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        u = equal_projections(C, norms, eps)
        u = u / safe_length(C, u, eps)
        projections = norms * (C @ u.unsqueeze(-1)).squeeze(-1)
        rows = norms.sign().sum(-1, keepdim=True).clamp_min(1.0)
        return u * (projections.sum(-1, keepdim=True) / rows)
