"""The experiments that can be started by name, their settings, and their presets."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from .config import Config
from .images import ImageTasks
from .multimnist import VARIANTS, multi_mnist
from .names import did_you_mean
from .networks import parse_network
from .published_sets import converted

ELSEWHERE = 2000  # images of each other variant that a network's entropy is taken on


@dataclass(frozen=True)
class MultiMnist:
    """What is trained on what: the Multi-MNIST family.

    Attributes:
        variant: "mnist", "fashion" or "fashion+mnist".
        network: "mlp", "lenet" or "resnet18".
        n_train: number of training images.
        n_val: number of validation images, of other sources than the training images.
        n_test: number of test images, the same for every seed.
        label_noise: share of the items with a wrong class in training and validation, 0..1.
        max_shift: largest move of an item out of its corner, 0..8 pixels.
        tasks: what is asked, two to eight names; by default the classes of both items.
        sample: whether to take the small sample that ships in place of the full sets.
        published: an .npz file made of a published pickle (see data/README.md), in place of images built
            here; n_train, n_val and n_test must then be what it holds.
    """

    variant: str = "fashion+mnist"
    network: str = "lenet"
    n_train: int = 5000
    n_val: int = 2000
    n_test: int = 10_000
    label_noise: float = 0.0
    max_shift: int = 4
    tasks: tuple[str, ...] | None = None
    sample: bool = False
    published: str | None = None

    def __post_init__(self):
        check_name("variant", self.variant, VARIANTS)
        parse_network(self.network)
        if self.tasks is not None:
            object.__setattr__(self, "tasks", tuple(self.tasks))
        if self.published is not None and (self.tasks or self.label_noise or self.sample):
            raise ValueError(
                f"Got published={self.published!r} with tasks, label_noise or sample; expected none: "
                "the labels of a published set are as they are."
            )

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[ImageTasks, str]:
        """Data and network on a device, and one line on where the images came from."""
        make, sizes = parse_network(self.network), (self.n_train, self.n_val, self.n_test)
        if self.published is not None:
            data = converted(self.published, self.variant, seed, self.n_val)
            held = tuple(map(len, (data.train_images, data.val_images, data.test_images)))
            if held != sizes:
                raise ValueError(
                    f"Got n_train, n_val, n_test = {sizes}; {self.published} holds {held}. Give these."
                )
            return ImageTasks(data, make, device), data.origin
        source = dict(max_shift=self.max_shift, root=root, download=download, sample=self.sample)
        own = dict(label_noise=self.label_noise, tasks=self.tasks)
        data = multi_mnist(self.variant, seed, *sizes, **own, **source)
        elsewhere = {
            other: multi_mnist(other, seed, 1, 1, min(ELSEWHERE, self.n_test), **source).test_images
            for other in VARIANTS
            if other != self.variant
        }
        return ImageTasks(data, make, device, elsewhere), data.origin


@dataclass(frozen=True)
class Kind:
    """An experiment that can be started by name.

    Attributes:
        settings: its own settings, a dataclass with a method ``experiment``.
        presets: by name values of these settings and of :class:`Config`.
    """

    settings: type
    presets: dict[str, dict[str, Any]]


EXPERIMENTS = {
    "multimnist": Kind(
        MultiMnist,
        {
            # the teaching setting: where flatness visibly pays on a CPU
            "demo": dict(
                **dict(network="mlp", n_train=2000, n_val=2000, n_test=4000, label_noise=0.4, max_shift=0),
                **dict(sample=True, snapshot_every=20),
            ),
            "small": dict(
                **dict(network="lenet", n_train=5000, n_val=2000, n_test=10_000),
                **dict(optimizer="adam", lr=0.001, rho=0.05, log_every=10, snapshot_every=10),
            ),
            # as the authors ran it, but for the validation images
            "paper": dict(
                **dict(network="resnet18", n_train=120_000, n_val=12_000, n_test=20_000),
                **dict(optimizer="adam", lr=0.001, schedule="constant", batch_size=256, epochs=200),
                **dict(rho=2.0, adaptive=True, evaluate_every=1, log_every=50, snapshot_every=50),
            ),
        },
    ),
}


def read_options(experiment: str, preset: str | None, options: dict[str, Any]) -> tuple[dict, dict]:
    """The given options and those of the preset, sorted: settings of the experiment, and of ``Config``.

    Raises:
        ValueError: the experiment, the preset or an option is unknown.
    """
    check_name("experiment", experiment, EXPERIMENTS)
    kind = EXPERIMENTS[experiment]
    if preset is not None:
        check_name("preset", preset, kind.presets)
        options = kind.presets[preset] | options
    own, common = ({f.name for f in fields(of)} for of in (kind.settings, Config))
    for name in options:
        check_name("option", name, sorted(own | common))
    return {k: v for k, v in options.items() if k in own}, {k: v for k, v in options.items() if k in common}


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError, with the nearest name, unless ``name`` is one of the known ones."""
    if name not in known:
        near = did_you_mean(name, known)
        raise ValueError(f"Got {what} {name!r}{near}; expected one of {', '.join(known)}.")
