"""CAGrad: the direction near the mean that improves the worst task most."""

import math

import torch
from torch import Tensor

from .base import GramianAggregator
from .checks import is_number
from .cone import cone_minimum
from .simplex import hull_minimum
from .unit_rows import along, length, zero_where_cancelling


class CAGrad(GramianAggregator):
    """Conflict-averse gradient descent: the direction near the mean that improves the worst task most.

    d = argmax minᵢ ⟨gᵢ, d⟩ subject to ‖d - g₀‖ <= c‖g₀‖, where g₀ is the mean gradient (Alg. 1). The dual
    is the minimum over the simplex of ⟨g_w, g₀⟩ + c‖g₀‖‖g_w‖, and d = g₀ + c‖g₀‖ g_w/‖g_w‖. We solve it
    exactly.

    Where g_w cancels (a Pareto-stationary point), no d of the ball descends on every task. With c < 1, d is
    then the nearest point to g₀ that ascends on no task; with c >= 1, d is 0. Here "cancels" means below
    √(200 eps) of its terms, 2e-7 in float64. Above that, where the terms cancel to a fraction δ, the length
    of d - g₀ is off by about 8 eps/δ².

    Guarantees: with c < 1 descends on the mean loss; within its ball no direction helps the worst task more.
    Scale: divided by 1 + c, so that equal gradients give themselves (the published code divides by
        1 + c², which with c = 0.4 makes a step 1.21 times as long).
    Cost: G Gᵀ and w G, and a search for the active tasks on T × T numbers.
    Paper: Liu et al., NeurIPS 2021, arXiv 2110.14048.

    Args:
        c: radius of the search around the mean, >= 0. 0 gives the mean, and about 0.4 is usual. Towards 1
            and above, the direction nears MGDA's.

    Raises:
        ValueError: ``c`` is negative or not finite.

    Example:
        >>> CAGrad(c=0.5)(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        tensor([0.5000, 0.5000])
    """

    def __init__(self, c: float = 0.4) -> None:
        super().__init__()
        if not (is_number(c) and 0 <= c < math.inf):
            raise ValueError(f"Got c={c!r}; expected a finite number >= 0. The usual choice is c=0.4.")
        self.c = c

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        mean = norms / norms.shape[-1]
        if self.c == 0:
            return mean
        mean_length, h = along(C, mean)
        v = hull_minimum(C, norms, h, self.c, eps)
        # where the ridge of the search makes up most of ‖g_w‖, it shifts the gains, and the best gain is 0
        stationary = (200 * eps) ** 0.5 * v.sum(-1, keepdim=True) > self.c
        if self.c < 1 and bool(stationary.any()):
            nearest = cone_minimum(C, -h, eps)
            v = torch.where(stationary & (length(C, nearest) <= self.c), nearest, v)
        u = torch.addcmul(mean, v, mean_length) / (1 + self.c)
        # with c >= 1 the search may reach d = 0, as it does at a Pareto-stationary point
        return u if self.c < 1 else zero_where_cancelling(u, C)

    def extra_repr(self) -> str:
        return f"c={self.c}"
