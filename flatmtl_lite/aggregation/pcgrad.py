"""PCGrad: every gradient gives up what conflicts with the others, then the mean is taken."""

import torch
from torch import Tensor

from .base import Drawing, GramianAggregator


class PCGrad(Drawing, GramianAggregator):
    """Projecting conflicting gradients: every gradient gives up what conflicts with the others, then average.

    For each task, in random order over the others: where ⟨vᵢ, gⱼ⟩ < 0, vᵢ loses its component along
    gⱼ (Alg. 1). Run on the Gramian: the coefficients of every vᵢ are followed, never a vector of
    length P.

    Guarantees: for two tasks, no vᵢ conflicts with the other's gradient; without conflict, the mean.
    Scale: the mean of the vᵢ (the paper and its code sum).
    Cost: G Gᵀ and w G, and T rounds on T × T numbers.
    Paper: Yu et al., NeurIPS 2020, arXiv 2001.06782.

    Args:
        generator: source of the orders, one (T, T) draw per call, shared by the batch; by default an
            own one with seed 0. Its state is part of ``state_dict``.

    Example:
        >>> PCGrad()(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
        tensor([0.2500, 0.7500])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        T = norms.shape[-1]
        order = torch.rand(T, T, generator=self.generator, dtype=torch.float64).argsort(-1)
        own = torch.eye(T, dtype=torch.float64)
        v = norms.unsqueeze(-1) * own
        for j in order.unbind(-1):
            conflict = (v * C[..., j, :]).sum(-1, keepdim=True).clamp_max(0.0)
            other = (own[j] - own).clamp_min(0.0)  # row i marks j, and nothing where j is i
            v = v - conflict * other
        return v.sum(-2) / T
