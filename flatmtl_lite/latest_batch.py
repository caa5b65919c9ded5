"""The batch of the latest step, for an aggregator that learns from its losses after the step."""

from collections.abc import Callable, Sequence

import torch

from .aggregation import Aggregator, NonFiniteGradient
from .decomposition import Decomposition
from .gradients import TaskGradients
from .micro_batch import MicroBatch
from .one_pass import sums_of_losses
from .state import StateGuard


class LatestBatch:
    """A batch whose losses after the step an aggregator waits for.

    Args:
        batches: the micro-batches of the step.
        state: the guard of the step.
        d: the decomposition of the step.
        aggregate: the aggregator.
    """

    def __init__(
        self, batches: Sequence[MicroBatch], state: StateGuard, d: Decomposition, aggregate: Aggregator
    ) -> None:
        self.batches = [MicroBatch(batch.features, batch.losses, weight=batch.weight) for batch in batches]
        self.state, self.tasks, self.like, self.aggregate = state, d.tasks, d.losses, aggregate

    @torch.no_grad()
    def show(self, average: Callable[[TaskGradients], None], raises: bool = True) -> None:
        """Show the aggregator the losses at the present weights, from one forward pass without a graph.

        The pass begins with the buffers and generators of the step's first pass, so that dropout draws the
        same masks. Afterwards they are as before.

        Args:
            average: averages losses over micro-batches, and perhaps over processes.
            raises: whether a loss that is not finite is an error; else the aggregator sees nothing.

        Raises:
            ValueError: a loss is None that was there in the step, or the aggregator cannot learn from a loss.
            NonFiniteGradient: a loss is NaN or infinite; it names the tasks.
        """
        assert self.like is not None
        with self.state.again():
            sums = sums_of_losses(self.batches, self.tasks, self.like)
        average(sums)
        if absent := [task for task, count in zip(self.tasks, sums.counts, strict=True) if not count]:
            raise ValueError(
                f"The losses of tasks {absent} were None after the step and not in it; expected the same. "
                "Decide before the step which tasks the batch has."
            )
        try:
            with self.aggregate.present(self.tasks, len(self.batches[0].losses)):
                self.aggregate.observe(sums.losses)
        except NonFiniteGradient as error:
            if raises:
                raise NonFiniteGradient([self.tasks[row] for row in error.tasks], error.what) from None


def check_observed(latest: LatestBatch | None, aggregate: Aggregator) -> None:
    """Raise ValueError if the aggregator still waits for the losses after the latest step."""
    if latest is not None and latest.aggregate is aggregate:
        raise ValueError(
            "Got another backward pass before the aggregator saw the losses after the latest step; expected "
            "step.observe() after optimizer.step(). Or call step(features, losses), which does both."
        )
