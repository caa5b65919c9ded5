"""ConicGrad: the direction within a cone around the mean that improves the worst task most."""

import torch
from torch import Tensor

from .base import GramianAggregator
from .checks import is_number
from .cone import cone_minimum
from .simplex import hull_minimum, simplex_scale
from .unit_rows import along, safe_length


class ConicGrad(GramianAggregator):
    """A cone around the mean gradient: the direction within it that improves the worst task most.

    d = argmax minᵢ ⟨gᵢ, d⟩ over ‖d‖ <= ‖g₀‖, ⟨g₀, d⟩ >= c‖g₀‖², where g₀ is the mean gradient. We solve
    this exactly.

    We know the paper's problem from a review of it: the same maximum over the cone
    ⟨g₀, d⟩ >= c‖g₀‖‖d‖, without a bound on the length. So only its direction has a meaning. It is our
    direction wherever some direction within the cone descends on every task. Elsewhere the published
    optimum is d = 0, but ours moves on within the cone, although some task does not gain. The solver, the
    length and the default c are ours. The published algorithm is another one: reviews tell of a closed
    form by duality, and of a length that is set apart by normalisation.

    If MGDA's direction lies within the cone, d points along it. Otherwise d lies on the surface,
    d = ‖g₀‖ (c ĝ₀ + √(1-c²) v), where v solves the same problem without the cone for the parts of the
    gradients that are orthogonal to g₀. Gradients of 0 count in g₀ but not as the worst task. At a
    Pareto-stationary point (see Nash-MTL), no d is better for the worst task than d = 0; there d jumps to
    the axis of the cone, d = g₀. Where the terms of MGDA's direction cancel to a fraction δ, the length of d
    is off by about 8 eps/δ².

    Guarantees: with c > 0 descends on the mean loss; except at a Pareto-stationary point, within its cone
        no direction of its length helps the worst task more.
    Scale: as it is, ‖d‖ = ‖g₀‖.
    Cost: G Gᵀ and w G, and one or two searches for the active tasks on T × T numbers.
    Paper: arXiv 2502.00217.

    Args:
        c: cosine of the cone's half-angle, from 0 to 1. 1 gives the mean. The default is ours.

    Raises:
        ValueError: ``c`` lies outside.

    Example:
        >>> ConicGrad(c=0.8)(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        tensor([1.3000, 0.9000])
    """

    def __init__(self, c: float = 0.5) -> None:
        super().__init__()
        if not (is_number(c) and 0 <= c <= 1):
            raise ValueError(f"Got c={c!r}; expected a cosine from 0 to 1. The default is c=0.5.")
        self.c = c

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        mean = norms / norms.shape[-1]
        mean_length, h = along(C, mean)
        across = (1 - self.c**2) ** 0.5
        if across == 0:
            return mean
        u = cone_minimum(C, simplex_scale(norms) * norms.sign(), eps)
        size = safe_length(C, u, eps)
        stationary = size.isinf()
        outside = ((u * h).sum(-1, keepdim=True) < self.c * size) & ~stationary
        u = torch.where(stationary, mean, u * (mean_length / size))
        if bool(outside.any()):
            orthogonal = C - h.unsqueeze(-1) * h.unsqueeze(-2)
            # for other rows the shortest point has at most √2; with 2, a zero row is never the worst task
            linear = (self.c * h).masked_fill(norms == 0, 2.0)
            v = hull_minimum(orthogonal, norms, linear, across, 8 * eps)
            surface = mean_length * v + mean * (self.c - (v * h).sum(-1, keepdim=True))
            u = torch.where(outside, surface, u)
        return u

    def extra_repr(self) -> str:
        return f"c={self.c}"
