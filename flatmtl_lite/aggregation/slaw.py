"""SLAW: weigh each task by how little its loss varies."""

import math

import torch
from torch import Tensor

from .checks import is_number
from .loss_weighting import RunningWeighting


class SLAW(RunningWeighting):
    """Scaled loss approximate weighting: weigh each task by the inverse spread of its loss over time.

    w ∝ 1/s. s is the running standard deviation of the loss, present loss included, and stands in for the
    norm of its gradient. Moments are plain at first, and exponential once 1/step is below 1 - decay. s is at
    least 1e-5. It equals the paper's √(mean of l² - (mean of l)²), computed without that cancellation.
    Weights are equal at the first step. A task that is present for the first time later has no spread yet. It
    gets the geometric mean of the others' weights. Losses may have any sign.

    Guarantees: the weights do not change when a constant is added to a loss.
    Scale: Σ w = 1 (the paper: T).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Crawshaw and Košecká, 2021, arXiv 2109.08218.

    Args:
        decay: decay of the running moments, in [0, 1).

    Raises:
        ValueError: ``decay`` is out of range.

    Example:
        >>> A = SLAW()
        >>> for losses in ([1.0, 1.0], [2.0, 4.0]):
        ...     d = A(torch.eye(2), losses=torch.tensor(losses))
        >>> d
        tensor([0.7500, 0.2500])
    """

    FLOOR = 1e-5
    remembers = frozenset({"count", "mean", "variance"})

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        if not (is_number(decay) and 0 <= decay < 1):
            raise ValueError(f"Got decay={decay!r}; expected a number in [0, 1). The paper's code has 0.99.")
        self.decay = decay

    def solve(self, losses: Tensor) -> Tensor:
        zeros = torch.zeros_like(losses)
        count = self.recall("count", zeros) + 1
        mean, variance = self.recall("mean", losses), self.recall("variance", zeros)
        share = (1 / count).clamp_min(1 - self.decay)
        deviation = losses - mean
        mean = mean + share * deviation
        variance = (1 - share) * (variance + share * deviation**2)
        self.remember({"count": count, "mean": mean, "variance": variance})
        log_spread, is_first = variance.sqrt().clamp_min(self.FLOOR).log(), count == 1
        others = log_spread.masked_fill(is_first, math.nan).nanmean(-1, keepdim=True).nan_to_num(0.0)
        return (-torch.where(is_first, others, log_spread)).softmax(-1)

    def extra_repr(self) -> str:
        return f"decay={self.decay}"
