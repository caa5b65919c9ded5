"""Train a network on images in memory, as the notebooks do."""

from collections.abc import Callable, Sequence

from .data.multimnist import MultiTaskData
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
) -> Run:
    """Train a network on images with a label per task, in memory: nothing is written.

    Args:
        data: images and labels.
        config: method and settings.
        network: makes the network from the numbers of classes, ``data.classes``; called with the seed set.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.

    Raises:
        ValueError: fewer training images than one batch, or not one head per task.
        TrainingDiverged: a gradient holds NaN or infinity.
    """
    trainer = Trainer(ImageTasks(data, network), config)
    for losses in trainer.advance():
        if losses is None:
            on_epoch(trainer.record, trainer.epoch / config.epochs)
    run = trainer.record
    run.sharpness = task_sharpness(run.model, data.train_images, data.train_labels)
    return run
