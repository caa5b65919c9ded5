"""The settings of a training run: method, optimizer, length, and how often something is measured."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...aggregation import Constant
from ...cheaper import Cheaper
from ...names import check_name
from ...perturbation import DEFAULT_NORM, DEFAULT_RHO, SAMO
from .methods import parse_method
from .options import check_types, explain_fields, option

OPTIMIZERS: dict[str, Callable[[list[dict], "Config"], Optimizer]] = {
    "sgd": lambda groups, config: torch.optim.SGD(groups, config.lr, momentum=config.momentum),
    "adam": lambda groups, config: torch.optim.Adam(groups, config.lr),
}
# from an optimizer and the number of steps of the run to a schedule of the learning rate
SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "cosine": lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
    "halve": lambda optimizer, steps: torch.optim.lr_scheduler.StepLR(optimizer, max(steps // 2, 1), 0.5),
    "constant": lambda optimizer, steps: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
}
NORMS = ("together", "separate")
RADII = ("rho", "measure_rho")
FREE_OPTIONS = ("workers",)  # they change no bit of a run, so a run may go on with other values


@explain_fields
@dataclass(frozen=True)
class Config:
    """The settings of one training run.

    If an aggregator has parameters of its own, they are trained with the network's, without weight decay.

    Raises:
        ValueError: a value has another type or is out of its range; the message names it.
    """

    method: str = option(
        "f-cagrad", "name of the method, such as mean, f-cagrad, direct-mgda, sam-mean, stl."
    )
    weights: str = option("", 'constant: fixed weights of the tasks, such as "0.7,0.3"; "": equal.')
    rho: float = option(DEFAULT_RHO, "radius of the perturbation; methods without SAM do not use it.")
    adaptive: bool = option(False, "whether to perturb by adaptive SAM.")
    norm: str = option(
        DEFAULT_NORM, '"separate": trunk and head each have their own norm; "together": one norm over both.'
    )
    alpha: float = option(0.5, "samo: weight of the global part of ε, 0..1.")
    mu: float = option(0.01, "samo: distance of the two forward passes.")
    local: str = option("forward", 'samo: the local part of ε: "forward", "coin" or "exact".')
    one_draw: bool = option(False, "samo: whether one pair of forward passes serves all tasks.")
    evaluate_forwards: bool = option(False, "samo: whether these forward passes run in evaluation mode.")
    noise: float = option(1e-4, "sage and noise: size of the noise on the gradients.")
    flat_every: int = option(
        1, "steps between two computations of the flat parts, which are reused meanwhile."
    )
    flat_tasks: float = option(1.0, "share of the tasks whose flat part is computed at such a step, 0..1.")
    flat_batch: float = option(1.0, "share of the batch for the perturbed pass, 0..1.")
    sam_share: float = option(1.0, "share of the epochs, the last ones, that perturb; before, ρ is 0.")
    epochs: int = option(40, "passes over the training set.")
    batch_size: int = option(64, "images per step; the incomplete last batch of an epoch is dropped.")
    micro_batches: int = option(1, "parts in which a batch is computed, one after another, to save memory.")
    optimizer: str = option("sgd", '"sgd" or "adam".')
    lr: float = option(0.05, "learning rate at the start.")
    momentum: float = option(0.9, "momentum of SGD.")
    weight_decay: float = option(0.0, "L2 penalty on the network's weights.")
    schedule: str = option(
        "cosine", 'learning rate over time: "cosine" to 0, "halve" after half of the steps, or "constant".'
    )
    seed: int = option(
        0, "seed of the weights, the order of the images, random aggregators and the experiment's data."
    )
    evaluate_every: int = option(
        4, "epochs between evaluations; the first and the last epoch are always evaluated."
    )
    measure_every: int = option(
        4,
        "steps between measurements that cost extra: for methods that need no task gradients about 1.4 "
        "steps each.",
    )
    measure_rho: float = option(
        0.0,
        "radius at which the flat parts are measured for a method that takes no task gradients; 0: only the "
        "loss parts are measured.",
    )
    log_every: int = option(
        1, 'steps between log entries of kind "step"; shares and histograms count every measured step.'
    )
    snapshot_every: int = option(
        0, "epochs between snapshots of angles and sharpness over many radii; 0: none."
    )
    tf32: bool = option(
        False, "whether a GPU may round the factors of products to ten bits (TF32), which is faster."
    )
    deterministic: bool = option(
        False, "whether a GPU must use kernels that repeat to the bit, which are slower."
    )
    channels_last: bool = option(
        True, "whether images and convolutions lie in memory with the channels last."
    )
    workers: int = option(
        -1,
        "processes that load scenes; 0: one thread; -1: up to four on a GPU, and one thread on a CPU. The "
        "batches are the same, and a run may go on with another number.",
    )

    @property
    def task_weights(self) -> list[float]:
        """The numbers in ``weights``.

        Raises:
            ValueError: they are not numbers that Constant takes.
        """
        if not self.weights:
            return []
        try:
            weights = [float(number) for number in self.weights.split(",")]
        except ValueError as error:
            raise ValueError(
                f'Got weights={self.weights!r}; expected one number per task, such as "0.7,0.3".'
            ) from error
        Constant(weights)
        return weights

    def __post_init__(self) -> None:
        check_types(self)
        is_constant = parse_method(self.method).aggregator == "constant"
        if self.task_weights and not is_constant:
            raise ValueError(
                f"Got weights={self.weights!r} for method {self.method!r}; expected them with the aggregator "
                "constant alone, such as constant or f-constant."
            )
        for name in ("epochs", "batch_size", "micro_batches", "evaluate_every", "measure_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Got {name}={getattr(self, name)}; expected at least 1.")
        for name in (
            "lr",
            "momentum",
            "weight_decay",
            "rho",
            "measure_rho",
            "noise",
            "seed",
            "snapshot_every",
        ):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"Got {name}={value}; expected a finite number >= 0.")
        if self.workers < -1:
            raise ValueError(f"Got workers={self.workers}; expected a number >= 0, or -1 to choose one.")
        if self.seed >= 2**63:
            raise ValueError(f"Got seed={self.seed}; expected less than 2**63, the limit of torch.")
        SAMO(self.alpha, self.mu, self.local)
        Cheaper(self.flat_every, self.flat_tasks, self.flat_batch)
        if not 0 < self.sam_share <= 1:
            raise ValueError(f"Got sam_share={self.sam_share}; expected a share of the epochs in (0, 1].")
        if self.flat_batch * self.batch_size < 1:
            raise ValueError(
                f"Got flat_batch={self.flat_batch} of batch_size={self.batch_size}, less than one item; "
                f"expected at least {1 / self.batch_size:.3g}."
            )
        check_name("optimizer", self.optimizer, OPTIMIZERS)
        check_name("schedule", self.schedule, SCHEDULES)
        check_name("norm", self.norm, NORMS)
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"Got batch_size={self.batch_size} in micro_batches={self.micro_batches} parts; expected "
                "parts of equal size. Take a divisor of the batch size."
            )
