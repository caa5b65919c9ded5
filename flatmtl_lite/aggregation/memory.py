"""The base class of methods that remember numbers of each task from step to step."""

from typing import Any

import torch
from torch import Tensor

from .base import Aggregator

# a method that multiplies its weights never gets one back from 0. The number lies far above the smallest
# float64, so that its share of a sum has a finite logarithm too
LEAST_WEIGHT = 1e-300


class Remembering(Aggregator):
    """An aggregator that remembers numbers of each task in ``memory``.

    Each entry of ``memory`` holds one number per task, (..., T), or one per pair of tasks, (..., T, T). The
    number is NaN if nothing is remembered yet, because the task was absent from every step. An entry without
    dimensions holds for all tasks. The first call fixes the number of tasks.

    A method reads its memory with :meth:`recall` and writes it with :meth:`remember`. Both know only the
    tasks of the step. They replace ``memory`` and its tensors and change none in place, so that a state never
    changes after it was read. The memory is part of ``state_dict``.

    Attributes:
        task_dims: the dimensions of an entry that belong to the tasks.
        remembers: the names that entries may have. "loss weights" has the name "weights" and belongs to the
            part "loss".
        reads, keeps, same: words for the input, the memory and what must not change, in messages.
    """

    needs_tasks = state_stays = True
    task_dims: tuple[int, ...] = (-1,)
    remembers: frozenset[str] = frozenset()
    reads, keeps, same = "losses", "some", "tasks"

    def __init__(self) -> None:
        super().__init__()
        self.memory: dict[str, Tensor] = {}

    def recall(self, name: str, start: Tensor) -> Tensor:
        """Return what is remembered of the tasks of this step, and ``start`` where nothing is.

        Args:
            name: name of the entry.
            start: one number per task of this step, (..., T), or one per pair.

        Raises:
            ValueError: the entry belongs to another number of tasks, or to another batch.
        """
        if name not in self.memory:
            self.tasks_of(start.shape[self.task_dims[0]])
            return start
        entry = self.entry(name, start)
        return torch.where(entry.isnan(), start, entry)

    def entry(self, name: str, like: Tensor) -> Tensor:
        """Return what an entry holds of the tasks of this step: NaN, or its start, where nothing is known.

        Args:
            name: name of an entry that exists.
            like: a tensor of the shape, dtype and device of the result.

        Raises:
            ValueError: as :meth:`recall`.
        """
        present = self.tasks_of(like.shape[self.task_dims[0]])
        entry, shape = self.memory[name].to(like), present.shape_of_all(like, self.task_dims)
        if entry.ndim and entry.shape != shape:
            raise ValueError(
                f"Got {self.reads} of shape {tuple(like.shape)}{present}, but {type(self).__name__} "
                f"remembers {self.keeps} of shape {tuple(entry.shape)}; expected the same {self.same} "
                "and the same batch of problems at every step. Make a new one."
            )
        return present.select(entry.expand(shape), self.task_dims)

    def remember(self, entries: dict[str, Tensor]) -> None:
        """Remember entries for the tasks of this step, and leave the entries of all other tasks."""
        memory = dict(self.memory)
        for name, part in entries.items():
            present = self.tasks_of(part.shape[self.task_dims[0]])
            memory[name] = present.merge(memory.get(name), part, self.task_dims)
        self.memory = memory

    def recall_shares(self, name: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the remembered weights as shares that sum to 1, and the sum of the weights.

        Weights start at 1, so that a task that is new at a later step has the average weight. A method moves
        the shares and remembers them times the sum. So the tasks of a step exchange weight among themselves,
        and the weight of the others against them stays.

        Args:
            name: name of the entry.
            like: one number per task of this step.
        """
        (dim,) = self.task_dims
        weights = self.recall(name, torch.ones_like(like))
        total = weights.sum(dim, keepdim=True)
        equal = torch.full_like(weights, 1 / weights.shape[dim])
        return torch.where(total > 0, weights / total, equal), total

    def exchange(self, shares: Tensor, exponents: Tensor, moves: Tensor) -> Tensor:
        """Return the shares of a step that multiplies them by exp(exponents), where ``moves`` says so.

        The tasks that move exchange weight among themselves. All others keep their share.
        """
        (dim,) = self.task_dims
        sum_of_moving = shares.masked_fill(~moves, 0.0).sum(dim, keepdim=True)
        moved = (shares.log() + exponents).masked_fill(~moves, -torch.inf).softmax(dim) * sum_of_moving
        return torch.where(moves, moved, shares)

    def get_extra_state(self) -> dict[str, Tensor]:
        return self.memory

    def set_extra_state(self, state: Any) -> None:
        if not _has_all(state, self.remembers):
            what = sorted(map(str, state)) if isinstance(state, dict) else repr(state)
            raise ValueError(
                f"Got a state of {what} for {type(self).__name__}, which remembers {sorted(self.remembers)} "
                "of each part, as tensors; expected its own. Make the method that it was saved from."
            )
        self.memory = dict(state)


def _has_all(state: object, names: frozenset[str]) -> bool:
    """Return whether the state is a dict of tensors that holds, for each part in it, those names alone."""
    if not (isinstance(state, dict) and all(isinstance(entry, Tensor) for entry in state.values())):
        return False
    parts = {str(entry).rpartition(" ")[0] for entry in state}
    return set(state) == {f"{part} {name}".lstrip() for part in parts for name in names}
