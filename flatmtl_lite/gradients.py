"""Compute the task gradients of a shared trunk and of the heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from .micro_batch import MicroBatch as MicroBatch
from .micro_batch import grad_of
from .trunk_and_heads import TrunkAndHeads
from .trunk_and_heads import flatten as flatten
from .trunk_and_heads import unflatten as unflatten


@dataclass
class TaskGradients:
    """Gradients of T task losses, flattened.

    Attributes:
        shared: (T, P), one row per task; a task that does not reach a parameter has zeros there.
        heads: T vectors, the gradient of task i's loss with respect to head i.
        losses: (T,), detached.
        counts: per task the summed weights of the micro-batches that have a loss of it. Until
            :meth:`average` is called, gradients and losses are weighted sums over them.
        batches: the summed weights of all micro-batches.
    """

    shared: Tensor
    heads: list[Tensor]
    losses: Tensor
    counts: list[float]
    batches: float

    def average(self) -> None:
        """Divide the sums by the counts, in place."""
        for k, count in enumerate(self.counts):
            if count not in (0, 1):
                self.shared[k : k + 1] /= count
                self.heads[k] /= count
                self.losses[k] /= count


def task_gradients(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    tasks: Sequence[int],
    rows: Sequence[int] | None = None,
    minus: Sequence[int] | None = None,
) -> TaskGradients:
    """Compute the gradients of the given tasks' losses, with one backward pass per task.

    Args:
        batches: the micro-batches.
        groups: shared and head parameters; resolved at the first run.
        tasks: indices of the tasks to run.
        rows: per task the number of the row of ``groups.rows`` to write to; None: 0, 1, 2, ...
        minus: per task the number of a row of ``groups.rows`` to subtract from what is written; None: no row.

    Returns:
        Rows and vectors in the order of ``tasks``, summed over the micro-batches; ``shared`` is the part of
        ``groups.rows`` from the first of ``rows`` to the last.

    Raises:
        ValueError: no micro-batch, a loss that is not a scalar with a graph, or a parameter without a place.
    """

    rows = range(len(tasks)) if rows is None else rows

    def backward(losses: list[Tensor | None], heads: list[Views], write: Write) -> None:
        present = [(k, loss) for k, loss in enumerate(losses) if loss is not None]
        for k, loss in present:
            grads = grad_of(loss, groups.shared + groups.heads[tasks[k]], retain_graph=k != present[-1][0])
            subtracted = None if minus is None else groups.views(minus[k])
            write(k, groups.views(rows[k]), grads[: len(groups.shared)], subtracted)
            write(k, heads[k], grads[len(groups.shared) :])
            del grads  # before the next pass makes its own

    return summed(batches, groups, tasks, rows, backward)


Views = list[Tensor]  # of one vector, in the shapes of parameters


class Write(Protocol):
    """Writes or adds weighted gradients of task k, less ``minus``, to the views of a vector. None is 0."""

    def __call__(
        self, k: int, views: Views, grads: Sequence[Tensor | None], minus: Views | None = None
    ) -> None: ...


def summed(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    tasks: Sequence[int],
    rows: Sequence[int],
    backward: Callable[[list[Tensor | None], list[Views], Write], None],
) -> TaskGradients:
    """Run the micro-batches, and write the sums of their gradients to the rows and to new head vectors."""
    groups.reserve(max(rows, default=-1) + 1)
    counts = [0.0] * len(tasks)
    for number, batch in enumerate(batches):
        losses = batch.run(tasks)
        if batch.weight != 1:
            losses = [None if loss is None else batch.weight * loss for loss in losses]
        groups.resolve(losses, tasks)
        zero = groups.shared[0].new_zeros(())
        values = torch.stack([zero if loss is None else loss.detach() for loss in losses])
        if number == 0:
            heads = [groups.heads[i] for i in tasks]
            vectors = [(head or groups.shared)[0].new_empty(sum(map(Tensor.numel, head))) for head in heads]
            views = [unflatten(vector, head) for vector, head in zip(vectors, heads, strict=True)]
            shared = groups.rows[rows[0] : rows[-1] + 1]
            totals = TaskGradients(shared, vectors, values, counts, 0)
        else:
            totals.losses += values
        totals.batches += batch.weight
        backward(losses, views, partial(_write, counts, batch.weight))
        for k, loss in enumerate(losses):
            counts[k] += 0 if loss is None else batch.weight
        del losses, loss  # and with them their graphs, before the next run
    if not batches:
        raise ValueError("Got no micro-batch; expected at least one.")
    for k in [k for k, count in enumerate(counts) if count == 0]:
        for row in rows[k : k + 1]:
            groups.rows[row].zero_()
        totals.heads[k].zero_()
    return totals


def _write(
    counts: list[float],
    weight: float,
    k: int,
    views: Views,
    grads: Sequence[Tensor | None],
    minus: Views | None = None,
) -> None:
    """Do as :class:`Write` says: write if no micro-batch had a loss of task k yet, else add."""
    if not views:
        return
    present = [_dense(view, grad) for view, grad in zip(views, grads, strict=True)]
    if counts[k] > 0:
        torch._foreach_add_(views, present)
        if minus is not None:
            torch._foreach_sub_(views, minus, alpha=weight)
    elif minus is None:
        torch._foreach_copy_(views, present)
    else:
        for view, grad, other in zip(views, present, minus, strict=True):
            torch.sub(grad, other, alpha=weight, out=view)


def _dense(like: Tensor, grad: Tensor | None) -> Tensor:
    """Return a gradient that is not sparse; None counts as 0."""
    if grad is None:
        return like.new_zeros(())
    return grad if grad.layout == torch.strided else grad.to_dense()
