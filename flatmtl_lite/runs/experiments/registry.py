"""The experiments that can be started by name, their settings, and their presets."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset

from ...names import did_you_mean
from ..data.multimnist import VARIANTS, multi_mnist, task_names
from ..data.published import load_published
from ..data.scenes import Scenes
from ..data.sources import source_folder
from ..engine.config import Config, check_types
from ..networks.images import parse_network
from ..networks.scenes import encoder_decoder, mtan
from ..rooms import ORIGIN, ensure_rooms
from .images import ImageTasks
from .scenes import SceneTasks, held_out, log_loss_score, nyuv2_score

ELSEWHERE = 2000  # images of each other variant that a network's entropy is taken on
MEASURE_EVERY = 50  # steps; every fourth, as in the teaching setting, makes LS about a third dearer
SCENE_NETWORKS = {"encoder_decoder": encoder_decoder, "mtan": mtan}


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
        check_types(self)
        check_name("variant", self.variant, VARIANTS)
        parse_network(self.network)
        if self.tasks is not None:
            known = task_names(self.variant)
            if isinstance(self.tasks, str) or not 2 <= len(self.tasks) <= len(known):
                raise ValueError(f"Got tasks={self.tasks!r}; expected two to eight of {', '.join(known)}.")
            for name in self.tasks:
                check_name("task", name, known)
            object.__setattr__(self, "tasks", tuple(self.tasks))
        if self.published is not None and (self.tasks or self.label_noise or self.sample):
            raise ValueError(
                f"Got published={self.published!r} with tasks, label_noise or sample; expected none: "
                "the labels of a published set are as they are."
            )

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[ImageTasks, str]:
        """Data and network on a device, and one line on where the images came from.

        Raises:
            FileNotFoundError: the full sets are not there, and ``sample`` was not asked for.
            ValueError: as :func:`~flatmtl_lite.runs.data.multimnist.multi_mnist` raises it, or ``published``
                holds other numbers of images.
        """
        make, sizes = parse_network(self.network), (self.n_train, self.n_val, self.n_test)
        if self.published is not None:
            data = load_published(self.published, self.variant, seed, self.n_val)
            held = tuple(map(len, (data.train_images, data.val_images, data.test_images)))
            if held != sizes:
                raise ValueError(
                    f"Got n_train, n_val, n_test = {sizes}; {self.published} holds {held}. Give these."
                )
            return ImageTasks(data, make, device), data.origin
        source = dict(max_shift=self.max_shift, root=root, download=download, sample=self.sample)
        own = dict(label_noise=self.label_noise, tasks=self.tasks)
        data = multi_mnist(self.variant, seed, *sizes, **own, **source)
        elsewhere = {}
        for other in VARIANTS:
            if other != self.variant:
                with suppress(FileNotFoundError):  # of sets that this one does not need
                    there = multi_mnist(other, seed, 1, 1, min(ELSEWHERE, self.n_test), **source)
                    elsewhere[other] = there.test_images
        return ImageTasks(data, make, device, elsewhere), data.origin


@dataclass(frozen=True)
class Rooms:
    """What is trained on what: classes, depth and surface normals of synthetic rooms.

    The rooms are drawn at the first run into the folder of the source files, for all runs of that size.
    What comes out says nothing about NYUv2.

    Attributes:
        network: "encoder_decoder" or "mtan".
        n_train: number of training rooms.
        n_val: number of validation rooms, of the style of the training rooms.
        n_test: number of test rooms, whose paints, textures and forms no training room has.
        height: of the images in pixels, an even number.
        width: of the images in pixels, an even number.
        augment: whether training rooms are zoomed, cropped and mirrored.
    """

    network: str = "encoder_decoder"
    n_train: int = 200
    n_val: int = 50
    n_test: int = 100
    height: int = 96
    width: int = 128
    augment: bool = True

    def __post_init__(self):
        check_types(self)
        check_name("network", self.network, SCENE_NETWORKS)

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[SceneTasks, str]:
        """Rooms and network on a device, and one line on where the rooms came from.

        Raises:
            FileExistsError: the folder holds something else.
        """
        folder = source_folder(root)
        if not (folder / ORIGIN).exists():
            folder = folder / f"rooms-{self.height}x{self.width}"
        ensure_rooms(folder, self.n_train + self.n_val, self.n_test, self.height, self.width)
        train, val = held_out(Scenes(folder, "train"), self.n_train, self.n_val)
        test = Subset(Scenes(folder, "val"), range(self.n_test))
        network = SCENE_NETWORKS[self.network]
        made = SceneTasks(train, val, test, network, log_loss_score, seed, self.augment, device=device)
        counts = f"{self.n_train} training, {self.n_val} validation and {self.n_test} test rooms"
        return made, f"synthetic rooms of {self.height} by {self.width} pixels: {counts}"


@dataclass(frozen=True)
class NyuV2:
    """What is trained on what: classes, depth and surface normals of NYUv2, as MTAN distributes it.

    The test scenes are those of the folder ``val``, as in all published tables.

    Attributes:
        network: "mtan" or "encoder_decoder".
        n_val: number of validation scenes, the last of the training scenes.
        augment: whether training scenes are zoomed, cropped and mirrored.
        per_batch: whether depth and normal errors are means over batches of two, as in published tables.
    """

    network: str = "mtan"
    n_val: int = 45
    augment: bool = True
    per_batch: bool = True

    def __post_init__(self):
        check_types(self)
        check_name("network", self.network, SCENE_NETWORKS)

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[SceneTasks, str]:
        """Scenes and network on a device, and one line on where the scenes came from.

        Raises:
            FileNotFoundError: there is no NYUv2 in MTAN's layout.
            ValueError: what lies there are synthetic rooms, or a copy that is not whole.
        """
        folder = source_folder(root)
        if not (folder / "train").is_dir():
            folder = folder / "nyuv2"
        if not (folder / "train").is_dir():
            raise FileNotFoundError(f"Got no folder {folder / 'train'}; {NYUV2_RECIPE}")
        if (folder / ORIGIN).exists():
            raise ValueError(f"Got {folder}, which holds synthetic rooms; {NYUV2_RECIPE}")
        scenes, test = Scenes(folder, "train"), Scenes(folder, "val")
        train, val = held_out(scenes, len(scenes) - self.n_val, self.n_val)
        network = SCENE_NETWORKS[self.network]
        splits = train, val, test
        made = SceneTasks(*splits, network, nyuv2_score, seed, self.augment, self.per_batch, 2, device)
        return made, f"NYUv2: {len(train)} training, {len(val)} validation and {len(test)} test scenes"


@dataclass(frozen=True)
class Kind:
    """An experiment that can be started by name.

    Attributes:
        settings: its own settings, a dataclass with a method ``experiment``.
        presets: by name values of these settings and of :class:`Config`.
        defaults: values of :class:`Config` that are its own.
    """

    settings: type
    presets: dict[str, dict[str, Any]]
    defaults: dict[str, Any] = field(default_factory=dict)

    def config(self, **given: Any) -> Config:
        """The configuration with these values, and its own defaults where none is given."""
        return Config(**{**self.defaults, **given})


NYUV2_RECIPE = (
    "expected NYUv2 as MTAN distributes it: train and val, each with image, label, depth and normal, each "
    "with 0.npy, 1.npy, ... Fetch it by the link in the README of github.com/lorenmt/mtan and unpack it. "
    "Name that folder by --data, or put it as nyuv2 into the folder that FLATMTL_DATA names. Without it: "
    "train rooms."
)
# as the published scene code; every method of a comparison has the same
SCENES = dict(
    **dict(norm="separate", optimizer="adam", schedule="halve"),
    **dict(log_every=10, evaluate_every=5, measure_every=MEASURE_EVERY),
)
# as the authors ran NYUv2, but for the validation scenes. Of their radii there only that of PCGrad is known.
AS_PUBLISHED = dict(
    **dict(network="mtan", epochs=200, batch_size=2, lr=1e-4, rho=0.05),
    **dict(evaluate_every=1, log_every=50, snapshot_every=50),
)

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
        dict(measure_every=MEASURE_EVERY),
    ),
    "rooms": Kind(
        Rooms,
        {
            # few rooms, never augmented: where the network learns them by heart, and flatness can show
            "demo": dict(
                **dict(n_train=64, n_val=32, n_test=64, height=48, width=64, augment=False),
                **dict(epochs=50, evaluate_every=10, snapshot_every=50),
            ),
            "small": dict(n_train=240, n_val=60, n_test=100, epochs=40, snapshot_every=40),
            "paper": dict(n_train=750, n_val=45, n_test=654, height=288, width=384) | AS_PUBLISHED,
        },
        # the radius was picked by rooms_record.SELECTION; an epoch of the demonstration has eight steps
        SCENES | dict(batch_size=8, lr=0.001, rho=0.02, measure_every=4),
    ),
    "nyuv2": Kind(NyuV2, {"paper": AS_PUBLISHED}, SCENES | dict(batch_size=2, lr=1e-4, epochs=200, rho=0.05)),
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
