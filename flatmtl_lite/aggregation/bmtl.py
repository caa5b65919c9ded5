"""BMTL: give more weight to a larger loss."""

from torch import Tensor

from .checks import check_positive_number
from .loss_weighting import LossWeighting


class BMTL(LossWeighting):
    """Balanced multi-task learning: descend on Σ exp(l / temperature), so that larger losses get more weight.

    The gradient of exp(l/τ) is exp(l/τ) g/τ, so w = softmax(l / τ). We could read only the paper's
    abstract: it asks for a transformation h that is increasing and has h' > 0. exp is such a function.
    Code of others that names the paper has exp(l/τ) with τ = 50, which is our default. One project tunes τ
    from 0.2 to 0.8: the useful τ depends on the size of the losses. With losses near 1, τ = 50 is nearly the
    mean. Losses may have any sign.

    Guarantees: of two tasks, the task with the larger loss never gets less weight.
    Scale: Σ w = 1 (the weights h' of the sum itself also change the length of the step).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Liang and Zhang, 2020, arXiv 2002.04792.

    Args:
        temperature: τ > 0; a larger one makes the weights more equal.

    Raises:
        ValueError: ``temperature`` is not finite or not > 0.

    Example:
        >>> import torch
        >>> BMTL(temperature=1.0)(torch.eye(2), losses=torch.tensor([0.0, 1.0]))
        tensor([0.2689, 0.7311])
    """

    def __init__(self, temperature: float = 50.0) -> None:
        super().__init__()
        self.temperature = check_positive_number(temperature, "temperature")

    def solve(self, losses: Tensor) -> Tensor:
        return (losses / self.temperature).softmax(-1)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}"
