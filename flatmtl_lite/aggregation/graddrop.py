"""GradDrop: keep only the gradients of one sign at every parameter."""

import torch
from torch import Tensor

from .base import Drawing, StepDirection
from .checks import check_rows, check_sum


class GradDrop(Drawing):
    """Gradient sign dropout: at every parameter draw a sign, and keep only the gradients of that sign.

    The positive sign is drawn with probability p = ½(1 + Σ gᵢ/Σ |gᵢ|), the positive sign purity (eq. 1;
    Alg. 1 without leak): the share of Σ |gᵢ| that is positive. The method works on elements, not on the
    Gramian, so it changes if the gradients are rotated. The paper drops signs of gradients at the features;
    we drop them at the parameters, as later comparisons do.

    Guarantees: where all signs agree, the mean; nowhere larger than the mean of |gᵢ|.
    Scale: the sum of the gradients that are kept, divided by T (the paper: the sum).
    Cost: a few passes over G, no Gramian; P random numbers, from the CPU unless the generator is elsewhere.
    Paper: Chen et al., NeurIPS 2020, arXiv 2010.06808.

    Args:
        generator: source of the signs, one draw of P numbers per call for the whole batch. By default a
            generator of its own with seed 0, whatever ``torch.manual_seed`` says. Its state is part of
            ``state_dict``.

    Raises:
        ValueError: ``generator`` is not a ``torch.Generator``.

    Example:
        >>> GradDrop()(torch.tensor([[4.0, 2.0, -1.0], [2.0, 2.0, 1.0]]))[:2]
        tensor([3., 2.])
    """

    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_rows(G)
        check_sum(G)
        return self.drop(G)

    def for_step(self, losses: Tensor | None) -> StepDirection:
        def direction(rows: Tensor, part: str | None = None) -> Tensor:
            return self.drop(rows)

        return direction

    @torch.no_grad()
    def drop(self, G: Tensor) -> Tensor:
        """Return the direction (..., P) of finite rows (..., T, P)."""
        # dividing by T first keeps the sums from overflow
        rows = G.to(torch.promote_types(G.dtype, torch.float32)) / G.shape[-2]
        plus, minus = rows.clamp_min(0.0).sum(-2), rows.clamp_max(0.0).sum(-2)
        draw = torch.rand(G.shape[-1], generator=self.generator, device=self.generator.device)
        positive = draw.to(G.device) * (plus - minus) < plus
        return torch.where(positive, plus, minus).to(G.dtype)
