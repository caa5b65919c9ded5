"""The batch of the latest step, for an aggregator that learns from its losses after the step."""

from collections.abc import Callable, Sequence

import torch

from .aggregation import Aggregator
from .decomposition import Decomposition
from .gradients import TaskGradients
from .micro_batch import MicroBatch
from .one_pass import sums_of_losses
from .state import StateGuard


class LatestBatch:
    """A batch whose losses after the step the aggregator waits for.

    Args:
        batches: the micro-batches of the step.
        state: the guard of the step.
        d: the decomposition of the step.
    """

    def __init__(self, batches: Sequence[MicroBatch], state: StateGuard, d: Decomposition) -> None:
        self.batches = [MicroBatch(batch.features, batch.losses, weight=batch.weight) for batch in batches]
        self.state, self.tasks, self.like = state, d.tasks, d.loss

    @torch.no_grad()
    def show(self, aggregate: Aggregator, average: Callable[[TaskGradients], None]) -> None:
        """Show the aggregator the losses at the present weights, from one forward pass without a graph.

        The pass begins with the buffers and generators of the step's first pass, so that dropout draws the
        same masks. Afterwards they are as before.

        Args:
            aggregate: the aggregator.
            average: averages losses over micro-batches, and perhaps over processes.
        """
        with self.state.again():
            sums = sums_of_losses(self.batches, self.tasks, self.like)
        average(sums)
        with aggregate.present(self.tasks, len(self.batches[0].losses)):
            aggregate.observe(sums.losses)


def check_observed(latest: LatestBatch | None) -> None:
    """Raise ValueError if the aggregator still waits for the losses after the latest step."""
    if latest is not None:
        raise ValueError(
            "Got another backward pass before the aggregator saw the losses after the latest step; expected "
            "step.observe() after optimizer.step(). Or call step(features, losses), which does both."
        )
