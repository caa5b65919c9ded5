"""STCH: descend on a smooth maximum of the losses."""

import torch
from torch import Tensor

from .checks import check_positive_number
from .loss_weighting import RunningWeighting, check_window


class STCH(RunningWeighting):
    """Smooth Tchebycheff scalarisation: descend on a smooth maximum of the losses, each over its nadir.

    The objective is μ log Σ exp(log(l/nadir)/μ), so w ∝ p/l with p = softmax(log(l/nadir)/μ). The nadir of
    a task is its mean loss over the first ``window`` steps in which it is present. Until then its ratio
    l/nadir counts as 1. So in the first window w ∝ 1/l, and the step descends on Σ log l as in the
    published code. There the nadir is the mean over one epoch, after 4 epochs of warm-up. Here it is the mean
    over the first window, which is also the warm-up.

    The published code has μ = 1. Then p/l ∝ 1/nadir, and the weights are constant after the warm-up. A
    smaller μ gives more weight to the task that has fallen least.

    Guarantees: when a loss is multiplied by a constant, only the length of the direction changes.
    Scale: Σ w = 1 (the published code: T p/l, which gives a step of another length).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Lin et al., ICML 2024, arXiv 2402.19078; the logarithms are from its code for several tasks.

    Args:
        window: number of steps over which the nadir is averaged, >= 1, such as the steps of an epoch.
        mu: μ > 0; as it goes to 0, all weight goes to the task with the largest l/nadir.

    Raises:
        ValueError: an argument is out of range, or a later loss is not > 0 and so has no logarithm.

    Example:
        >>> A = STCH(window=1, mu=0.5)
        >>> for losses in ([2.0, 2.0], [2.0, 1.0]):
        ...     d = A(torch.eye(2), losses=torch.tensor(losses))
        >>> d
        tensor([0.6667, 0.3333])
    """

    remembers = frozenset({"count", "nadir"})

    def __init__(self, window: int = 25, mu: float = 1.0) -> None:
        super().__init__()
        self.window = check_window(window)
        self.mu = check_positive_number(mu, "mu")

    def solve(self, losses: Tensor) -> Tensor:
        self.check_positive(losses)
        count, nadir = self.recall("count", torch.zeros_like(losses)), self.recall("nadir", losses)
        is_warm = count >= self.window
        ratios = torch.where(is_warm, losses.log() - nadir.log(), 0.0)
        later = count + 1
        self.remember(
            {
                "count": torch.where(is_warm, count, later),
                "nadir": torch.where(is_warm, nadir, nadir + (losses - nadir) / later),
            }
        )
        # the largest becomes 0, so that a small μ makes no infinity that cancels against another
        exponents = (ratios - ratios.amax(-1, keepdim=True)) / self.mu
        return (exponents - losses.log()).softmax(-1)

    def extra_repr(self) -> str:
        return f"window={self.window}, mu={self.mu}"
