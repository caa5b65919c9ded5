"""DWA: give more weight to a loss that falls more slowly."""

import torch
from torch import Tensor

from .checks import check_positive_number
from .loss_weighting import RunningWeighting, check_window


class DWA(RunningWeighting):
    """Dynamic weight average: weigh each task by how slowly its loss fell over the last two windows.

    w = softmax(r / temperature). The ratio r is the mean loss of the last full window of steps over the mean
    loss of the window before it. Weights are equal until two windows are full (eq. 7). The paper's window
    is an epoch: set ``window`` to the number of steps in one epoch. A step counts only for the windows of the
    tasks that are present. A task has the ratio 1 until two of its windows are full.

    Guarantees: the weights do not change when a loss is multiplied by a constant.
    Scale: Σ w = 1 (the paper: T).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Liu, Johns and Davison, CVPR 2019, arXiv 1803.10704.

    Args:
        window: number of steps over which losses are averaged, >= 1.
        temperature: > 0; a larger one makes the weights more equal.

    Raises:
        ValueError: an argument is out of range, or a later loss is not > 0 and so has no ratio.

    Example:
        >>> A = DWA(window=1)
        >>> for losses in ([1.0, 1.0], [1.0, 0.5], [1.0, 0.5]):
        ...     d = A(torch.eye(2), losses=torch.tensor(losses))
        >>> d
        tensor([0.5622, 0.4378])
    """

    remembers = frozenset({"total", "count", "last", "before"})

    def __init__(self, window: int = 25, temperature: float = 2.0) -> None:
        super().__init__()
        self.window = check_window(window)
        self.temperature = check_positive_number(temperature, "temperature")

    def solve(self, losses: Tensor) -> Tensor:
        self.check_positive(losses)
        zeros = torch.zeros_like(losses)
        total, count = self.recall("total", zeros) + losses, self.recall("count", zeros) + 1
        last, before = self.recall("last", zeros), self.recall("before", zeros)  # 0: no window was full yet
        # a ratio beyond the range of float64 would be inf, and the softmax would make inf - inf NaN
        ratios = (last / before).clamp_max(torch.finfo(losses.dtype).max)
        ratios = torch.where(before > 0, ratios, 1.0)
        is_full = count >= self.window
        self.remember(
            {
                "total": total.masked_fill(is_full, 0.0),
                "count": count.masked_fill(is_full, 0.0),
                "last": torch.where(is_full, total / count, last),
                "before": torch.where(is_full, last, before),
            }
        )
        return (ratios / self.temperature).softmax(-1)

    def extra_repr(self) -> str:
        return f"window={self.window}, temperature={self.temperature}"
