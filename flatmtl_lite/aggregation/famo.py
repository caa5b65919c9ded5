"""FAMO: let every loss fall by the same share, and learn the weights from how far each one fell."""

import torch
from torch import Tensor

from .checks import check_nonnegative_number, check_positive_number, checked_losses, is_number
from .loss_weighting import RunningWeighting


class FAMO(RunningWeighting):
    """Fast adaptive multi-task optimisation: more weight for a task whose loss fell by a smaller share.

    w ∝ z/(l - b) with z = softmax(ξ): descent on Σ zᵢ log(lᵢ - b). After the step the losses of the same
    batch are computed again, with one forward pass. ξ then takes a step of Adam against Jᵀδ, where δᵢ is the
    fall of log(lᵢ - b) and J the Jacobian of the softmax (Alg. 1). FlatMTL shows the method these losses: see
    :meth:`~flatmtl_lite.optim.FlatMTL.observe`. The heads follow their own losses; in the paper they follow
    the weighted sum too.

    Guarantees: with b = 0, a loss in another unit changes only the length of the direction.
    Scale: Σ w = 1, as in the paper.
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean", and one forward pass
        without a graph after the step, for whose losses the host waits.
    Paper: Liu et al., NeurIPS 2023, arXiv 2306.03792.

    Args:
        lr: learning rate of ξ, > 0.
        decay: weight decay of ξ, >= 0; the official code has 1e-5.
        lowest: b, a number below every possible loss.

    Raises:
        ValueError: an argument is out of range, or a call has a loss that is not > ``lowest``.

    Example:
        >>> A = FAMO(lr=1.0)
        >>> A(torch.eye(2), losses=torch.tensor([1.0, 1.0]))
        tensor([0.5000, 0.5000])
        >>> A.observe(torch.tensor([1.0, 0.5]))  # the second loss fell
        >>> A(torch.eye(2), losses=torch.tensor([1.0, 1.0]))
        tensor([0.8808, 0.1192])
    """

    observes = True
    remembers = frozenset({"logits", "steps", "first", "second"})

    def __init__(self, lr: float = 0.025, decay: float = 1e-3, lowest: float = 0.0) -> None:
        super().__init__()
        if not (is_number(lowest) and abs(lowest) < float("inf")):
            raise ValueError(f"Got lowest={lowest!r}; expected a finite number below every possible loss.")
        self.lr = check_positive_number(lr, "lr")
        self.decay, self.lowest = check_nonnegative_number(decay, "decay"), lowest
        self._logs: Tensor | None = None  # of the losses before the step

    def solve(self, losses: Tensor) -> Tensor:
        self._logs = self._log(losses)
        return (self.recall("logits", torch.zeros_like(losses)) - self._logs).softmax(-1)

    def observe(self, losses: Tensor) -> None:
        """Learn from the losses (..., T) after the step.

        Raises:
            ValueError: no call came before, other tasks came before, or a loss is not > ``lowest``.
            NonFiniteGradient: a loss is NaN or infinite.
        """
        if self._logs is None:
            raise ValueError(
                "Got losses after a step, but none before it; expected a call with losses first."
            )
        logs = self._log(checked_losses(losses, type(self).__name__))
        if logs.shape != self._logs.shape:
            raise ValueError(
                f"Got losses of shape {tuple(logs.shape)} after a step with losses of shape "
                f"{tuple(self._logs.shape)}; expected the same tasks."
            )
        fall = self._logs - logs
        self._logs = None
        zeros = torch.zeros_like(fall)
        logits, steps = self.recall("logits", zeros), self.recall("steps", zeros) + 1
        z = logits.softmax(-1)
        slope = z * (fall - (z * fall).sum(-1, keepdim=True)) + self.decay * logits
        first = torch.lerp(self.recall("first", zeros), slope, 0.1)
        second = torch.lerp(self.recall("second", zeros), slope**2, 0.001)
        root = (second / (1 - 0.999**steps)).sqrt() + 1e-8
        logits = logits - self.lr * first / (1 - 0.9**steps) / root
        self.remember({"logits": logits, "steps": steps, "first": first, "second": second})

    def _log(self, losses: Tensor) -> Tensor:
        self.check_positive(losses, self.lowest)
        return (losses - self.lowest).log()

    def extra_repr(self) -> str:
        return f"lr={self.lr}, decay={self.decay}" + (f", lowest={self.lowest}" if self.lowest else "")
