"""Networks with one shared trunk and a head per task."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...names import did_you_mean


class MultiTaskNet(nn.Module):
    """A trunk and T heads: x -> T outputs.

    Args:
        trunk: x -> z, shared by the tasks.
        heads: per task z -> output.
    """

    def __init__(self, trunk: nn.Module, heads: list[nn.Module]):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[Tensor]:
        z = self.trunk(x)
        return [head(z) for head in self.heads]

    def head_parameters(self) -> list[list[nn.Parameter]]:
        """Per task what its loss alone trains."""
        return [list(head.parameters()) for head in self.heads]

    def shared_parameters(self) -> list[nn.Parameter]:
        """Everything but :meth:`head_parameters`."""
        own = {p for head in self.head_parameters() for p in head}
        return [p for p in self.parameters() if p not in own]


class SingleTaskNets(nn.Module):
    """T networks of one task each, side by side: x -> T outputs, as :class:`MultiTaskNet` gives them.

    Args:
        twins: per task a network with a single head; each is trained by itself.
    """

    def __init__(self, twins: list[MultiTaskNet]):
        super().__init__()
        self.twins = nn.ModuleList(twins)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [output for twin in self.twins for output in twin(x)]


def mlp(classes: Sequence[int] = (10, 10), width: int = 256) -> MultiTaskNet:
    """1296-256-256 with ReLU and a linear head per task; 402,964 parameters for two tasks of ten classes.

    Input (N, 1, 36, 36), outputs (N, C), C of each task from ``classes``.

    Example:
        >>> sum(p.numel() for p in mlp().parameters())
        402964
    """
    layers = [nn.Flatten(), nn.Linear(36 * 36, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return MultiTaskNet(nn.Sequential(*layers), [nn.Linear(width, count) for count in classes])


def lenet(classes: Sequence[int] = (10, 10)) -> MultiTaskNet:
    """The LeNet of Pareto MTL (Lin et al. 2019) for 36x36 images; 31,910 parameters for two tasks.

    Input (N, 1, 36, 36), outputs (N, C), C of each task from ``classes``.

    Example:
        >>> sum(p.numel() for p in lenet().parameters())
        31910
    """
    trunk = nn.Sequential(
        *(nn.Conv2d(1, 10, 9), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(10, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(500, 50), nn.ReLU()),
    )
    trunk = trunk.to(memory_format=torch.channels_last)  # on a CPU a third faster
    return MultiTaskNet(trunk, [nn.Linear(50, count) for count in classes])


def resnet18(classes: Sequence[int] = (10, 10)) -> MultiTaskNet:
    """ResNet-18 (He et al. 2016) with one input channel and a layer of 100 below the heads.

    The network of the Multi-MNIST experiments of arXiv 2211.13723; 11,223,560 parameters for two tasks.
    Input (N, 1, H, W), outputs (N, C), C of each task from ``classes``.

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
    return MultiTaskNet(
        trunk.to(memory_format=torch.channels_last), [nn.Linear(100, count) for count in classes]
    )


NETWORKS = {"mlp": mlp, "lenet": lenet, "resnet18": resnet18}


def parse_network(name: str) -> Callable[[Sequence[int]], MultiTaskNet]:
    """The function that makes the network of that name from the number of classes of each task.

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


def single_task(
    network: Callable[[Sequence[int]], MultiTaskNet], classes: Sequence[int] = (10, 10)
) -> SingleTaskNets:
    """The single-task twins of a network: one for each task.

    Every twin starts from the generator state that this function was called in: the same weights as if its
    task were trained alone with that seed, whatever the other tasks are. So all trunks start equal, and
    equal to the trunk of ``network(classes)`` made with that seed: the comparison is paired.

    Args:
        network: such as :func:`lenet`; it draws the trunk before the heads.
        classes: of each task.

    Example:
        >>> sum(p.numel() for p in single_task(lenet).parameters())  # 2 * (30,890 + 510)
        62800
    """
    state = torch.get_rng_state()
    twins = []
    for count in classes:
        torch.set_rng_state(state)
        twins.append(network((count,)))
    return SingleTaskNets(twins)


def parts(model: nn.Module) -> list[tuple[MultiTaskNet, list[int]]]:
    """What is trained side by side, each network with its tasks: the model, or its single-task twins."""
    if isinstance(model, SingleTaskNets):
        return [(twin, [t]) for t, twin in enumerate(model.twins)]
    return [(model, list(range(len(model.heads))))]


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
