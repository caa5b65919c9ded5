"""Passes that serve all tasks at once: one backward pass of weighted losses, or forward passes alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .gradients import TaskGradients, Views, Write, summed
from .micro_batch import MicroBatch, NeedsRows, grad_of
from .perturbation import SAMO
from .perturbation.weights import move
from .trunk_and_heads import TrunkAndHeads, unflatten

# a head's gradient is divided by its weight again, so with a smaller share of the largest weight it might
# underflow in half precision on the way
SMALLEST = 1e-3


def weighted_gradients(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    weigh: Callable[[Tensor], Tensor],
    row: int = 0,
    minus: int | None = None,
) -> TaskGradients:
    """Compute the gradient of the weighted sum of all losses, with one backward pass.

    Each head still follows its own loss: its gradient is divided by its task's weight again. The result
    means nothing if a task is absent, see ``counts``.

    Args:
        batches: the micro-batches.
        groups: shared and head parameters; resolved at the first run.
        weigh: losses (T,) -> weights (T,), called for every micro-batch.
        row: number of the row of ``groups.rows`` to write to.
        minus: number of the row to subtract from what is written; None: no row.

    Returns:
        ``shared`` has one row (1, P); the rest has T entries.

    Raises:
        NeedsRows: a weight is less than a thousandth of the largest one.
    """

    def backward(losses: list[Tensor | None], heads: list[Views], write: Write) -> None:
        present = [loss for loss in losses if loss is not None]
        if len(present) < len(losses):
            return
        values = torch.stack(present)
        on_cpu = weigh(values.detach())
        if on_cpu.min() < SMALLEST * on_cpu.max():
            raise NeedsRows
        weights = on_cpu.to(values)
        grads = iter(grad_of((weights * values).sum(), groups.parameters))
        subtracted = None if minus is None else groups.views(minus)
        write(0, groups.views(row), [next(grads) for _ in groups.shared], subtracted)
        for k, (head, weight) in enumerate(zip(heads, weights, strict=True)):
            weighted = [next(grads) for _ in head]
            write(k, head, [None if grad is None else grad / weight for grad in weighted])

    tasks = range(len(batches[0].losses))
    return summed(batches, groups, tasks, [row], backward)


@torch.no_grad()
def two_forward_passes(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    average: Callable[[TaskGradients], None],
    samo: SAMO,
    tasks: Sequence[int],
    z: Tensor,
    places: Sequence[int],
) -> Tensor:
    """Return l_i(θ+μz) - l_i(θ-μz) of the tasks at some places, from two forward passes without a graph.

    Args:
        batches: the micro-batches.
        groups: shared and head parameters; the last of ``groups.rows`` holds θ. The trunk stays where the
            second pass was.
        average: averages losses over micro-batches, and perhaps over processes.
        samo: has μ, and the mode of the modules.
        tasks: the tasks of the step.
        z: (P,).
        places: places in ``tasks``.
    """
    ends = []
    with batches[0].state.evaluating(samo.evaluate):
        for distance in (samo.mu, -samo.mu):
            move(groups.shared, groups.views(-1), unflatten(z, groups.shared), distance)
            end = sums_of_losses(batches, [tasks[k] for k in places], z)
            average(end)
            ends.append(end.losses)
    return ends[0] - ends[1]


def sums_of_losses(batches: Sequence[MicroBatch], tasks: Sequence[int], like: Tensor) -> TaskGradients:
    """Return the sums of the tasks' losses over the micro-batches, with empty gradients."""
    # a difference of two losses would be rounding in half precision
    totals = like.new_zeros(len(tasks), dtype=torch.promote_types(like.dtype, torch.float32))
    counts = [0.0] * len(tasks)
    for batch in batches:
        for k, loss in enumerate(batch.run(tasks)):
            if loss is not None:
                totals[k] += batch.weight * loss.squeeze()
                counts[k] += batch.weight
    empty = like.new_empty(len(tasks), 0)
    return TaskGradients(empty, list(empty), totals, counts, sum(batch.weight for batch in batches))
