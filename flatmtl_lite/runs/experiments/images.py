"""Multi-MNIST as the trainer sees it: batches, closures, and what is measured of a network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.multimnist import MultiTaskData
from ..engine.model import MultiTaskNet
from ..engine.model import single_task as twins_of
from ..measures.calibration import evaluate, log_probabilities, reliability_lists
from ..measures.entropy import entropy_histograms
from ..measures.evaluation import outputs, percent_right
from ..measures.landscape import landscape_of
from ..measures.snapshots import snapshot_of
from ..networks.images import task_closures

MEASURED = 500  # training images of a snapshot, a slice, an eigenvalue
JUDGED = 10_000  # training images that accuracy is taken on


class ImageTasks:
    """Images with a label per task, whole on one device, and a network for them: an ``Experiment``.

    Args:
        data: images and labels.
        network: makes a network from the numbers of classes, ``data.classes``.
        elsewhere: images of other kinds, by name, on which the network's entropy is taken.

    Raises:
        ValueError: the network has not one head per task (when it is made).
    """

    def __init__(
        self,
        data: MultiTaskData,
        network: Callable[[Sequence[int]], MultiTaskNet],
        device: torch.device | str = "cpu",
        elsewhere: dict[str, Tensor] | None = None,
    ):
        tensors = {name: value for name, value in vars(data).items() if isinstance(value, Tensor)}
        self.data = replace(data, **{name: value.to(device) for name, value in tensors.items()})
        self.make, self.elsewhere = network, elsewhere or {}
        self.task_names, self.size = data.task_names, len(data.train_images)

    def network(self, single_task: bool = False) -> nn.Module:
        """A new network; ``single_task``: a twin for each task."""
        classes = self.data.classes
        model = twins_of(self.make, classes) if single_task else self.make(classes)
        heads = len(model.twins if single_task else model.heads)
        if heads != len(classes):
            raise ValueError(
                f"Got a network of {heads} heads for {len(classes)} tasks "
                f"({', '.join(self.task_names)}); expected a head per task. Make one for each of the classes "
                "that `network` is called with, as mlp does."
            )
        return model

    def batches(self, epoch: int, items: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (N, H, W) uint8 and labels (N, T) at the given indices, batch after batch."""
        images, labels = self.data.train_images, self.data.train_labels
        for chosen in items:
            there = chosen.to(images.device, non_blocking=True)
            yield images[there], labels[there]

    def closures(self, net: MultiTaskNet, batch: tuple[Tensor, Tensor], tasks: Sequence[int]):
        """``features`` and ``losses`` of the given tasks on a batch."""
        images, labels = batch
        return task_closures(net, images, labels[:, list(tasks)])

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Accuracy on training labels ("train") and without their noise ("clean"); accuracy, NLL, ECE and
        Brier score on validation and test images; ``score``: the mean accuracy over tasks."""
        data = self.data
        said = outputs(model, data.train_images[:JUDGED])
        found = {}
        for split, labels in (("train", data.train_labels), ("clean", data.train_clean_labels)):
            columns = labels[:JUDGED].unbind(1)
            right = [percent_right(task, y) for task, y in zip(said, columns, strict=True)]
            found[split] = {"accuracy": right}
        found["val"] = evaluate(model, data.val_images, data.val_labels)
        found["test"] = evaluate(model, data.test_images, data.test_labels)
        score = {split: sum(found[split]["accuracy"]) / len(data.classes) for split in ("val", "test")}
        return found | {"score": score}

    def snapshot(self, model: nn.Module) -> dict[str, Any]:
        """See :func:`~flatmtl_lite.runs.measures.snapshots.snapshot_of`."""
        return snapshot_of(model, self._fixed)

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """Top Hessian eigenvalue and slices of the training loss; reliability and entropy on test images."""
        test = log_probabilities(model, self.data.test_images)
        said = {"in domain": test} | {
            name: log_probabilities(model, images) for name, images in self.elsewhere.items()
        }
        return {
            **landscape_of(model, self._fixed),
            "reliability": [
                reliability_lists(task, y)
                for task, y in zip(test, self.data.test_labels.unbind(1), strict=True)
            ],
            "entropy": entropy_histograms(said),
        }

    @property
    def _measured(self) -> tuple[Tensor, Tensor]:
        return self.data.train_images[:MEASURED], self.data.train_labels[:MEASURED]

    def _fixed(self, net: MultiTaskNet, tasks: Sequence[int]):
        return self.closures(net, self._measured, tasks)
