"""UW: learn weights as uncertainties."""

import torch
from torch import Tensor

from .loss_weighting import LearnedWeighting


class UW(LearnedWeighting):
    """Uncertainty weighting: learn each task's noise, and weigh the task by its inverse variance.

    s holds the logarithms of the variances and follows the gradient of Σ ½(e⁻ˢ l + s). For fixed losses, its
    minimum is at e⁻ˢ = 1/l. The trunk takes w = e⁻ˢ / Σ e⁻ˢ. Pass ``parameters()`` to the optimizer, best
    without weight decay. Losses should be > 0: otherwise the objective has no minimum.

    Guarantees: for fixed losses s settles where wᵢ ∝ 1/lᵢ, so that equal shares of loss remain.
    Scale: Σ w = 1 (the paper's weights ½e⁻ˢ also change the length of the step).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean"; T parameters.
    Paper: Kendall, Gal and Cipolla, CVPR 2018, arXiv 1705.07115.

    Args:
        tasks: the number of tasks; the parameters must exist before the optimizer does.

    Example:
        >>> A = UW(tasks=2)
        >>> optimizer = torch.optim.SGD(A.parameters(), lr=0.1)
        >>> A(torch.eye(2), losses=torch.tensor([1.0, 3.0]))
        tensor([0.5000, 0.5000])
        >>> A.learn()
        >>> A.s.grad
        tensor([ 0., -1.])
    """

    def log_weights(self, s: Tensor) -> Tensor:
        return -s

    def slope(self, s: Tensor, losses: Tensor) -> Tensor:
        return (1 - torch.exp(-s) * losses) / 2
