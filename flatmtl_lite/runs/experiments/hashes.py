"""The hash of the data of an experiment, for the description of a run."""

from typing import Any, cast

from torch.utils.data import Dataset, Subset

from ..data.hashes import hash_files, hash_tensors
from ..data.scene_files import PARTS
from ..data.scenes import Scenes
from ..engine.experiment import Experiment
from .images import ImageTasks
from .scenes import SceneTasks

TENSORS = ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels")


def data_hash(experiment: Experiment) -> str | None:
    """Return one hash of all data that an experiment uses, or None for an experiment of an unknown kind.

    For images it is the hash of the tensors, for scenes the hash of the files that are read.
    """
    if isinstance(experiment, ImageTasks):
        return hash_tensors(getattr(experiment.data, name) for name in TENSORS)
    if isinstance(experiment, SceneTasks):
        parts = [_scenes_and_indices(part) for part in (experiment.train, *experiment.splits.values())]
        files = [
            scenes.folder / part / f"{index}.npy"
            for scenes, indices in parts
            for index in indices
            for part in PARTS
        ]
        return hash_files(files, parts[0][0].folder.parent)
    return None


def _scenes_and_indices(dataset: Dataset) -> tuple[Scenes, Any]:
    if isinstance(dataset, Subset):
        return cast(Scenes, dataset.dataset), dataset.indices
    scenes = cast(Scenes, dataset)
    return scenes, range(len(scenes))
