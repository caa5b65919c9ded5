"""Nash-MTL: the direction on which the tasks would agree as bargaining parties."""

from torch import Tensor

from .base import GramianAggregator
from .fairness import fair_direction


class NashMTL(GramianAggregator):
    """The Nash bargaining solution: the direction with the largest product of the gains of all tasks.

    d = Σ αᵢ gᵢ with α > 0 and G Gᵀ α = 1/α. Among all directions of its length, d has the largest product
    of the gains ⟨gᵢ, d⟩ (Alg. 1). We solve for α exactly; the published code takes at most 20 convex
    programs and keeps its former weights where they fail. The direction does not depend on the norms.
    Gradients of 0 are left out. At a Pareto-stationary point, a positive combination of the unit gradients
    cancels to 1e-7 of its terms (to 2e-3 in float32). No solution exists there, and d = 0. It is also 0
    where the smallest gain is lost in the rounding of G Gᵀ. This may happen near such a point.

    Guarantees: descends on every task, or is 0 at a Pareto-stationary point; the same direction whatever
        the norms.
    Scale: the unit direction times the mean norm of the gradients (the paper's direction has norm √T; its
        code clips it to 1).
    Cost: G Gᵀ and w G, and Newton's method on T × T numbers.
    Paper: Navon et al., ICML 2022, arXiv 2202.01017.

    Example:
        >>> import torch
        >>> NashMTL()(torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
        tensor([2.8284, 2.8284])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        return fair_direction(C, norms, 1.0, eps)
