"""The settings of a training run: method, optimizer, length, and how often what is measured."""

import math
from dataclasses import dataclass, fields
from typing import Any

import torch

from .methods import parse_method

OPTIMIZERS = {
    "sgd": lambda groups, config: torch.optim.SGD(groups, config.lr, momentum=config.momentum),
    "adam": lambda groups, config: torch.optim.Adam(groups, config.lr),
}
# makers of the schedule of an optimizer over a number of steps
SCHEDULES = {
    "cosine": lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
    "halve": lambda optimizer, steps: torch.optim.lr_scheduler.StepLR(optimizer, max(steps // 2, 1), 0.5),
    "constant": lambda optimizer, steps: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
}

TYPES = {
    bool: (bool, "True or False"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a string"),
    str | None: (str | None, "a string or None"),
}


@dataclass(frozen=True)
class Config:
    """The settings of one training run.

    An aggregator's own parameters are trained with the network's, without weight decay.

    Attributes:
        method: name of the method, such as mean, f-cagrad, direct-mgda, sam-mean, stl.
        rho: radius of the perturbation; methods without SAM do not use it.
        adaptive: whether the perturbation is that of adaptive SAM.
        norm: "together": one norm and radius over trunk and head; "separate": each has its own.
        epochs: passes over the training set.
        batch_size: images a step; the incomplete last batch of an epoch is dropped.
        micro_batches: parts that a batch is computed in, one after another, to save memory.
        optimizer: "sgd" or "adam".
        lr: learning rate at the start.
        momentum: of SGD.
        weight_decay: L2 penalty on the network's weights.
        schedule: of the learning rate: "cosine" to 0, "halve" after half of the steps, or "constant".
        seed: of the weights, of the order of the images, of random aggregators; in an experiment of the data.
        evaluate_every: epochs between evaluations; the first and the last epoch are always evaluated.
        measure_every: steps between measurements that cost extra: for methods that need no task gradients
            about 1.4 steps each.
        measure_rho: radius at which a method that takes no task gradients has its flat parts measured;
            0: only its loss parts are.
        log_every: steps between entries of kind "step" in the log; shares and histograms count them all.
        snapshot_every: epochs between snapshots of angles and sharpness over many radii; 0: none.

    Raises:
        ValueError: a value of another type or out of its range; the message names it.
    """

    method: str = "f-cagrad"
    rho: float = 0.14
    adaptive: bool = False
    norm: str = "together"
    epochs: int = 40
    batch_size: int = 64
    micro_batches: int = 1
    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    seed: int = 0
    evaluate_every: int = 4
    measure_every: int = 4
    measure_rho: float = 0.0
    log_every: int = 1
    snapshot_every: int = 0

    def __post_init__(self):
        check_types(self)
        parse_method(self.method)
        counts = ("epochs", "batch_size", "micro_batches", "evaluate_every", "measure_every", "log_every")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"Got {name}={getattr(self, name)}; expected at least 1.")
        for name in ("lr", "momentum", "weight_decay", "rho", "measure_rho", "seed", "snapshot_every"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"Got {name}={value}; expected a finite number >= 0.")
        if self.seed >= 2**63:
            raise ValueError(f"Got seed={self.seed}; expected less than 2**63, what torch can take.")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"Got {name}={getattr(self, name)!r}; expected one of {', '.join(known)}.")
        if self.norm not in ("together", "separate"):
            raise ValueError(f'Got norm={self.norm!r}; expected "together" or "separate".')
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"Got batch_size={self.batch_size} in micro_batches={self.micro_batches} parts; expected "
                "parts of equal size. Take a divisor of the batch size."
            )


def check_types(settings: Any) -> None:
    """Raise ValueError unless the fields of a dataclass hold what they declare; an int is a float, too."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        kind, words = TYPES.get(field.type, (object, ""))
        if not isinstance(value, kind) or (isinstance(value, bool) and field.type in (int, float)):
            raise ValueError(f"Got {field.name}={value!r}; expected {words}.")
