"""NGDiff: the sum of the unit gradients."""

from torch import Tensor

from .base import GramianAggregator, cancels, length, with_mean_norm


class NGDiff(GramianAggregator):
    """Normalised gradients (NGDiff: Bu et al., NAACL 2025, arXiv 2410.22086) as a rule for T tasks.

    d is along Σ gᵢ/‖gᵢ‖: every task has the same say, however long its gradient. The paper unlearns:
    two tasks, of which one is to get worse, g₁/‖g₁‖ - g₂/‖g₂‖ (pass -g₂ here), with a step size of its
    own from three losses, which is left to the optimizer. Scale: the unit direction times the mean norm
    of the gradients. Gradients of 0 are left out; where the unit gradients cancel (to 1e-7 of their
    number; in float32 to 2e-3), d = 0.

    Example:
        >>> import torch
        >>> NGDiff()(torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
        tensor([2.8284, 2.8284])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        u = (norms > 0).to(norms.dtype)
        u = u.masked_fill(cancels(C, u, eps), 0.0)
        size = length(C, u)
        return with_mean_norm(u / size.masked_fill(size == 0, 1.0), norms)
