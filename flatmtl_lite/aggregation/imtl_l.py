"""IMTL-L: learn scales that bring all losses to the same size."""

import torch
from torch import Tensor

from .loss_weighting import LearnedWeighting


class IMTLL(LearnedWeighting):
    """Impartial multi-task learning, loss part: learn scales that bring all losses to the same size.

    s follows the gradient of Σ (eˢ l - s). For fixed losses, its minimum is at eˢ l = 1. The trunk takes
    w = eˢ / Σ eˢ. Pass ``parameters()`` to the optimizer, best without weight decay. Losses should be > 0:
    otherwise the objective has no minimum.

    Guarantees: for fixed losses s settles where all losses wᵢlᵢ are equal.
    Scale: Σ w = 1 (the paper's weights eˢ also change the length of the step).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean"; T parameters.
    Paper: Liu et al., ICLR 2021 (https://openreview.net/forum?id=IMPnRXEWpvr).

    Args:
        tasks: the number of tasks; the parameters must exist before the optimizer does.

    Example:
        >>> A = IMTLL(tasks=2)
        >>> optimizer = torch.optim.SGD(A.parameters(), lr=0.1)
        >>> A(torch.eye(2), losses=torch.tensor([1.0, 3.0]))
        tensor([0.5000, 0.5000])
        >>> A.learn()
        >>> A.s.grad
        tensor([0., 2.])
    """

    def log_weights(self, s: Tensor) -> Tensor:
        return s

    def slope(self, s: Tensor, losses: Tensor) -> Tensor:
        return torch.exp(s) * losses - 1
