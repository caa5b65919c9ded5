"""Train one network by one method, and record what happens on the way."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..aggregation import GramianAggregator
from ..decomposition import decompose
from ..diagnostics import rule_cosine
from ..optim import FlatMTL, Report
from ..perturbation import StateGuard
from .evaluation import accuracy, task_closures, task_sharpness
from .methods import parse_method
from .multimnist import MultiTaskData
from .networks import MultiTaskNet, mlp


@dataclass(frozen=True)
class Config:
    """One training run: SGD with momentum, the learning rate falling to 0 along a cosine.

    An aggregator's own parameters are trained with the network's, without weight decay.

    Attributes:
        method: see :func:`~flatmtl_lite.runs.methods.parse_method`.
        rho: radius of the perturbation, one norm over trunk and head; unused by methods without SAM.
        epochs, batch_size: passes over the training set; images a step (an incomplete last one is dropped).
        lr, momentum, weight_decay: of SGD.
        seed: of the weights and of the order of the images (the data has its own).
        measure_every: epochs between evaluations; also steps between measurements that cost extra.
        measure_rho: radius at which a method that takes no task gradients has its flat parts measured;
            0: only its loss parts are.
    """

    method: str = "f-cagrad"
    rho: float = 0.14
    epochs: int = 40
    batch_size: int = 64
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    measure_every: int = 4
    measure_rho: float = 0.0

    def __post_init__(self):
        parse_method(self.method)
        for name in ("epochs", "batch_size", "measure_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Got {name}={getattr(self, name)}; expected at least 1.")
        for name in ("lr", "momentum", "weight_decay", "rho", "measure_rho"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"Got {name}={value}; expected a finite number >= 0.")


@dataclass
class Run:
    """A finished run: its network and what was recorded.

    Attributes:
        config: what was run.
        model: the trained network.
        epochs: one entry an evaluation: ``epoch``, and per task ``train``, ``clean`` (training images,
            labels without noise), ``val`` and ``test`` accuracy in per cent.
        steps: one entry a measured step: ``epoch`` (a fraction), ``loss`` (cosines between the loss
            gradients of each pair of tasks), and, where flat gradients were taken, ``flat`` (the same
            for them), ``intra`` (cosine of each task's loss gradient with its own flat one) and, now and
            then, ``same`` (cosine of the decomposed update with the direct one; only where the aggregator
            is a weighting of the Gramian).
        sharpness: per task the ten-step rise of the training loss within radius 0.05.
        seconds: wall time of training, evaluations included.
    """

    config: Config
    model: MultiTaskNet
    epochs: list[dict] = field(default_factory=list)
    steps: list[dict] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(
    data: MultiTaskData,
    config: Config,
    network: Callable[[Sequence[int]], MultiTaskNet] = mlp,
    on_epoch: Callable[[Run, float], None] = lambda run, share: None,
) -> Run:
    """Train a network on images with a label per task.

    Args:
        data: images and labels.
        config: method and settings.
        network: makes the network from the numbers of classes, ``data.classes``; called with the seed set.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.

    Raises:
        ValueError: fewer training images than one batch, or not one head per task.
    """
    steps = len(data.train_images) // config.batch_size
    if steps == 0:
        raise ValueError(
            f"Got {len(data.train_images)} training images for batch_size={config.batch_size}; expected "
            "at least one batch. Take a smaller batch_size."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = network(data.classes)
    if len(model.heads) != len(data.classes):
        raise ValueError(
            f"Got a network of {len(model.heads)} heads for {len(data.classes)} tasks "
            f"({', '.join(data.task_names)}); expected a head per task. Make one for each of the classes "
            "that `network` is called with, as mlp does."
        )
    run = Run(config, model)
    method = parse_method(config.method)
    aggregate = method.make_aggregator(tasks=len(model.heads))
    groups = [
        {"params": list(model.parameters()), "weight_decay": config.weight_decay},
        {"params": list(aggregate.parameters())},
    ]
    optimizer = torch.optim.SGD(groups, config.lr, momentum=config.momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * steps)
    step = FlatMTL(
        optimizer,
        shared=model.trunk.parameters(),
        heads=[head.parameters() for head in model.heads],
        aggregate=aggregate,
        rho=config.rho,
        combine=method.combine,
        perturb=method.perturb,
        norm="together",
    )
    every = config.measure_every
    order = torch.Generator().manual_seed(config.seed)
    start = time.perf_counter()
    for epoch in range(1, config.epochs + 1):
        shuffled = torch.randperm(len(data.train_images), generator=order)
        for k, batch in enumerate(shuffled[: steps * config.batch_size].split(config.batch_size)):
            task = task_closures(model, data.train_images[batch], data.train_labels[batch])
            measured = None
            if not step.needs_task_gradients and k % every == 0:
                measured = _task_gramian(step, config.measure_rho, *task)
            report = step(*task)
            measured = report.gramian if measured is None else measured
            if measured is not None:
                run.steps.append({"epoch": epoch - 1 + k / steps, **_angles(measured, step, k % every == 0)})
            schedule.step()
        if epoch % every == 0 or epoch in (1, config.epochs):
            run.epochs.append({"epoch": epoch, **_accuracies(model, data)})
        run.seconds = time.perf_counter() - start
        on_epoch(run, epoch / config.epochs)
    run.sharpness = task_sharpness(model, data.train_images, data.train_labels)
    return run


def _task_gramian(step: FlatMTL, rho: float, features: Callable, losses: list[Callable]) -> Tensor:
    """Inner products of the task gradients at a step that needs none of them; leaves no trace."""
    split = step.split
    with StateGuard():
        return decompose(features, losses, split.shared, split.heads, rho, norm="together").gramian


def _angles(gramian: Tensor, step: FlatMTL, compare_rules: bool) -> dict:
    seen = Report(None, gramian=gramian)
    upper = torch.triu_indices(*seen.cosines.shape, offset=1).unbind()
    angles = {"loss": seen.cosines[upper].tolist()}
    if bool(seen.flat_norms.any()):
        angles["flat"] = seen.flat_cosines[upper].tolist()
        angles["intra"] = seen.intra_cosines.tolist()
        if compare_rules and isinstance(step.aggregate, GramianAggregator):
            angles["same"] = rule_cosine(gramian, step.aggregate, "decomposed", "direct")
    return angles


def _accuracies(model: MultiTaskNet, data: MultiTaskData) -> dict[str, list[float]]:
    return {
        "train": accuracy(model, data.train_images, data.train_labels),
        "clean": accuracy(model, data.train_images, data.train_clean_labels),
        "val": accuracy(model, data.val_images, data.val_labels),
        "test": accuracy(model, data.test_images, data.test_labels),
    }
