"""The experiment on NYUv2: classes, depth and surface normals of real rooms."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ...names import check_name
from ..data.scenes import Scenes
from ..data.sources import source_folder
from ..engine.options import check_types, explain_fields, option
from ..rooms import ORIGIN
from .definition import Definition
from .scenes import AS_PUBLISHED, SCENE_DEFAULTS, SCENE_NETWORKS, SceneTasks, held_out, nyuv2_score

RECIPE = (
    "expected NYUv2 as MTAN distributes it: train and val, each with image, label, depth and normal, each "
    "with 0.npy, 1.npy, ... Fetch it by the link in the README of github.com/lorenmt/mtan and unpack it. "
    "Name that folder by --data, or put it as nyuv2 into the folder that FLATMTL_DATA names. Without it: "
    "train rooms."
)


@explain_fields
@dataclass(frozen=True)
class NyuV2:
    """Settings of the experiment on NYUv2, as MTAN distributes it: classes, depth and surface normals.

    The test scenes are the scenes of the folder ``val``, as in all published tables.
    """

    network: str = option("mtan", '"mtan" or "encoder_decoder".')
    n_val: int = option(
        45,
        "number of validation scenes, the last of the training scenes; 0: none, so all 795 scenes train, as "
        "in the paper, and no epoch is picked.",
    )
    augment: bool = option(True, "whether training scenes are zoomed, cropped and mirrored.")
    per_batch: bool = option(
        True, "whether depth and normal errors are means over batches of two, as in published tables."
    )

    def __post_init__(self) -> None:
        check_types(self)
        check_name("network", self.network, SCENE_NETWORKS)

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[SceneTasks, str]:
        """Return scenes and network on a device, and one line on where the scenes came from.

        Raises:
            FileNotFoundError: there is no NYUv2 in MTAN's layout.
            ValueError: the folder holds synthetic rooms, or a copy that is incomplete.
        """
        folder = source_folder(root)
        if not (folder / "train").is_dir():
            folder = folder / "nyuv2"
        if not (folder / "train").is_dir():
            raise FileNotFoundError(f"Got no folder {folder / 'train'}; {RECIPE}")
        if (folder / ORIGIN).exists():
            raise ValueError(f"Got {folder}, which holds synthetic rooms; {RECIPE}")
        scenes, test = Scenes(folder, "train"), Scenes(folder, "val")
        if not 0 <= self.n_val < len(scenes):
            raise ValueError(
                f"Got n_val={self.n_val} for the {len(scenes)} scenes of {folder / 'train'}; expected 0 to "
                f"{len(scenes) - 1}. The whole set has 795 scenes: complete it, or take a smaller n_val."
            )
        train, val = held_out(scenes, len(scenes) - self.n_val, self.n_val)
        tasks = SceneTasks(
            *(train, val, test),
            network=SCENE_NETWORKS[self.network],
            score=nyuv2_score,
            seed=seed,
            augment=self.augment,
            per_batch=self.per_batch,
            measured=2,
            device=device,
        )
        return tasks, f"NYUv2: {len(train)} training, {len(val)} validation and {len(test)} test scenes"


NYUV2 = Definition(
    NyuV2,
    {"paper": AS_PUBLISHED},
    SCENE_DEFAULTS | dict(batch_size=2, lr=1e-4, epochs=200, rho=0.05),
)
