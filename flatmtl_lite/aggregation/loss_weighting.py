"""The base classes of methods whose weights come from the task losses."""

import torch
from torch import Tensor, nn

from .base import Aggregator, StepDirection
from .checks import check_call, checked_losses, tasks_where
from .gramians import weighted_sum
from .memory import Remembering


class LossWeighting(Aggregator):
    """An aggregator whose weights come from the losses alone: w G with Σ w = 1.

    A method implements :meth:`solve`. A training step computes the weights once, from the losses at θ, and
    uses them for every part, so that A(loss) + A(flat) = A(loss + flat). Weights apply only to the trunk.
    Each head follows the loss of its own task, and the ε of perturb="mean" follows the plain mean loss.
    """

    needs_tasks = True

    @torch.no_grad()
    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_call(G, losses)
        return self.for_step(losses)(G)

    def for_step(self, losses: Tensor | None) -> StepDirection:
        weights = self.loss_weights(losses)

        def direction(rows: Tensor, part: str | None = None) -> Tensor:
            return weighted_sum(weights, rows)

        return direction

    @torch.no_grad()
    def loss_weights(self, losses: Tensor | None) -> Tensor:
        """Return weights (..., T) for losses (..., T), in float64 on the CPU.

        A call moves the method's memory and generator on.

        Raises:
            ValueError: losses are missing, have no task dimension, or the method has no weights for them.
            NonFiniteGradient: a loss is NaN or infinite; ``tasks`` lists the indices of the tasks.
        """
        return self.solve(checked_losses(losses, type(self).__name__))

    def solve(self, losses: Tensor) -> Tensor:
        """Return weights (..., T) that sum to 1, for finite losses (..., T) in float64."""
        raise NotImplementedError


class RunningWeighting(LossWeighting, Remembering):
    """A loss weighting that remembers earlier losses in ``memory``, which is part of ``state_dict``."""


class LearnedWeighting(LossWeighting):
    """A loss weighting with one parameter ``s`` per task, which it learns by an objective of its own.

    Pass ``parameters()`` to the optimizer. A step of FlatMTL fills their ``.grad``, with 0 for a task that is
    absent. An optimizer with momentum or weight decay may still move the number of that task.

    Args:
        tasks: the number of tasks.

    Raises:
        ValueError: ``tasks`` is not a whole number >= 1.
    """

    def __init__(self, tasks: int) -> None:
        super().__init__()
        if not (isinstance(tasks, int) and tasks >= 1):
            raise ValueError(f"Got tasks={tasks!r}; expected the number of tasks, a whole number >= 1.")
        self.s = nn.Parameter(torch.zeros(tasks))
        self._losses: Tensor | None = None

    def solve(self, losses: Tensor) -> Tensor:
        present = self.tasks_of(losses.shape[-1])
        if present.count != len(self.s):
            raise ValueError(
                f"Got {losses.shape[-1]} losses{present} for {type(self).__name__}(tasks={len(self.s)}); "
                f"expected as many as tasks. Make it with tasks={present.count}, before the optimizer."
            )
        s = present.select(self.s.detach().to(device="cpu", dtype=torch.float64), [-1])
        if bad_tasks := tasks_where(~s.isfinite()):
            row = bad_tasks[0]
            raise ValueError(
                f"Got {type(self).__name__} with s = {s[row]} for task {present.tasks[row]}; expected "
                "finite numbers. Lower the learning rate of its parameters."
            )
        self._losses = present.merge(None, losses, [-1])
        return self.log_weights(s).softmax(-1).expand(losses.shape)

    def learn(self) -> None:
        """Fill ``s.grad`` for the latest losses, with 0 for the tasks that were absent.

        Raises:
            ValueError: no call had losses yet, or the latest losses were a batch.
        """
        if self._losses is None or self._losses.ndim > 1:
            latest = "no losses" if self._losses is None else f"losses of shape {tuple(self._losses.shape)}"
            raise ValueError(
                f"Got {latest} to learn from in {type(self).__name__}; expected one loss per task, shape "
                f"({len(self.s)},). Call it with the losses of one step first."
            )
        s = self.s.detach().to(device="cpu", dtype=torch.float64)
        slope = self.slope(s, self._losses)
        self.s.grad = slope.masked_fill(self._losses.isnan(), 0.0).to(self.s)

    def log_weights(self, s: Tensor) -> Tensor:
        """Return the logarithms of the weights, up to a common constant."""
        raise NotImplementedError

    def slope(self, s: Tensor, losses: Tensor) -> Tensor:
        """Return the derivative (T,) of the method's own objective with respect to ``s``."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"tasks={len(self.s)}"


def check_window(window: int) -> int:
    """Return the number of steps, or raise ValueError unless it is a whole number >= 1."""
    if not (isinstance(window, int) and window >= 1):
        raise ValueError(
            f"Got window={window!r}; expected a number of steps >= 1, such as the steps of an epoch."
        )
    return window
