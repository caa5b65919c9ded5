"""Networks with one shared trunk and a head per task."""

import torch
from torch import Tensor, nn


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


def mlp(tasks: int = 2, width: int = 256) -> MultiTaskNet:
    """1296-256-256 with ReLU and linear 10-way heads; 402,964 parameters for two tasks.

    Input (N, 1, 36, 36), outputs (N, 10).

    Example:
        >>> sum(p.numel() for p in mlp().parameters())
        402964
    """
    layers = [nn.Flatten(), nn.Linear(36 * 36, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return MultiTaskNet(nn.Sequential(*layers), [nn.Linear(width, 10) for _ in range(tasks)])


def lenet(tasks: int = 2) -> MultiTaskNet:
    """The LeNet of Pareto MTL (Lin et al. 2019) for 36x36 images; 31,910 parameters for two tasks.

    Input (N, 1, 36, 36), outputs (N, 10).

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
    return MultiTaskNet(trunk, [nn.Linear(50, 10) for _ in range(tasks)])
