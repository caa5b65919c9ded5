"""The Multi-MNIST experiments: two overlapping images, and questions about each of them."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ...names import check_name
from ..data.multimnist import VARIANTS, multi_mnist, task_names
from ..data.published import load_published
from ..engine.options import check_types, explain_fields, option
from ..networks.images import parse_network
from .definition import Definition
from .images import ImageTasks

OTHER_IMAGES = 2000  # images of each other variant on which the entropy of a network is measured
MEASURE_EVERY = 50  # steps; every fourth step, as in the teaching setting, makes LS about a third slower


@explain_fields
@dataclass(frozen=True)
class MultiMnist:
    """Settings of the Multi-MNIST experiments."""

    variant: str = option("fashion+mnist", '"mnist", "fashion" or "fashion+mnist".')
    network: str = option("lenet", '"mlp", "lenet" or "resnet18".')
    n_train: int = option(5000, "number of training images.")
    n_val: int = option(
        2000,
        "number of validation images, from other sources than the training images; 0: none, as the authors "
        "train, and no epoch is picked.",
    )
    n_test: int = option(10_000, "number of test images, the same for every seed.")
    label_noise: float = option(
        0.0, "share of the items with a wrong class in training and validation, 0..1."
    )
    max_shift: int = option(4, "largest move of an item out of its corner, 0..8 pixels.")
    tasks: tuple[str, ...] | None = option(
        None, "names of the questions, two to eight; by default the classes of both items."
    )
    sample: bool = option(False, "whether to take the small sample that ships in place of the full sets.")
    published: str | None = option(
        None,
        "an .npz file made of a published pickle (see data/README.md), in place of images built here; "
        "n_train, n_val and n_test must then be the numbers of images that it holds.",
    )

    def __post_init__(self) -> None:
        check_types(self)
        check_name("variant", self.variant, VARIANTS)
        parse_network(self.network)
        if self.tasks is not None:
            names = task_names(self.variant)
            if not isinstance(self.tasks, (list, tuple)) or not 2 <= len(self.tasks) <= len(names):
                raise ValueError(f"Got tasks={self.tasks!r}; expected two to eight of {', '.join(names)}.")
            for name in self.tasks:
                check_name("task", name, names)
            object.__setattr__(self, "tasks", tuple(self.tasks))
        if self.published is not None and (self.tasks or self.label_noise or self.sample):
            raise ValueError(
                f"Got published={self.published!r} with tasks, label_noise or sample; expected none: "
                "the labels of a published set stay as they are."
            )

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[ImageTasks, str]:
        """Return data and network on a device, and one line on where the images came from.

        Raises:
            FileNotFoundError: the full sets are missing, and ``sample`` was not asked for.
            ValueError: :func:`~flatmtl_lite.runs.data.multimnist.multi_mnist` refuses the settings, or the
                published file holds other numbers of images.
        """
        network, sizes = parse_network(self.network), (self.n_train, self.n_val, self.n_test)
        if self.published is not None:
            data = load_published(self.published, self.variant, seed, self.n_val)
            counts = tuple(map(len, (data.train_images, data.val_images, data.test_images)))
            if counts != sizes:
                raise ValueError(
                    f"Got n_train, n_val, n_test = {sizes}; {self.published} holds {counts}. Give these."
                )
            return ImageTasks(data, network, device), data.origin
        draw = partial(
            multi_mnist, max_shift=self.max_shift, root=root, download=download, sample=self.sample
        )
        data = draw(self.variant, seed, *sizes, label_noise=self.label_noise, tasks=self.tasks)
        other_images = {}
        for variant in VARIANTS:
            if variant != self.variant:
                with suppress(FileNotFoundError):  # of source files that this variant does not need
                    other = draw(variant, seed, 1, 1, min(OTHER_IMAGES, self.n_test))
                    other_images[variant] = other.test_images
        return ImageTasks(data, network, device, other_images), data.origin


MULTIMNIST = Definition(
    MultiMnist,
    {
        # the teaching setting: here flatness visibly pays on a CPU
        "demo": dict(
            **dict(network="mlp", n_train=2000, n_val=2000, n_test=4000, label_noise=0.4, max_shift=0),
            **dict(sample=True, rho=0.14, norm="together", snapshot_every=20),
        ),
        "small": dict(
            **dict(network="lenet", n_train=5000, n_val=2000, n_test=10_000, optimizer="adam", lr=0.001),
            **dict(rho=0.05, norm="together", log_every=10, snapshot_every=10),
        ),
        # as the authors ran it, except for the validation images
        "paper": dict(
            **dict(network="resnet18", n_train=120_000, n_val=12_000, n_test=20_000),
            **dict(optimizer="adam", lr=0.001, schedule="constant", batch_size=256, epochs=200),
            **dict(rho=2.0, norm="together", adaptive=True),
            **dict(evaluate_every=1, log_every=50, snapshot_every=50),
        ),
    },
    dict(measure_every=MEASURE_EVERY),
)
