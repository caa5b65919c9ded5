"""GradVac: turn every gradient towards the others until their usual angle is reached."""

from typing import Any

import torch
from torch import Tensor

from .base import InRandomOrder
from .checks import is_number
from .memory import Remembering
from .unit_rows import identity


class GradVac(InRandomOrder, Remembering):
    """Gradient vaccine: where two gradients agree less than usual, turn one towards the other, then average.

    Each task i goes through the others in random order. Where cos(vᵢ, gⱼ) is below its running mean φ̂ᵢⱼ, vᵢ
    gets as much of gⱼ as brings the cosine to φ̂ᵢⱼ (eq. 3). Then φ̂ᵢⱼ ← (1 - β)φ̂ᵢⱼ + β cos (eq. 4), also where
    vᵢ did not turn; one published code then keeps φ̂. φ̂ starts at 0, so the first call is PCGrad if no row
    is 0. The method runs on the Gramian.

    Every part ("loss", "flat", "sam") has a running mean of its own, of shape (..., T, T). A zero row takes
    no part, also not in the mean of the vᵢ. A vᵢ that has only rounding left turns no further and is not
    remembered. Two tasks that were never present together have φ̂ = 0, as at the first call. A φ̂ beyond
    1 - 1e-6 counts as 1 - 1e-6, because the formula divides by 0 at 1.

    Guarantees: for two tasks, no vᵢ agrees less with the other's gradient than usual.
    Scale: the mean of the vᵢ (the paper and its code sum); it may be longer than every gradient.
    Cost: G Gᵀ and w G, and T - 1 rounds on T × T numbers.
    Paper: Wang et al., ICLR 2021, arXiv 2010.05874.

    Args:
        beta: weight of the present cosine in the running mean, in [0, 1]. With 0, every call is as the first.
        generator: source of the orders, from three tasks on one (T, T) draw per call for the whole batch. By
            default a generator of its own with seed 0, whatever ``torch.manual_seed`` says. Its state and
            the running means are part of ``state_dict``.

    Raises:
        ValueError: ``beta`` is out of range, ``generator`` is not a ``torch.Generator``, or a later call has
            another number of tasks or another batch.

    Example:
        >>> A = GradVac()
        >>> A(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        tensor([1., 0.])
        >>> A(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))  # the usual cosine is 1/2 by now
        tensor([0.7887, 0.7887])
    """

    LIMIT = 1 - 1e-6
    task_dims = (-2, -1)
    reads, keeps = "a Gramian", "cosines"

    def __init__(self, beta: float = 0.5, generator: torch.Generator | None = None) -> None:
        super().__init__(generator)
        if not (is_number(beta) and 0 <= beta <= 1):
            raise ValueError(f"Got beta={beta!r}; expected a number in [0, 1]. Published code has 0.5.")
        self.beta = beta
        self.part = "loss"

    @property
    def usual(self) -> dict[str, Tensor]:
        """The running means φ̂ (..., T, T) of each part."""
        return self.memory

    def weigh(self, M: Tensor, eps: float, part: str | None = None) -> Tensor:
        self.part = part or "loss"
        return super().weigh(M, eps)

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        T = norms.shape[-1]
        usual = self.recall(self.part, torch.zeros_like(C))
        nonzero = norms.sign()
        others = self.others(T) * nonzero[..., None, None, :]
        goals = (others * usual.unsqueeze(-3)).sum(-1, keepdim=True)
        limits = goals.clamp(-self.LIMIT, self.LIMIT)
        slopes = limits / (1 - limits * limits).sqrt()
        v, cosines = nonzero.unsqueeze(-1) * identity(T), usual  # v: coefficients of the unit rows
        rounds = (x.unbind(-3) for x in (others, goals, limits, slopes))
        for other, goal, limit, slope in zip(*rounds, strict=True):
            inner = v @ C
            square = (v * inner).sum(-1, keepdim=True)
            has_direction = square > 10 * T * eps
            onto = (inner * other).sum(-1, keepdim=True)
            cosine = (onto / torch.where(has_direction, square, 1.0).sqrt()).clamp(-1.0, 1.0)
            turn = torch.addcmul(square, onto, onto, value=-1.0).clamp_min(0.0).sqrt() * slope - onto
            v = torch.addcmul(v, turn * (has_direction & (cosine < limit)), other)
            cosines = torch.addcmul(cosines, (cosine - goal) * has_direction, other)
        self.remember({self.part: torch.lerp(usual, cosines, self.beta)})
        return (v * norms.unsqueeze(-1)).sum(-2) / nonzero.sum(-1, keepdim=True).clamp_min(1.0)

    def get_extra_state(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state(), **self.memory}

    def set_extra_state(self, state: Any) -> None:
        super().set_extra_state(state["generator"])
        self.memory = {part: value.cpu() for part, value in state.items() if part != "generator"}

    def extra_repr(self) -> str:
        return f"beta={self.beta}"
