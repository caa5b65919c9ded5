"""What the engine asks of an experiment: its tasks, its batches and its measures."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor, nn


class Experiment(Protocol):
    """What the trainer asks of data and tasks. Nothing in it changes while a network trains.

    Attributes:
        task_names: one name a task.
        size: number of training items.
    """

    task_names: Sequence[str]
    size: int

    def network(self, single_task: bool) -> nn.Module:
        """A new network, its weights from torch's generator; ``single_task``: one for each task."""

    def batches(self, epoch: int, items: Iterable[Tensor]) -> Iterator[Any]:
        """The batches of the given indices, one after another, on the experiment's device."""

    def closures(self, net: nn.Module, batch: Any, tasks: Sequence[int]) -> tuple[Callable, list[Callable]]:
        """``features`` and, for the given tasks, ``losses``, as ``FlatMTL`` takes them."""

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Metrics by split, a value a task; and ``score``, a number a split: the higher, the better."""

    def snapshot(self, model: nn.Module) -> dict[str, Any]:
        """Angles and sharpness over many radii."""

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """What is measured once, at the end."""
