"""FairGrad: share the improvement α-fairly among the tasks."""

from torch import Tensor

from .base import GramianAggregator
from .checks import is_number
from .fairness import fair_direction


class FairGrad(GramianAggregator):
    """Fair resource allocation: the direction whose gains are shared with α-fairness.

    d = Σ wᵢ gᵢ with w > 0 and G Gᵀ w = w^(-1/α). Among all directions of its length, d has the largest
    utility Σ ⟨gᵢ, d⟩^(1-α)/(1-α) of the gains (Eq. 4, Alg. 1). With α = 1 the utility is Σ log ⟨gᵢ, d⟩ and
    the method is Nash-MTL. A larger α cares more for the task that gains least. The published experiments
    use α = 2. We solve for w exactly; the published code fits least squares.

    A gradient shorter than 1e-8 of the longest counts as that long in the shares. Gradients of 0 are left
    out. At a Pareto-stationary point (see Nash-MTL) no solution exists, and d = 0. It is also 0 where the
    smallest gain is lost in the rounding of G Gᵀ. This may happen near such a point.

    Guarantees: descends on every task, or is 0 at a Pareto-stationary point.
    Scale: the unit direction times the mean norm of the gradients (the paper leaves the length open).
    Cost: G Gᵀ and w G, and Newton's method on T × T numbers.
    Paper: Ban and Ji, ICML 2024, arXiv 2402.15638.

    Args:
        alpha: α, from 0.5 to 4: tests show that the solver is exact in this range.

    Raises:
        ValueError: ``alpha`` lies outside.

    Example:
        >>> import torch
        >>> FairGrad(alpha=2.0)(torch.tensor([[1.0, 0.0], [0.0, 8.0]]))
        tensor([4.0249, 2.0125])
    """

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__()
        if not (is_number(alpha) and 0.5 <= alpha <= 4):
            raise ValueError(
                f"Got alpha={alpha!r}; expected a number from 0.5 to 4. The usual choice is alpha=2. For "
                "equal weights use Mean, for the best worst gain MGDA."
            )
        self.alpha = alpha

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        return fair_direction(C, norms, self.alpha, eps)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"
