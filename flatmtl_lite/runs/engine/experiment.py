"""The interface that the engine asks of an experiment: its tasks, its batches and its measures."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor, nn


class NonFiniteOutput(ValueError):
    """A network returned NaN or infinity: its measures have no meaning, and its training has diverged."""


class Experiment(Protocol):
    """Data and tasks as the trainer needs them. Nothing in it changes while a network trains.

    Attributes:
        task_names: one name per task.
        size: number of training items.
        workers: number of processes that load batches, if they are loaded at all; 0: none. The trainer sets
            it. No bit of a batch may depend on it.
        channels_last: whether images lie in memory with the channels last. The trainer sets it.
    """

    task_names: Sequence[str]
    size: int
    workers: int
    channels_last: bool

    def network(self, single_task: bool) -> nn.Module:
        """Return a new network with weights from torch's generator; ``single_task``: one for each task."""
        ...

    def batches(self, epoch: int, items: Iterable[Tensor]) -> Iterator[Any]:
        """Yield the batches of the given indices, one after another, on the experiment's device."""
        ...

    def closures(self, net: Any, batch: Any, tasks: Sequence[int]) -> tuple[Callable, list[Callable]]:
        """Return ``features`` and, for the given tasks, ``losses``, as ``FlatMTL`` takes them."""
        ...

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Return the metrics by data split, and a ``score`` for each data split.

        A higher score is better.

        Raises:
            NonFiniteOutput: the network returned NaN or infinity.
        """
        ...

    def snapshot(self, model: nn.Module) -> dict[str, Any]:
        """Return angles and sharpness over many radii."""
        ...

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """Return the measures that are taken once, at the end."""
        ...
