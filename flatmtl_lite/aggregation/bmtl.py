"""BMTL: more weight where the loss is larger."""

from torch import Tensor

from .loss_weighting import LossWeighting, check_temperature


class BMTL(LossWeighting):
    """Balanced multi-task learning: descend on Σ exp(l / temperature), so that larger losses get more weight.

    The gradient of exp(l/τ) is exp(l/τ) g/τ, so w = softmax(l / τ). Only the paper's abstract is public
    to us: a transformation h with h' > 0 and increasing; exp is such a one. Its τ and its default could
    not be checked. Losses of any sign.

    Guarantees: of two tasks, the one with the larger loss never gets less weight.
    Scale: Σ w = 1 (the sum's own weights h' change the length of the step).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Liang and Zhang, 2020, arXiv 2002.04792.

    Args:
        temperature: τ > 0; larger is more equal.

    Raises:
        ValueError: ``temperature`` is not finite or not > 0.

    Example:
        >>> import torch
        >>> BMTL(temperature=1.0)(torch.eye(2), losses=torch.tensor([0.0, 1.0]))
        tensor([0.2689, 0.7311])
    """

    def __init__(self, temperature: float = 50.0):
        super().__init__()
        self.temperature = check_temperature(temperature)

    def solve(self, losses: Tensor) -> Tensor:
        return (losses / self.temperature).softmax(-1)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}"
