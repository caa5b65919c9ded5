"""Multi-MNIST as the trainer needs it: batches, closures, and the measures of a network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..data.multimnist import MultiTaskData
from ..engine.model import MultiTaskNet, SingleTaskNets
from ..engine.model import single_task as twins_of
from ..measures.calibration import evaluate, log_probabilities, reliability_lists
from ..measures.entropy import entropy_histograms
from ..measures.evaluation import outputs, percent_right
from ..measures.landscape import landscape_of, rehearse_landscape
from ..measures.snapshots import snapshot_of
from ..networks.images import task_closures

SNAPSHOT_IMAGES = 500  # training images of a snapshot, a slice, an eigenvalue
ACCURACY_IMAGES = 10_000  # training images on which accuracy is measured


class ImageTasks:
    """Images with one label per task, whole on one device, and a network for them: an ``Experiment``.

    A batch is taken from there by its indices: nothing has to be loaded. With one channel, an image lies in
    memory alike in every layout.

    Args:
        data: images and labels.
        network: makes a network from the numbers of classes, ``data.classes``.
        device: device of the images.
        other_images: images of other kinds, by name, on which the entropy of the network is measured.

    Raises:
        ValueError: images or labels of a split are not as in ``MultiTaskData``; or the network does not have
            one head per task, which :meth:`network` raises.
    """

    workers = 0
    channels_last = True

    def __init__(
        self,
        data: MultiTaskData,
        network: Callable[[Sequence[int]], MultiTaskNet],
        device: torch.device | str = "cpu",
        other_images: dict[str, Tensor] | None = None,
    ):
        for split in ("train", "val", "test"):
            check_split(data, split)
        tensors: dict[str, Any] = {
            name: value.to(device) for name, value in vars(data).items() if isinstance(value, Tensor)
        }
        self.data = replace(data, **tensors)
        self.make_network, self.other_images = network, other_images or {}
        self.task_names: Sequence[str] = data.task_names
        self.size = len(data.train_images)

    def network(self, single_task: bool = False) -> nn.Module:
        """Return a new network; ``single_task``: one twin for each task."""
        classes = self.data.classes
        model: MultiTaskNet | SingleTaskNets = (
            twins_of(self.make_network, classes) if single_task else self.make_network(classes)
        )
        heads = len(model.twins if isinstance(model, SingleTaskNets) else model.heads)
        if heads != len(classes):
            raise ValueError(
                f"Got a network of {heads} heads for {len(classes)} tasks "
                f"({', '.join(self.task_names)}); expected one head per task. Make one for each of the "
                "classes that `network` is called with, as mlp does."
            )
        return model

    def batches(self, epoch: int, items: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (N, H, W) uint8 and labels (N, T) at the given indices, batch after batch."""
        images, labels = self.data.train_images, self.data.train_labels
        for indices in items:
            indices = indices.to(images.device, non_blocking=True)
            yield images[indices], labels[indices]

    def closures(
        self, net: MultiTaskNet, batch: tuple[Tensor, Tensor], tasks: Sequence[int]
    ) -> tuple[Callable, list[Callable]]:
        """Return ``features`` and the ``losses`` of the given tasks on a batch."""
        images, labels = batch
        # all tasks or one; a list of numbers would be copied to the device, which waits
        own = labels if len(tasks) == labels.shape[1] else labels[:, tasks[0] : tasks[-1] + 1]
        return task_closures(net, images, own)

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Return the metrics by data split.

        "train" and "clean" hold the accuracy on training images, on their labels and on the labels without
        noise. "val" and "test" hold accuracy, NLL, ECE and Brier score. ``score`` is the mean accuracy over
        tasks. Without validation images there is no "val".
        """
        data, net = self.data, cast(MultiTaskNet, model)
        logits = outputs(net, data.train_images[:ACCURACY_IMAGES])
        metrics: dict[str, Any] = {}
        for split, labels in (("train", data.train_labels), ("clean", data.train_clean_labels)):
            columns = labels[:ACCURACY_IMAGES].unbind(1)
            accuracy = [percent_right(task, y) for task, y in zip(logits, columns, strict=True)]
            metrics[split] = {"accuracy": accuracy}
        if len(data.val_images):
            metrics["val"] = evaluate(net, data.val_images, data.val_labels)
        metrics["test"] = evaluate(net, data.test_images, data.test_labels)
        judged = [split for split in ("val", "test") if split in metrics]
        score = {split: sum(metrics[split]["accuracy"]) / len(data.classes) for split in judged}
        return metrics | {"score": score}

    def rehearse(self, model: nn.Module, seconds: Callable[[Callable[[], Any]], float]) -> float:
        """Take a part of :meth:`measure`, for the memory; estimate the seconds of the whole."""
        return rehearse_landscape(model, self._snapshot_closures, seconds)

    def snapshot(self, model: nn.Module) -> dict[str, Any]:
        """Return angles and sharpness, see :func:`~flatmtl_lite.runs.measures.snapshots.snapshot_of`."""
        return snapshot_of(model, self._snapshot_closures)

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """Return the final measures.

        These are the top Hessian eigenvalue and slices of the training loss, and reliability and entropy on
        test images.
        """
        net = cast(MultiTaskNet, model)
        test = log_probabilities(net, self.data.test_images)
        by_images = {"in domain": test} | {
            name: log_probabilities(net, images) for name, images in self.other_images.items()
        }
        return {
            **landscape_of(model, self._snapshot_closures),
            "reliability": [
                reliability_lists(task, y)
                for task, y in zip(test, self.data.test_labels.unbind(1), strict=True)
            ],
            "entropy": entropy_histograms(by_images),
        }

    def _snapshot_closures(self, net: MultiTaskNet, tasks: Sequence[int]) -> tuple[Callable, list[Callable]]:
        batch = self.data.train_images[:SNAPSHOT_IMAGES], self.data.train_labels[:SNAPSHOT_IMAGES]
        return self.closures(net, batch, tasks)


def check_split(data: MultiTaskData, split: str) -> None:
    """Check the images and labels of one split.

    Raises:
        ValueError: a tensor has another shape or type, or a label is not a class of its task.
    """
    images: Tensor = getattr(data, f"{split}_images")
    if images.ndim != 3 or images.dtype != torch.uint8 or not (len(images) or split == "val"):
        raise ValueError(
            f"Got {split}_images of shape {tuple(images.shape)}, {images.dtype}; expected (N, H, W) uint8, "
            "N >= 1. Multiply 0..1 by 255, and leave out an axis of length 1."
        )
    names = [f"{split}_labels", *(["train_clean_labels"] if split == "train" else [])]
    for name in names:
        labels: Tensor = getattr(data, name)
        if labels.shape != (len(images), len(data.classes)) or labels.dtype != torch.int64:
            raise ValueError(
                f"Got {name} of shape {tuple(labels.shape)}, {labels.dtype}; expected "
                f"{(len(images), len(data.classes))} int64: one column per task."
            )
        for task, count, column in zip(data.task_names, data.classes, labels.unbind(1), strict=True):
            wrong = column[(column < 0) | (column >= count)]
            if len(wrong):
                raise ValueError(
                    f"Got {name} with the label {wrong[0]} for {task}; expected 0 to {count - 1}. Count "
                    "classes from 0, and leave out images without a class."
                )
