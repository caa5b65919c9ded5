"""A network on images: its outputs, its accuracy and the sharpness of its task losses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...diagnostics import sharpness, top_eigenvalue
from ..engine.experiment import NonFiniteOutput
from ..engine.model import parts
from ..networks.images import image_input, task_closures


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Run with the model in evaluation mode; afterwards every module is in its former mode again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:  # not model.train(): a part that was in evaluation mode stays so
            module.training = True


@torch.no_grad()
def outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the outputs of the heads in evaluation mode, on the images' device.

    Args:
        model: trunk and heads, on any device.
        images: (N, H, W) uint8.

    Returns:
        One tensor (N, C) per task; C may differ from task to task.
    """
    with evaluation_mode(model):
        batches = [model(image_input(model, x)) for x in images.split(1024)]
    return [torch.cat(task).to(images.device) for task in zip(*batches, strict=True)]


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """Accuracy per task, in per cent to two decimals, in evaluation mode.

    Args:
        model: trunk and heads.
        images: (N, H, W) uint8.
        labels: (N, T).
    """
    scores = outputs(model, images)
    return [percent_right(task, y) for task, y in zip(scores, labels.unbind(1), strict=True)]


def percent_right(scores: Tensor, labels: Tensor) -> float:
    """Accuracy of one task, in per cent to two decimals: (N, C) scores, (N,) labels.

    Raises:
        ValueError: the arguments are not scores and labels of one task.
        NonFiniteOutput: the largest score of an image is NaN or infinite.
    """
    check_task(scores, labels)
    return round(100 * (scores.argmax(-1) == labels).sum().item() / len(labels), 2)


def check_task(scores: Tensor, labels: Tensor) -> None:
    """Check that there are scores and a label for each image, and that each image has a largest score.

    Args:
        scores: (N, C), logits or log-probabilities. -infinity rules out a class.
        labels: (N,).

    Raises:
        ValueError: the shapes do not fit, there is no image, or a label is not a class.
        NonFiniteOutput: the largest score of an image is NaN or infinite.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"Got outputs of shape {tuple(scores.shape)} and labels of shape {tuple(labels.shape)}; expected "
            "(N, classes) and (N,) of one task, N >= 1. Take its column, labels[:, i]."
        )
    if not 0 <= labels.min() <= labels.max() < scores.shape[1]:
        raise ValueError(
            f"Got labels from {labels.min()} to {labels.max()}; expected 0 to {scores.shape[1] - 1}, since "
            f"there are {scores.shape[1]} classes. Check that labels and outputs are of the same task."
        )
    check_finite(scores.amax(-1), "a largest output")


def check_finite(values: Tensor, what: str) -> None:
    """Check what a network returned.

    Raises:
        NonFiniteOutput: a value is NaN or infinite; the message calls it ``what``.
    """
    wrong = values[~values.isfinite()]
    if len(wrong):
        raise NonFiniteOutput(
            f"Got {what} of {wrong[0].item()} in {len(wrong)} of {values.numel()} places; expected finite "
            "numbers. The training diverged: take a smaller lr."
        )


def task_sharpness(
    model: nn.Module, images: Tensor, labels: Tensor, rho: float = 0.05, steps: int = 10
) -> list[float]:
    """Ten-step sharpness of each task's loss on these images; the trunk and the head move together."""
    measure = partial(sharpness, rho=rho, steps=steps)
    return [measure(loss, parameters) for loss, parameters in task_losses(model, images, labels)]


def top_eigenvalues(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """The top eigenvalue of the Hessian of each task's loss on these images, over trunk and head."""
    return [top_eigenvalue(loss, parameters) for loss, parameters in task_losses(model, images, labels)]


def task_losses(
    model: nn.Module, images: Tensor, labels: Tensor
) -> Iterator[tuple[Callable[[], Tensor], list[nn.Parameter]]]:
    """Yield for each task its loss on these images, and the parameters of the trunk and of its head.

    Args:
        model: a network for all tasks, or single-task twins.
        images: (N, H, W) uint8.
        labels: (N, T).
    """
    for net, tasks in parts(model):
        features, losses = task_closures(net, images, labels[:, tasks])
        for head, loss in zip(net.head_parameters(), losses, strict=True):
            yield partial(run_task, features, loss), [*net.shared_parameters(), *head]


def run_task(features: Callable[[], Any], loss: Callable[[Any], Tensor]) -> Tensor:
    """Run the trunk, then one head: the loss of that task."""
    return loss(features())
