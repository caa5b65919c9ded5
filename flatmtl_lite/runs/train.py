"""Train a network on images in memory, as the notebooks do; nothing is written."""

from collections.abc import Callable, Sequence

from .data.multimnist import MultiTaskData
from .engine.backend import numerics
from .engine.config import Config
from .engine.model import MultiTaskNet
from .engine.run import Run
from .engine.trainer import Trainer
from .experiments.images import ImageTasks
from .measures.evaluation import task_sharpness
from .networks.images import mlp


def train(
    data: MultiTaskData,
    config: Config,
    network: Callable[[Sequence[int]], MultiTaskNet] = mlp,
    on_epoch: Callable[[Run, float], None] = lambda run, share: None,
    *,
    with_sharpness: bool = True,
) -> Run:
    """Train a network on images with one label per task, in memory; nothing is written.

    Args:
        data: images and labels.
        config: method and settings.
        network: makes the network from the numbers of classes, ``data.classes``; called with the seed set.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.
        with_sharpness: whether the sharpness of the trained network is measured, which takes time.

    Raises:
        ValueError: there are fewer training images than one batch, or the network does not have one head per
            task.
        TrainingDiverged: a gradient holds NaN or infinity.
    """
    trainer = Trainer(ImageTasks(data, network), config)
    run = trainer.run
    with numerics(config.tf32, config.deterministic):
        for losses in trainer.advance():
            if losses is None:
                on_epoch(run, trainer.epochs_done / config.epochs)
        if with_sharpness:
            run.sharpness = task_sharpness(run.model, data.train_images, data.train_labels)
    return run
