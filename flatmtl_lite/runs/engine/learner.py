"""One network with its optimizer: what a training step changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...aggregation.base import Drawing
from ...micro_batch import MicroBatch
from ...optim import FlatMTL
from ...passes import run_passes
from ...perturbation import Perturbation, StateGuard
from ...state import replayed
from .config import OPTIMIZERS, SCHEDULES, Config
from .methods import parse_method
from .model import MultiTaskNet

Passes = list[tuple[Callable, list[Callable]]]  # features and losses of each micro-batch


@dataclass
class Learner:
    """A network with the step that trains it: the whole model, or the twin of one task.

    Attributes:
        net: the network.
        tasks: numbers of the tasks that it learns.
        step: the training step.
        schedule: schedule of the learning rate.
    """

    net: MultiTaskNet
    tasks: list[int]
    step: FlatMTL
    schedule: torch.optim.lr_scheduler.LRScheduler

    def gramian(self, passes: Passes, config: Config) -> Tensor:
        """Return the Gramian of the task gradients for a step that does not need them; leaves no trace."""
        radius = Perturbation(config.measure_rho, adaptive=config.adaptive, norm=config.norm)

        def measure() -> Tensor:
            with StateGuard(), StateGuard() as state:  # the outer guard puts back what the clean pass leaves
                batches = [MicroBatch(*closures, state) for closures in passes]
                return run_passes(batches, self.step.trunk_and_heads, radius, self.step.average).gramian

        return replayed(measure)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of optimizer, schedule and step; the weights are the model's."""
        return {
            "optimizer": self.step.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back the state that :meth:`state_dict` returned."""
        self.step.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step.load_state_dict(state["step"])


def make_learner(net: MultiTaskNet, tasks: list[int], config: Config, steps: int, group: Any) -> Learner:
    """Give a network the optimizer, the schedule and the step of a configuration.

    Args:
        net: the network.
        tasks: numbers of the tasks that it learns.
        config: the settings of the run.
        steps: number of steps of the whole run.
        group: the torch.distributed group of the run, or None.
    """
    method = parse_method(config.method)
    aggregate = method.make_aggregator(len(tasks))
    if isinstance(aggregate, Drawing):
        aggregate.generator.manual_seed(config.seed)
    groups: list[dict[str, Any]] = [
        {"params": list(net.parameters()), "weight_decay": config.weight_decay},
        {"params": list(aggregate.parameters())},
    ]
    optimizer = OPTIMIZERS[config.optimizer](groups, config)
    step = FlatMTL(
        optimizer,
        shared=net.shared_parameters(),
        heads=net.head_parameters(),
        aggregate=aggregate,
        rho=config.rho,
        combine=method.combine,
        perturb=method.perturb,
        adaptive=config.adaptive,
        norm=config.norm,
        process_group=group,
    )
    return Learner(net, tasks, step, SCHEDULES[config.schedule](optimizer, steps))
