"""Networks for images of Multi-MNIST, each with a shared trunk and one head per task."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...names import did_you_mean
from ..engine.model import MultiTaskNet
from .layout import channels_last


def mlp(classes: Sequence[int] = (10, 10), width: int = 256) -> MultiTaskNet:
    """Make a perceptron 1296-256-256 with ReLU and a linear head per task.

    It has 402,964 parameters for two tasks of ten classes. Input (N, 1, 36, 36), outputs (N, C) with C of
    each task from ``classes``.

    Example:
        >>> sum(p.numel() for p in mlp().parameters())
        402964
    """
    layers = [nn.Flatten(), nn.Linear(36 * 36, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return MultiTaskNet(nn.Sequential(*layers), [nn.Linear(width, count) for count in classes])


def lenet(classes: Sequence[int] = (10, 10)) -> MultiTaskNet:
    """Make the LeNet of Pareto MTL (Lin et al. 2019) for 36x36 images; 31,910 parameters for two tasks.

    Input (N, 1, 36, 36), outputs (N, C) with C of each task from ``classes``.

    Example:
        >>> sum(p.numel() for p in lenet().parameters())
        31910
    """
    trunk = nn.Sequential(
        *(nn.Conv2d(1, 10, 9), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(10, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(500, 50), nn.ReLU()),
    )
    trunk = channels_last(trunk)  # on a CPU a third faster
    return MultiTaskNet(trunk, [nn.Linear(50, count) for count in classes])


def resnet18(classes: Sequence[int] = (10, 10)) -> MultiTaskNet:
    """Make a ResNet-18 (He et al. 2016) with one input channel and a layer of 100 below the heads.

    The Multi-MNIST experiments of arXiv 2211.13723 use this network. It has 11,223,560 parameters for two
    tasks. Input (N, 1, H, W), outputs (N, C) with C of each task from ``classes``.

    Example:
        >>> sum(p.numel() for p in resnet18().parameters())
        11223560
    """
    widths = (64, 64, 128, 256, 512)
    stages = [
        nn.Sequential(ResidualBlock(before, width, stride), ResidualBlock(width, width, 1))
        for before, width, stride in zip(widths, widths[1:], (1, 2, 2, 2))
    ]
    trunk = nn.Sequential(
        *(nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *stages,
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 100), nn.ReLU()),
    )
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return MultiTaskNet(channels_last(trunk), [nn.Linear(100, count) for count in classes])


NETWORKS = {"mlp": mlp, "lenet": lenet, "resnet18": resnet18}


def parse_network(name: str) -> Callable[[Sequence[int]], MultiTaskNet]:
    """Return the function that makes the named network from the number of classes of each task.

    Raises:
        ValueError: unknown name.

    Example:
        >>> len(parse_network("lenet")((10, 2, 5)).heads)
        3
    """
    if name not in NETWORKS:
        raise ValueError(
            f"Got network {name!r}{did_you_mean(name, NETWORKS)}; expected one of {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input (or to a 1x1 convolution of it).

    Input (N, ``before``, H, W), output (N, ``width``, H/``stride``, W/``stride``), rounded up.
    """

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.change = nn.Sequential(
            *(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)),
        )
        same = before == width and stride == 1
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.change(x))


def task_closures(
    model: MultiTaskNet, images: Tensor, labels: Tensor
) -> tuple[Callable[[], Tensor], list[Callable[[Tensor], Tensor]]]:
    """Return ``features`` and ``losses`` of one batch, as ``FlatMTL`` and ``decompose`` take them.

    Args:
        model: trunk and heads. Images and labels are moved to its device, the images to its dtype.
        images: (N, H, W) uint8.
        labels: (N, T).
    """
    x = image_input(model, images)
    losses: list[Callable[[Tensor], Tensor]] = [
        partial(_head_loss, head, y)
        for head, y in zip(model.heads, labels.to(x.device).unbind(1), strict=True)
    ]
    return lambda: model.trunk(x), losses


def _head_loss(head: nn.Module, labels: Tensor, z: Tensor) -> Tensor:
    return cross_entropy(head(z), labels)


def image_input(model: nn.Module, images: Tensor) -> Tensor:
    """Scale images for a model, (N, H, W) uint8 -> (N, 1, H, W) in [0, 1], in its dtype, on its device."""
    like = next(model.parameters())
    return (images.to(like.device).unsqueeze(1).float() / 255).to(like.dtype)
