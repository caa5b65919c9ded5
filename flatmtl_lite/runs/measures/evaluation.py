"""A network on images: what it says, how often it is right, and the closures that its gradients come from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...diagnostics import sharpness
from ..networks.images import MultiTaskNet


def task_closures(
    model: MultiTaskNet, images: Tensor, labels: Tensor
) -> tuple[Callable[[], Tensor], list[Callable[[Tensor], Tensor]]]:
    """``features`` and ``losses`` of one batch, as ``FlatMTL`` and ``decompose`` take them.

    Args:
        model: trunk and heads; images and labels come to its device, the images in its dtype.
        images: (N, H, W) uint8.
        labels: (N, T).
    """
    x = _input_of(model, images)
    losses = [
        lambda z, head=head, y=y: cross_entropy(head(z), y)
        for head, y in zip(model.heads, labels.to(x.device).unbind(1), strict=True)
    ]
    return lambda: model.trunk(x), losses


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Run with the model in evaluation mode; afterwards every module is in its own mode again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:  # not model.train(): a part that was in evaluation mode stays so
            module.training = True


@torch.no_grad()
def outputs(model: MultiTaskNet, images: Tensor) -> list[Tensor]:
    """What the heads say in evaluation mode, on the images' device.

    Args:
        model: trunk and heads, on any device.
        images: (N, H, W) uint8.

    Returns:
        Per task (N, C), each its own C.
    """
    with evaluation_mode(model):
        said = [model(_input_of(model, x)) for x in images.split(1024)]
    return [torch.cat(task).to(images.device) for task in zip(*said, strict=True)]


def accuracy(model: MultiTaskNet, images: Tensor, labels: Tensor) -> list[float]:
    """Accuracy per task, in per cent to two decimals, in evaluation mode.

    Args:
        model: trunk and heads.
        images: (N, H, W) uint8.
        labels: (N, T).
    """
    said = outputs(model, images)
    return [percent_right(task, y) for task, y in zip(said, labels.unbind(1), strict=True)]


def percent_right(said: Tensor, labels: Tensor) -> float:
    """Accuracy of one task, in per cent to two decimals: (N, C) scores, (N,) labels."""
    return round(100 * (said.argmax(-1) == labels).sum().item() / len(labels), 2)


def task_sharpness(
    model: MultiTaskNet, images: Tensor, labels: Tensor, rho: float = 0.05, steps: int = 10
) -> list[float]:
    """Ten-step sharpness of each task's loss on the given images: trunk and own head move together."""
    features, losses = task_closures(model, images, labels)
    rises = []
    for head, loss in zip(model.heads, losses, strict=True):
        parameters = [*model.trunk.parameters(), *head.parameters()]
        rises.append(sharpness(lambda loss=loss: loss(features()), parameters, rho, steps))
    return rises


def _input_of(model: MultiTaskNet, images: Tensor) -> Tensor:
    """(N, H, W) uint8 -> (N, 1, H, W) in [0, 1], in the model's dtype and on its device."""
    like = next(model.parameters())
    return (images.to(like.device).unsqueeze(1).float() / 255).to(like.dtype)
