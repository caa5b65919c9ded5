"""NGDiff: the sum of the unit gradients."""

from torch import Tensor

from .base import GramianAggregator, mean_norm, safe_length


class NGDiff(GramianAggregator):
    """Normalised gradients: the sum of the unit gradients, so that every task has the same say.

    d is along Σ gᵢ/‖gᵢ‖. The paper unlearns: two tasks, of which one is to get worse, g₁/‖g₁‖ - g₂/‖g₂‖
    (pass -g₂ here), with a step size of its own from three losses, which is left to the optimizer; the
    rule for T tasks is ours. Gradients of 0 are left out; where the unit gradients cancel (to 1e-7 of
    their number; in float32 to 2e-3), d = 0.

    Guarantees: the same direction whatever the norms; two tasks both descend, unless opposite.
    Scale: the unit direction times the mean norm of the gradients.
    Cost: G Gᵀ and w G.
    Paper: Bu et al., NAACL 2025, arXiv 2410.22086.

    Example:
        >>> import torch
        >>> NGDiff()(torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
        tensor([2.8284, 2.8284])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        u = norms.sign()  # 1, and 0 for a zero row
        return u * (mean_norm(norms) / safe_length(C, u, eps))
