"""NGDiff: the sum of the unit gradients."""

from torch import Tensor

from .base import GramianAggregator
from .unit_rows import mean_norm, safe_length


class NGDiff(GramianAggregator):
    """Normalised gradients: the sum of the unit gradients, so that every task has the same influence.

    d is along Σ gᵢ/‖gᵢ‖. The paper is about unlearning: it has two tasks, the second task is to get worse,
    and d is along g₁/‖g₁‖ - g₂/‖g₂‖. Pass -g₂ here for the same direction. For T tasks, the sum is the
    direction of DiBS-MTL in the one-step form of its code. NGDiff also takes its step size from three losses;
    here the optimizer sets the step size. Gradients of 0 are left out. Where the unit gradients cancel to
    1e-7 of their number (to 2e-3 in float32), d = 0.

    Guarantees: the same direction whatever the norms; two tasks both descend, unless opposite.
    Scale: the unit direction times the mean norm of the gradients (DiBS-MTL: the sum itself, cut to norm 1).
    Cost: G Gᵀ and w G.
    Paper: Bu et al., NAACL 2025, arXiv 2410.22086; T tasks: Murthy et al., arXiv 2509.23948.

    Example:
        >>> import torch
        >>> NGDiff()(torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
        tensor([2.8284, 2.8284])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        u = norms.sign()  # 1, and 0 for a zero row
        return u * (mean_norm(norms) / safe_length(C, u, eps))
