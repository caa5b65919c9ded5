"""The experiment on synthetic rooms: classes, depth and surface normals."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Subset

from ...names import check_name
from ..data.scenes import Scenes
from ..data.sources import source_folder
from ..engine.options import check_types, explain_fields, option
from ..rooms import ORIGIN, ensure_rooms
from .definition import Definition
from .scenes import AS_PUBLISHED, SCENE_DEFAULTS, SCENE_NETWORKS, SceneTasks, held_out, log_loss_score


@explain_fields
@dataclass(frozen=True)
class Rooms:
    """Settings of the experiment on synthetic rooms: classes, depth and surface normals.

    The first run draws the rooms into the folder of the source files, for all runs of that size. The results
    say nothing about NYUv2.
    """

    network: str = option("encoder_decoder", '"encoder_decoder" or "mtan".')
    n_train: int = option(200, "number of training rooms.")
    n_val: int = option(50, "number of validation rooms, in the style of the training rooms.")
    n_test: int = option(100, "number of test rooms, whose paints, textures and forms no training room has.")
    height: int = option(96, "height of the images in pixels, an even number.")
    width: int = option(128, "width of the images in pixels, an even number.")
    augment: bool = option(True, "whether training rooms are zoomed, cropped and mirrored.")

    def __post_init__(self) -> None:
        check_types(self)
        check_name("network", self.network, SCENE_NETWORKS)

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[SceneTasks, str]:
        """Return rooms and network on a device, and one line on where the rooms came from.

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
        tasks = SceneTasks(train, val, test, network, log_loss_score, seed, self.augment, device=device)
        counts = f"{self.n_train} training, {self.n_val} validation and {self.n_test} test rooms"
        return tasks, f"synthetic rooms of {self.height} by {self.width} pixels: {counts}"


ROOMS = Definition(
    Rooms,
    {
        # few rooms without augmentation: the network learns them by heart, so flatness can show
        "demo": dict(
            **dict(n_train=64, n_val=32, n_test=64, height=48, width=64, augment=False),
            **dict(epochs=50, evaluate_every=10, snapshot_every=50),
        ),
        "small": dict(n_train=240, n_val=60, n_test=100, epochs=40, snapshot_every=40),
        "paper": dict(n_train=750, n_val=45, n_test=654, height=288, width=384) | AS_PUBLISHED,
    },
    # records.rooms.SELECTION picked the radius; an epoch of the demonstration has eight steps
    SCENE_DEFAULTS | dict(batch_size=8, lr=0.001, rho=0.02, measure_every=4),
)
