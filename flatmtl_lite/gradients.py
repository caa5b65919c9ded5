"""Compute the task gradients of a shared trunk and of the heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from .trunk_and_heads import TrunkAndHeads
from .trunk_and_heads import flatten as flatten
from .trunk_and_heads import unflatten as unflatten

Features = Callable[[], Any]
Losses = Sequence[Callable[[Any], Tensor]]


@dataclass
class TaskGradients:
    """Gradients of T task losses, flattened.

    Attributes:
        shared: (T, P), one row per task; a task that does not reach a parameter has zeros there.
        heads: T vectors, the gradient of task i's loss with respect to head i.
        losses: (T,), detached.
    """

    shared: Tensor
    heads: list[Tensor]
    losses: Tensor


class MicroBatch:
    """One micro-batch: runs the trunk once and then the heads of the requested tasks.

    The first run notes the state of the random generators before ``features`` and before each loss.
    Later runs start from the same states, so dropout draws the same masks.

    Args:
        features: () -> z, runs the trunk.
        losses: per task z -> scalar, runs that task's head.

    Raises:
        ValueError: ``features`` or a loss is not callable.
    """

    def __init__(self, features: Features, losses: Losses) -> None:
        if not callable(features):
            raise ValueError(f"Got {type(features).__name__} as features; expected a callable () -> z.")
        self.features, self.losses = features, list(losses)
        for i, loss in enumerate(self.losses):
            if not callable(loss):
                raise ValueError(
                    f"Got {type(loss).__name__} as the loss of task {i}; expected a callable z -> scalar, "
                    "for example lambda z: criterion(head(z), target)."
                )
        self._first_states: dict[str | int, list[Tensor]] = {}

    def run(self, tasks: Sequence[int]) -> list[Tensor]:
        """Return the losses of the given tasks, each a scalar with its graph.

        Raises:
            ValueError: a loss is not one floating scalar, or depends on no parameter.
        """
        self._same_random_numbers("trunk")
        z = self.features()
        losses = []
        for i in tasks:
            self._same_random_numbers(i)
            loss = self.losses[i](z)
            if not (isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point()):
                kind = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(
                    f"The loss of task {i} is {kind}; expected one floating scalar tensor. Reduce it, "
                    "for example with .mean(), and return nothing else with it."
                )
            if not loss.requires_grad:
                raise ValueError(
                    f"The loss of task {i} does not depend on any parameter; expected a graph from the "
                    "parameters to the loss. Check for torch.no_grad() or .detach()."
                )
            losses.append(loss.reshape(()))
        return losses

    def _same_random_numbers(self, key: str | int) -> None:
        if key in self._first_states:
            set_generators(self._first_states[key])
        else:
            self._first_states[key] = generator_states()


def task_gradients(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    tasks: Sequence[int],
    first: int = 0,
    minus: int | None = None,
) -> TaskGradients:
    """Compute the gradients of the given tasks' losses, with one backward pass per task.

    Args:
        batches: the micro-batches; their gradients are averaged, and each counts equally.
        groups: shared and head parameters; resolved at the first run.
        tasks: indices of the tasks to run.
        first: number of the first row of ``groups.rows`` to write to.
        minus: number of the first row of ``groups.rows`` to subtract from what is written; None: no row.

    Returns:
        Rows and vectors in the order of ``tasks``; ``shared`` is a part of ``groups.rows``.

    Raises:
        ValueError: no micro-batch, a loss that is not a scalar with a graph, or a parameter without a place.
    """

    def backward(losses: list[Tensor], heads: list[Views], write: Write) -> None:
        for k, (i, loss) in enumerate(zip(tasks, losses, strict=True)):
            grads = _grad(loss, groups.shared + groups.heads[i], retain_graph=k + 1 < len(losses))
            subtracted = None if minus is None else groups.views(minus + k)
            write(groups.views(first + k), grads[: len(groups.shared)], subtracted)
            write(heads[k], grads[len(groups.shared) :])
            del grads  # before the next pass makes its own

    return _averaged(batches, groups, tasks, slice(first, first + len(tasks)), backward)


def weighted_gradients(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    weigh: Callable[[Tensor], Tensor],
    first: int = 0,
    minus: int | None = None,
) -> TaskGradients:
    """Compute the gradient of the weighted sum of all losses, with one backward pass.

    Each head still follows its own loss: its gradient is divided by its task's weight again. So a weight
    counts as eps² at least.

    Args:
        batches: the micro-batches; their gradients are averaged, and each counts equally.
        groups: shared and head parameters; resolved at the first run.
        weigh: losses (T,) -> weights (T,), called for every micro-batch.
        first, minus: as for :func:`task_gradients`.

    Returns:
        ``shared`` has one row (1, P); ``heads`` and ``losses`` have T entries.
    """

    def backward(losses: list[Tensor], heads: list[Views], write: Write) -> None:
        values = torch.stack(losses)
        weights = weigh(values.detach()).to(values).clamp_min(torch.finfo(values.dtype).eps ** 2)
        grads = iter(_grad((weights * values).sum(), groups.parameters))
        subtracted = None if minus is None else groups.views(minus)
        write(groups.views(first), [next(grads) for _ in groups.shared], subtracted)
        for head, weight in zip(heads, weights, strict=True):
            weighted = [next(grads) for _ in head]
            write(head, [None if grad is None else grad / weight for grad in weighted])

    tasks = range(len(batches[0].losses))
    return _averaged(batches, groups, tasks, slice(first, first + 1), backward)


def generator_states() -> list[Tensor]:
    """Return the states of torch's default generators: the CPU's, then one per CUDA device in use."""
    cuda_in_use: Callable[[], bool] = torch.cuda.is_initialized
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if cuda_in_use() else [])]


def set_generators(states: list[Tensor]) -> None:
    """Put the states that :func:`generator_states` returned back into the generators."""
    torch.set_rng_state(states[0])
    if states[1:]:
        torch.cuda.set_rng_state_all(states[1:])


Views = list[Tensor]  # of one vector, in the shapes of parameters


class Write(Protocol):
    """Writes gradients, less ``minus``, to the views of a vector. None counts as 0."""

    def __call__(self, views: Views, grads: Sequence[Tensor | None], minus: Views | None = None) -> None: ...


def _averaged(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    tasks: Sequence[int],
    rows: slice,
    backward: Callable[[list[Tensor], list[Views], Write], None],
) -> TaskGradients:
    """Run the micro-batches, and write or add the gradients of each to the rows and to new head vectors."""
    groups.reserve(rows.stop)
    for number, batch in enumerate(batches):
        losses = batch.run(tasks)
        groups.resolve(losses, tasks)
        values = torch.stack([loss.detach() for loss in losses])
        if number == 0:
            heads = [groups.heads[i] for i in tasks]
            vectors = [(head or groups.shared)[0].new_empty(sum(map(Tensor.numel, head))) for head in heads]
            totals = TaskGradients(groups.rows[rows], vectors, values)
            views = [unflatten(vector, head) for vector, head in zip(vectors, heads, strict=True)]
        else:
            totals.losses += values
        backward(losses, views, partial(_write, number == 0, len(batches)))
    if not batches:
        raise ValueError("Got no micro-batch; expected at least one.")
    if len(batches) > 1:
        for total in (totals.shared, *totals.heads, totals.losses):
            total /= len(batches)
    return totals


def _grad(loss: Tensor, parameters: list[Tensor], retain_graph: bool = False) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(loss, parameters, retain_graph=retain_graph, allow_unused=True)


def _write(
    first: bool, batches: int, views: Views, grads: Sequence[Tensor | None], minus: Views | None = None
) -> None:
    """Write or add the gradients of one of the micro-batches; their sum is divided later."""
    if not views:
        return
    present = [view.new_zeros(()) if grad is None else grad for view, grad in zip(views, grads, strict=True)]
    if not first:
        torch._foreach_add_(views, present)
    elif minus is None:
        torch._foreach_copy_(views, present)
    else:
        for view, grad, other in zip(views, present, minus, strict=True):
            torch.sub(grad, other, alpha=batches, out=view)
