"""PCGrad: remove from every gradient its conflict with the others, then take the mean."""

import torch
from torch import Tensor

from .base import InRandomOrder


class PCGrad(InRandomOrder):
    """Projecting conflicting gradients: remove from each gradient its conflict with the others, then average.

    Each task i goes through the others in random order. Where ⟨vᵢ, gⱼ⟩ < 0, vᵢ loses its component along gⱼ
    (Alg. 1). The method runs on the Gramian: it follows the coefficients of every vᵢ and needs no vector of
    length P.

    Guarantees: for two tasks, no vᵢ conflicts with the other's gradient; without conflict, the mean.
    Scale: the mean of the vᵢ (the paper and its code sum).
    Cost: G Gᵀ and w G, and T - 1 rounds on T × T numbers.
    Paper: Yu et al., NeurIPS 2020, arXiv 2001.06782.

    Args:
        generator: source of the orders, from three tasks on one (T, T) draw per call for the whole batch. By
            default a generator of its own with seed 0, whatever ``torch.manual_seed`` says. Its state is
            part of ``state_dict``.

    Raises:
        ValueError: ``generator`` is not a ``torch.Generator``.

    Example:
        >>> PCGrad()(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
        tensor([0.2500, 0.7500])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        T = norms.shape[-1]
        v, ones = torch.diag_embed(norms), norms.new_ones(T, 1)
        for other in self.others(T):
            conflict = (v * (other @ C) @ ones).clamp_max(0.0)
            v = v - conflict * other
        return (ones.mT @ v).squeeze(-2) / T
