"""Scenes as the trainer needs them: batches, closures, the measures of a network, and the shared settings."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from ..data.scenes import Augmented, Scene, scene_batches
from ..engine.experiment import NonFiniteOutput
from ..engine.model import MultiTaskNet
from ..engine.model import single_task as twins_of
from ..engine.rounding import rounded
from ..measures.evaluation import evaluation_mode
from ..measures.landscape import landscape_of, rehearse_landscape
from ..measures.scenes import HIGHER_IS_BETTER, NYUV2_STL, SceneMetrics, delta_m
from ..measures.snapshots import snapshot_of
from ..networks.losses import LOSSES
from ..networks.scenes import TASKS, SceneNet, encoder_decoder, mtan, scene_closures
from .multimnist import MEASURE_EVERY

EVALUATION_BATCH = 8  # scenes
SMALLEST_LOSS = 1e-12  # a loss of 0, which has no logarithm, counts as this
PUBLISHED_BATCH = 2  # scenes; the published figures are means over batches of that size
SCENE_NETWORKS: dict[str, Callable[..., SceneNet]] = {"encoder_decoder": encoder_decoder, "mtan": mtan}
# as in the published scene code; every method of a comparison has the same
SCENE_DEFAULTS: dict[str, Any] = dict(
    **dict(norm="separate", optimizer="adam", schedule="halve"),
    **dict(log_every=10, evaluate_every=5, measure_every=MEASURE_EVERY),
)
# as the authors ran NYUv2, except for the validation scenes; of their radii on NYUv2 only PCGrad's is known
AS_PUBLISHED: dict[str, Any] = dict(
    **dict(network="mtan", epochs=200, batch_size=2, lr=1e-4, rho=0.05),
    **dict(evaluate_every=1, log_every=50, snapshot_every=50),
)

Score = Callable[[Mapping[str, Any]], float]


def nyuv2_score(metrics: Mapping[str, Any]) -> float:
    """Return -Δm in per cent against the published single-task networks on NYUv2; higher is better."""
    return -delta_m({name: metrics[name] for name in HIGHER_IS_BETTER}, NYUV2_STL, HIGHER_IS_BETTER)


def log_loss_score(metrics: Mapping[str, Any]) -> float:
    """Return -100 times the mean logarithm of the task losses; higher is better.

    This score is for data without published figures. It needs no other run, and the unit of a loss gives its
    task no extra weight. The score rises by one if the losses fall by one per cent on average, so a small
    difference of two scores reads like a Δm in per cent, of losses.

    Example:
        >>> log_loss_score({"loss": [1.0, 1.0]}), round(log_loss_score({"loss": [0.99, 0.99]}), 2)
        (0.0, 1.01)
    """
    losses = [max(loss, SMALLEST_LOSS) for loss in metrics["loss"]]
    return 100 * sum(-math.log(loss) for loss in losses) / len(losses)


class SceneTasks:
    """Class, depth and surface normals of scenes, and a network for them: an ``Experiment``.

    Args:
        train, val, test: :class:`~flatmtl_lite.runs.Scenes`, or parts of them. ``val`` may be empty.
        network: makes a network from names of tasks.
        score: makes one number from the metrics of a data split.
        seed: seed of the augmentation.
        augment: whether training scenes are zoomed, cropped and mirrored, in every epoch in another way.
        per_batch: whether depth and normal errors are means over batches of two, as in published tables.
        measured: number of training scenes, from the first on, that a snapshot and the final measures take;
            they are not augmented.
        device: device of the network.

    Attributes:
        workers: number of processes that load scenes; 0: a thread.
        channels_last: whether images lie in memory with the channels last.
    """

    task_names: Sequence[str] = tuple(TASKS)
    workers = 0
    channels_last = True

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
        if not len(cast(Sized, val)):
            del self.splits["val"]
        self.make_network, self.score, self.seed, self.augment = network, score, seed, augment
        self.per_batch, self.measured, self.device = per_batch, measured, device
        self.size = len(cast(Sized, train))

    def network(self, single_task: bool = False) -> nn.Module:
        """Return a new network; ``single_task``: one twin for each task."""
        if single_task:
            return twins_of(cast(Any, self.make_network), cast(Any, self.task_names))
        return self.make_network(self.task_names)

    def batches(self, epoch: int, items: Iterable[Tensor]) -> Iterator[Scene]:
        """Yield the scenes at the given indices, batch after batch, augmented for this epoch."""
        scenes = Augmented(cast(Any, self.train), self.seed, epoch) if self.augment else self.train
        return self._load(scenes, items)

    def closures(
        self, net: MultiTaskNet, batch: Scene, tasks: Sequence[int]
    ) -> tuple[Callable, list[Callable]]:
        """Return ``features`` and ``losses`` on a batch, for the network's own tasks."""
        return scene_closures(cast(SceneNet, net), batch)

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Return the nine metrics, the task losses and the ``score`` on validation and test scenes.

        Without validation scenes there is no "val".

        Raises:
            ValueError: no pixel is known for a metric.
            NonFiniteOutput: the network returned NaN or infinity, or a loss is infinite.
        """
        metrics = {split: self._metrics(model, scenes) for split, scenes in self.splits.items()}
        for split, values in metrics.items():
            if unknown := [name for name, value in values.items() if value is None]:
                raise ValueError(
                    f"Got no known pixel for {', '.join(unknown)} in the {split} scenes; expected one. Take "
                    "more scenes."
                )
            if None in values["loss"]:
                raise NonFiniteOutput(f"Got an infinite loss on the {split} scenes; expected finite losses.")
        return metrics | {"score": {split: round(self.score(metrics[split]), 4) for split in metrics}}

    def rehearse(self, model: nn.Module, seconds: Callable[[Callable[[], Any]], float]) -> float:
        """Take a part of :meth:`measure`, for the memory; estimate the seconds of the whole."""
        return rehearse_landscape(model, self._snapshot_closures, seconds)

    def snapshot(self, model: nn.Module) -> dict[str, Any]:
        """Return angles and sharpness, see :func:`~flatmtl_lite.runs.measures.snapshots.snapshot_of`."""
        return snapshot_of(model, self._snapshot_closures)

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """Return the final measures, see :func:`~flatmtl_lite.runs.measures.landscape.landscape_of`."""
        return landscape_of(model, self._snapshot_closures)

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def _load(self, scenes: Dataset, items: Iterable[Tensor]) -> Iterator[Scene]:
        return scene_batches(scenes, items, self.device, workers=self.workers, layout=self._layout)

    @torch.no_grad()
    def _metrics(self, model: nn.Module, scenes: Dataset) -> dict[str, Any]:
        size = PUBLISHED_BATCH if self.per_batch else EVALUATION_BATCH
        count = len(cast(Sized, scenes))
        metrics, losses = SceneMetrics(self.per_batch), torch.zeros(())
        with evaluation_mode(model):
            for batch in self._load(scenes, torch.arange(count).split(size)):
                predictions = dict(zip(self.task_names, model(batch["image"]), strict=True))
                metrics.update(predictions, batch)
                batch_losses = torch.stack(
                    [LOSSES[task](predictions[task], batch[task]) for task in self.task_names]
                )
                losses = losses + batch_losses * (len(batch["image"]) / count)
        return {**rounded(metrics.compute(), 6), "loss": rounded(losses, 6)}

    @cached_property
    def _snapshot_scenes(self) -> Scene:
        indices = torch.arange(min(self.measured, self.size))
        return next(scene_batches(self.train, [indices], self.device, layout=self._layout))

    def _snapshot_closures(self, net: MultiTaskNet, tasks: Sequence[int]) -> tuple[Callable, list[Callable]]:
        return self.closures(net, self._snapshot_scenes, tasks)


def held_out(scenes: Dataset | Sized, train: int, val: int) -> tuple[Subset, Subset]:
    """Return the first ``train`` scenes, and the ``val`` scenes after them for selection: never test scenes.

    Raises:
        ValueError: there are too few scenes, ``train`` is below 1, or ``val`` is below 0.
    """
    count = len(cast(Sized, scenes))
    if train < 1 or val < 0 or train + val > count:
        raise ValueError(
            f"Got {train} training and {val} validation scenes; expected at least one for training, and "
            f"together no more than the {count} scenes in train. Take fewer."
        )
    dataset = cast(Dataset, scenes)
    return Subset(dataset, range(train)), Subset(dataset, range(train, train + val))
