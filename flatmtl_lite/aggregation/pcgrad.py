"""PCGrad: every gradient gives up what conflicts with the others, then the mean is taken."""

import torch
from torch import Tensor

from .base import GramianAggregator


class PCGrad(GramianAggregator):
    """Projecting conflicting gradients (Yu et al., NeurIPS 2020, arXiv 2001.06782, Alg. 1).

    For each task, in random order over the others: where ⟨vᵢ, gⱼ⟩ < 0, vᵢ loses its component along
    gⱼ. Run on the Gramian: the coefficients of every vᵢ are followed, never a vector of length P.
    Scale: the mean of the vᵢ (the paper and its code sum).

    Args:
        generator: source of the orders, one (T, T) draw per call, shared by the batch; by default an
            own one with seed 0. Its state is part of ``state_dict``.

    Example:
        >>> PCGrad()(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
        tensor([0.2500, 0.7500])
    """

    def __init__(self, generator: torch.Generator | None = None):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        T = norms.shape[-1]
        order = torch.rand(T, T, generator=self.generator, dtype=torch.float64).argsort(-1)
        own = torch.eye(T, dtype=torch.bool)
        v = torch.diag_embed(norms)
        for j in order.unbind(-1):
            other = torch.nn.functional.one_hot(j, T).bool() & ~own
            conflict = (v * C[..., j, :]).sum(-1, keepdim=True).clamp_max(0.0)
            v = v - conflict * other
        return torch.where(norms > 0, v.sum(-2) / norms, 0.0) / T

    def get_extra_state(self) -> Tensor:
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        self.generator.set_state(state.cpu())
