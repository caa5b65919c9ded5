"""The base class of methods that remember numbers of each task from step to step."""

import torch
from torch import Tensor

from .base import Aggregator


class Remembering(Aggregator):
    """An aggregator that remembers numbers of each task in ``memory``.

    Each entry of ``memory`` holds one number per task, (..., T), or one per pair of tasks, (..., T, T). The
    number is NaN if nothing is remembered yet, because the task was absent from every step. An entry without
    dimensions holds for all tasks. The first call fixes the number of tasks.

    A method reads its memory with :meth:`recall` and writes it with :meth:`remember`. Both know only the
    tasks of the step. They replace ``memory`` and its tensors and change none in place, so that a state never
    changes after it was read.

    Attributes:
        task_dims: the dimensions of an entry that belong to the tasks.
        reads, keeps: words for the input and for the memory in messages.
    """

    needs_tasks = True
    task_dims: tuple[int, ...] = (-1,)
    reads, keeps = "losses", "some"

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
        present = self.tasks_of(start.shape[-1])
        if name not in self.memory:
            return start
        entry, shape = self.memory[name].to(start), present.shape_of_all(start, self.task_dims)
        if entry.ndim and entry.shape != shape:
            raise ValueError(
                f"Got {self.reads} of shape {tuple(start.shape)}{present}, but {type(self).__name__} "
                f"remembers {self.keeps} of shape {tuple(entry.shape)}; expected the same tasks at every "
                "step. Make a new one."
            )
        known = present.select(entry.expand(shape), self.task_dims)
        return torch.where(known.isnan(), start, known)

    def remember(self, entries: dict[str, Tensor]) -> None:
        """Remember entries for the tasks of this step, and leave the entries of all other tasks."""
        memory = dict(self.memory)
        for name, part in entries.items():
            present = self.tasks_of(part.shape[-1])
            memory[name] = present.merge(memory.get(name), part, self.task_dims)
        self.memory = memory
