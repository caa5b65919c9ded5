"""Constant: fixed weights, linear scalarisation as the control of every other method."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import StepDirection
from .checks import is_number
from .gramians import weighted_sum
from .loss_weighting import LossWeighting


class Constant(LossWeighting):
    """Fixed weights: plain gradient descent on a weighted mean of the losses (linear scalarisation).

    A sweep of the weights is the control that a method with more machinery should beat. Equal weights are
    :class:`Mean`. No loss is read, so none must be given. If tasks are absent, the weights of the present
    tasks are divided by their sum. If this sum is 0, the direction is 0.

    Guarantees: descends on the weighted mean of the losses, at whatever price for one task.
    Scale: the weights are divided by their sum, so that Σ w = 1 and only their ratios count.
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: as a control: Xin et al., NeurIPS 2022 (https://openreview.net/forum?id=A2Ya5aLtyuG); with equal
        weights: Kurin et al., arXiv 2201.04122.

    Args:
        weights: one number >= 0 per task, at least one > 0; or a tensor of them, (..., T), for a batch of
            problems, which a training step is not. None: equal weights for any number of tasks.

    Raises:
        ValueError: ``weights`` are not such numbers, or a later call has another number of tasks
            or a batch that the weights do not fit.

    Example:
        >>> Constant(weights=[3.0, 1.0])(torch.tensor([[4.0, 0.0], [0.0, 4.0]]))
        tensor([3., 1.])
    """

    def __init__(self, weights: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        self.weights = None if weights is None else _checked_weights(weights)

    def loss_weights(self, losses: Tensor | None) -> Tensor:
        if losses is None:
            raise ValueError(
                "Got no losses to count the tasks by; expected one per task, whatever its value. Call "
                "Constant(...)(G) for a direction without losses."
            )
        return self._shares(losses.shape).expand(losses.shape)

    def for_step(self, losses: Tensor | None) -> StepDirection:
        def direction(rows: Tensor, part: str | None = None) -> Tensor:
            return weighted_sum(self._shares(rows.shape[:-1]), rows)

        return direction

    def _shares(self, shape: torch.Size) -> Tensor:
        """Return the weights of the present tasks, which sum to 1, for rows of the shape (..., T).

        They are in float64, on the CPU, and fit that shape when they are expanded.
        """
        *batch, rows = shape
        present = self.tasks_of(rows)
        if self.weights is None:
            return torch.full((rows,), 1.0 / rows, dtype=torch.float64, device="cpu")
        if present.count != self.weights.shape[-1]:
            raise ValueError(
                f"Got {rows} tasks{present} for {self!r}; expected {self.weights.shape[-1]}, one per weight. "
                f"Make it with {present.count} weights."
            )
        if not _fits(self.weights.shape[:-1], batch):
            raise ValueError(
                f"Got a batch of problems of shape {tuple(batch)} for Constant with weights of shape "
                f"{tuple(self.weights.shape)}; expected one problem for each list of weights. Make it with "
                "one number per task, which suits every batch and a training step."
            )
        weights, tiny = present.select(self.weights, [-1]), torch.finfo(torch.float64).tiny
        weights = weights / weights.amax(-1, keepdim=True).clamp_min(tiny)  # a sum might overflow
        return weights / weights.sum(-1, keepdim=True).clamp_min(tiny)

    def extra_repr(self) -> str:
        return "" if self.weights is None else f"weights={self.weights.tolist()}"


def _fits(shape: Sequence[int], batch: Sequence[int]) -> bool:
    """Return whether a tensor of that shape may be expanded to the shape of the batch."""
    pairs = zip(reversed(shape), reversed(batch), strict=False)
    return len(shape) <= len(batch) and all(size in (1, wanted) for size, wanted in pairs)


def _checked_weights(weights: Sequence[float] | Tensor) -> Tensor:
    """Return the weights (..., T) in float64, or raise ValueError unless they are as ``Constant`` says."""
    values = torch.empty(0)
    if isinstance(weights, Tensor) and weights.ndim:
        values = weights.detach().to(device="cpu", dtype=torch.float64)
    elif isinstance(weights, Sequence) and all(is_number(weight) for weight in weights):
        values = torch.tensor([float(weight) for weight in weights], dtype=torch.float64, device="cpu")
    if values.numel() and bool(((values >= 0) & values.isfinite()).all() & (values > 0).any(-1).all()):
        return values
    raise ValueError(
        f"Got weights={weights!r} of type {type(weights).__name__}; expected a list or a tensor of one "
        "finite number >= 0 per task, at least one of them > 0, such as [0.7, 0.3]."
    )
