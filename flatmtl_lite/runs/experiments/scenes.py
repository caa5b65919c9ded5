"""Scenes as the trainer sees them: batches, closures, and what is measured of a network."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from ..data.scenes import Augmented, Scene, scene_batches
from ..engine.model import MultiTaskNet
from ..engine.model import single_task as twins_of
from ..engine.rounding import rounded
from ..measures.evaluation import evaluation_mode
from ..measures.landscape import landscape_of
from ..measures.scenes import HIGHER_IS_BETTER, NYUV2_STL, SceneMetrics, delta_m
from ..measures.snapshots import snapshot_of
from ..networks.losses import LOSSES
from ..networks.scenes import TASKS, SceneNet, scene_closures

JUDGED = 8  # scenes at a time in an evaluation
PUBLISHED_BATCH = 2  # the published figures are means over batches of that size

Score = Callable[[Mapping[str, Any]], float]


def nyuv2_score(found: Mapping[str, Any]) -> float:
    """-Δm in per cent against the published single-task networks on NYUv2: the higher, the better."""
    return -delta_m({name: found[name] for name in HIGHER_IS_BETTER}, NYUV2_STL, HIGHER_IS_BETTER)


def log_loss_score(found: Mapping[str, Any]) -> float:
    """-100 times the mean logarithm of the task losses: the higher, the better.

    For data without published figures. It needs no other run, and no task counts for more because its loss
    has larger units. The score rises by one where the losses fall by one per cent on average, so a small
    difference of two scores reads like a Δm in per cent, of losses.

    Example:
        >>> log_loss_score({"loss": [1.0, 1.0]}), round(log_loss_score({"loss": [0.99, 0.99]}), 2)
        (0.0, 1.01)
    """
    return 100 * sum(-math.log(loss) for loss in found["loss"]) / len(found["loss"])


class SceneTasks:
    """Class, depth and surface normals of scenes, and a network for them: an ``Experiment``.

    Args:
        train, val, test: :class:`~flatmtl_lite.runs.Scenes`, or parts of them.
        network: makes a network from names of tasks.
        score: makes one number of what :meth:`evaluate` finds on a split.
        seed: of the augmentation.
        augment: whether training scenes are zoomed, cropped and mirrored, in every epoch anew.
        per_batch: whether depth and normal errors are means over batches of two, as in published tables.
        measured: number of training scenes that are measured, not augmented: from the first on.
        device: where the network is.
    """

    task_names = tuple(TASKS)

    def __init__(
        self,
        train: Dataset,
        val: Dataset,
        test: Dataset,
        network: Callable[[Sequence[str]], SceneNet],
        score: Score,
        seed: int = 0,
        augment: bool = True,
        per_batch: bool = False,
        measured: int = 8,
        device: torch.device | str = "cpu",
    ):
        self.train, self.splits = train, {"val": val, "test": test}
        self.make, self.score, self.seed, self.augment = network, score, seed, augment
        self.per_batch, self.measured, self.device = per_batch, measured, device
        self.size = len(train)

    def network(self, single_task: bool = False) -> nn.Module:
        """A new network; ``single_task``: a twin for each task."""
        return twins_of(self.make, self.task_names) if single_task else self.make(self.task_names)

    def batches(self, epoch: int, items: Iterable[Tensor]) -> Iterator[Scene]:
        """The scenes at the given indices, batch after batch, as they look in this epoch."""
        scenes = Augmented(self.train, self.seed, epoch) if self.augment else self.train
        return scene_batches(scenes, items, self.device)

    def closures(self, net: MultiTaskNet, batch: Scene, tasks: Sequence[int]):
        """``features`` and ``losses`` on a batch, of the network's own tasks."""
        return scene_closures(net, batch)

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """The nine metrics and the task losses on validation and test scenes, and the ``score`` of each.

        Raises:
            ValueError: one of them is no number.
        """
        found = {split: self._judged(model, scenes) for split, scenes in self.splits.items()}
        for split, values in found.items():
            if broken := [name for name, value in values.items() if value is None]:
                raise ValueError(
                    f"Got no number as {', '.join(broken)} on the {split} scenes; expected one. Either no "
                    "pixel is known there: take more scenes. Or the network says NaN: take a smaller lr."
                )
        return found | {"score": {split: round(self.score(found[split]), 4) for split in found}}

    def snapshot(self, model: nn.Module) -> dict[str, Any]:
        """See :func:`~flatmtl_lite.runs.measures.snapshots.snapshot_of`."""
        return snapshot_of(model, self._fixed)

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """See :func:`~flatmtl_lite.runs.measures.landscape.landscape_of`."""
        return landscape_of(model, self._fixed)

    @torch.no_grad()
    def _judged(self, model: nn.Module, scenes: Dataset) -> dict[str, Any]:
        size = PUBLISHED_BATCH if self.per_batch else JUDGED
        metrics, losses = SceneMetrics(self.per_batch), 0
        with evaluation_mode(model):
            for batch in scene_batches(scenes, torch.arange(len(scenes)).split(size), self.device):
                said = dict(zip(self.task_names, model(batch["image"]), strict=True))
                metrics.update(said, batch)
                now = torch.stack([LOSSES[task](said[task], batch[task]) for task in self.task_names])
                losses = losses + now * (len(batch["image"]) / len(scenes))
        return {**rounded(metrics.compute(), 6), "loss": rounded(losses, 6)}

    @cached_property
    def _measured(self) -> Scene:
        chosen = torch.arange(min(self.measured, self.size))
        return next(scene_batches(self.train, [chosen], self.device))

    def _fixed(self, net: MultiTaskNet, tasks: Sequence[int]):
        return self.closures(net, self._measured, tasks)


def held_out(scenes: Dataset | Sized, train: int, val: int) -> tuple[Subset, Subset]:
    """The first ``train`` scenes, and the ``val`` scenes after them, to pick by: test scenes never do.

    Raises:
        ValueError: there are not so many scenes, or a number is below 1.
    """
    if min(train, val) < 1 or train + val > len(scenes):
        raise ValueError(
            f"Got {train} training and {val} validation scenes; expected at least one of each, and in all no "
            f"more than the {len(scenes)} that there are in train. Take fewer."
        )
    return Subset(scenes, range(train)), Subset(scenes, range(train, train + val))
