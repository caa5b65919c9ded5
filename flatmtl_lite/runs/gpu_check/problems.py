"""Networks and batches for the checks, and the settings of torch that training uses."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...optim import FlatMTL
from ..data.scene_files import CLASSES
from ..engine.backend import numerics
from ..engine.config import Config
from ..engine.learner import Learner, make_learner
from ..engine.model import MultiTaskNet
from ..networks.images import parse_network, task_closures
from ..networks.scenes import mtan, scene_closures

NARROW = (8, 16, 16)  # widths of a small MTAN
Closures = tuple[Callable[[], Any], list[Callable[[Any], Tensor]]]


class Problem(NamedTuple):
    """A network, and ``features`` and ``losses`` of one batch."""

    net: MultiTaskNet
    features: Callable[[], Any]
    losses: list[Callable[[Any], Tensor]]

    def learner(self, method: str, **options: Any) -> Learner:
        """Return the network with the step of a method, as training makes it."""
        config = Config(method=method, schedule="constant", **options)
        return make_learner(self.net, list(range(len(self.losses))), config, 1000, None)

    def step(self, method: str, **options: Any) -> Callable[[], object]:
        """Return one training step of a method as a call without arguments."""
        step: FlatMTL = self.learner(method, **options).step
        return lambda: step(self.features, self.losses)


Make = Callable[[torch.device, torch.dtype], Problem]


def image_problem(network: str, count: int, device: torch.device, dtype: torch.dtype) -> Problem:
    """Make a network of Multi-MNIST and a batch of random images, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = parse_network(network)((10, 10))
        images = torch.randint(256, (count, 36, 36), dtype=torch.uint8)
        labels = torch.randint(10, (count, 2))
    net.to(device, dtype)
    return Problem(net, *task_closures(net, images.to(device), labels.to(device)))


def scene_problem(
    count: int,
    height: int,
    width: int,
    device: torch.device,
    dtype: torch.dtype,
    widths: Sequence[int] | None = None,
) -> Problem:
    """Make MTAN and a batch of random scenes, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = mtan() if widths is None else mtan(widths=widths)
        batch = {
            "image": torch.rand(count, 3, height, width),
            "label": torch.randint(-1, len(CLASSES), (count, height, width)),
            "depth": 0.5 + 5 * torch.rand(count, 1, height, width),
            "normal": normalize(torch.randn(count, 3, height, width), dim=1),
        }
    net.to(device, dtype)
    batch = {
        part: value.to(device, dtype if value.is_floating_point() else None) for part, value in batch.items()
    }
    return Problem(net, *scene_closures(net, batch))


SMALL: dict[str, Make] = {
    "LeNet": lambda device, dtype: image_problem("lenet", 32, device, dtype),
    "small MTAN": lambda device, dtype: scene_problem(2, 32, 48, device, dtype, NARROW),
}


def as_in_training(deterministic: bool = False, tf32: bool = False) -> AbstractContextManager:
    """Give torch's backends the settings of training for the block."""
    return numerics(tf32, deterministic)
