"""GradNorm: move the weights until the weighted gradients have the lengths that the losses ask for."""

import torch
from torch import Tensor

from .base import GramianAggregator
from .checks import check_nonnegative_number, check_positive_number
from .memory import LEAST_WEIGHT, Remembering


class GradNorm(GramianAggregator, Remembering):
    """Gradient normalisation: bring the weighted gradients to one length, longer where a loss falls slowly.

    Gᵢ = wᵢ‖gᵢ‖ is to become Ḡrᵢᵅ, where Ḡ is the mean of all Gⱼ. The inverse training rate rᵢ is lᵢ/lᵢ⁰ over
    its mean, and lᵢ⁰ is the first loss of the task (Alg. 1). The norms belong to the whole trunk; the paper
    takes one layer. So no gradient goes through a gradient: the slope of Σ |Gᵢ - Ḡrᵢᵅ|, with the goals Ḡrᵢᵅ
    held fixed, is known. The paper's slope is in w, and published code gives it to Adam. Here it is in log w
    and in units of Ḡ, sign(Gᵢ - Ḡrᵢᵅ)Gᵢ/Ḡ, so that the step has no unit and every w stays above 0. w starts
    equal and moves after the direction is taken. Each part has its own w. A task whose gradient is 0 keeps
    its w and is in no mean, as if it were absent.

    Guarantees: where all losses fell by the same share, all wᵢ‖gᵢ‖ > 0 come to one length, to within a small
        multiple of lr, for small lr.
    Scale: Σ w = 1 (the paper: T).
    Cost: G Gᵀ and w G.
    Paper: Chen et al., ICML 2018, arXiv 1711.02257.

    Args:
        alpha: strength α of the pull towards equal training rates, a finite number >= 0.
        lr: step size of log w, a finite number > 0.

    Raises:
        ValueError: an argument is out of range, losses are missing or not > 0, or a later call has another
            number of tasks or another batch.

    Example:
        >>> A = GradNorm(lr=0.5)
        >>> G, losses = torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([1.0, 2.0])
        >>> A(G, losses=losses)  # wᵢ‖gᵢ‖ is 1/2 and 3/2 of the mean
        tensor([0.5000, 1.5000])
        >>> A(G, losses=losses)
        tensor([0.7311, 0.8068])
    """

    reads_losses = True
    remembers = frozenset({"initial", "weights"})

    def __init__(self, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__()
        self.alpha = check_nonnegative_number(alpha, "alpha")
        self.lr = check_positive_number(lr, "lr")
        self.part = "loss"

    def weigh(self, M: Tensor, eps: float, part: str | None = None) -> Tensor:
        self.part = part or "loss"
        return super().weigh(M, eps)

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        losses = self.losses
        self.check_positive(losses)
        initial = self.recall(f"{self.part} initial", losses)
        rates = losses / initial
        moves = norms > 0
        w, total = self.recall_shares(f"{self.part} weights", norms)
        lengths = w * norms
        relative = lengths / _mean_of(lengths, moves).clamp_min(torch.finfo(norms.dtype).tiny)
        goals = (rates / _mean_of(rates, moves)) ** self.alpha
        moved = self.exchange(w, -self.lr * (relative - goals).sign() * relative, moves)
        weights = (moved * total).clamp_min(LEAST_WEIGHT)
        self.remember({f"{self.part} initial": initial, f"{self.part} weights": weights})
        return lengths

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, lr={self.lr}"


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean (..., 1) of the chosen values (..., T), or NaN if none is chosen."""
    return values.where(chosen, torch.nan).nanmean(-1, keepdim=True)
