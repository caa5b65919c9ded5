"""Priority: keep the first of two rows whole, and of the second what does not oppose the first."""

import torch
from torch import Tensor

from .base import GramianAggregator


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

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        harm = (-C[..., 0, 1] * norms[..., 1]).clamp_min(0.0)
        return torch.stack([norms[..., 0] + harm, norms[..., 1]], -1)
