"""Priority: keep the first of two rows whole, and of the second what does not oppose the first."""

import torch
from torch import Tensor

from .base import GramianAggregator
from .products import inner_products


class Priority(GramianAggregator):
    """Add two rows; where the second opposes the first, leave out what it takes from the first.

    d is the point nearest to g₁ + g₂ in {d: ⟨g₁, d⟩ ≥ ‖g₁‖²}. So along g₁ the step descends at least as fast
    as g₁ alone does. It is the projection of PCD for one constraint with threshold 1. PCD itself projects
    the primary row alone, onto {d: ⟨g₂, d⟩ ≥ τ‖g₂‖²}, and stretches the result to the primary's length.

    Paper: after PCD, Varam and AlHajri, TMLR 2026, arXiv 2606.29521.

    Example:
        >>> Priority()(torch.tensor([[1.0, 0.0], [-0.5, 1.0]]))
        tensor([1., 1.])
    """

    @torch.no_grad()
    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        """Aggregate finite rows ``G`` (..., 2, P) to (..., P), without waiting for their device."""
        rows = G.to(torch.promote_types(G.dtype, torch.float32))  # in float16 the products would overflow
        largest = rows.abs().amax(-1, keepdim=True)
        scaled = rows / torch.where(largest > 0, largest, 1.0)
        M = inner_products(scaled)
        harm = (-M[..., 0, 1]).clamp_min(0.0) / M[..., 0, 0].clamp_min(1.0)  # ≥ 1, or 0
        direction = rows.sum(-2) + (harm.unsqueeze(-1) * largest[..., 1, :]) * scaled[..., 0, :]
        return direction.to(G.dtype)

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        harm = (-C[..., 0, 1] * norms[..., 1]).clamp_min(0.0)
        return torch.stack([norms[..., 0] + harm, norms[..., 1]], -1)
