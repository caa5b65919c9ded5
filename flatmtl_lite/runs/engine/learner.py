"""One network with its optimizer: what a training step changes."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...aggregation.base import Drawing
from ...micro_batch import MicroBatch
from ...optim import FlatMTL
from ...passes import Passes as StepPasses
from ...perturbation import SAMO, Perturbation, Polar
from ...state import StateGuard, replayed
from .config import OPTIMIZERS, SCHEDULES, Config
from .methods import parse_method
from .model import MultiTaskNet

Passes = list[Any]  # of each micro-batch features and losses, and its size if sizes differ


@dataclass
class Learner:
    """A network with the step that trains it: the whole model, or the twin of one task.

    Attributes:
        net: the network.
        tasks: numbers of the tasks that it learns.
        step: the training step.
        schedule: schedule of the learning rate.
        perturbation: the step's perturbation in the epochs that perturb.
    """

    net: MultiTaskNet
    tasks: list[int]
    step: FlatMTL
    schedule: torch.optim.lr_scheduler.LRScheduler
    perturbation: Perturbation

    def perturb(self, on: bool) -> None:
        """Give the step its perturbation, or one of radius 0."""
        zero = replace(self.perturbation, rho=0.0, rho_heads=None)
        self.step.perturbation = self.perturbation if on else zero

    def gramian(self, passes: Passes, config: Config) -> Tensor:
        """Return the Gramian of the task gradients for a step that does not need them; leaves no trace."""
        radius = Perturbation(config.measure_rho, adaptive=config.adaptive, norm=config.norm)

        def measure() -> Tensor:
            with StateGuard(), StateGuard() as state:  # the outer guard puts back what the clean pass leaves
                batches = [MicroBatch(features, losses, state, *size) for features, losses, *size in passes]
                return StepPasses(batches, self.step.trunk_and_heads, radius, self.step.average).run().gramian

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
    aggregate = method.make_aggregator(len(tasks), config.task_weights)
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
        perturb=_choices(config).get(method.perturb, method.perturb),
        adaptive=config.adaptive,
        norm=config.norm,
        process_group=group,
        flat_every=config.flat_every,
        flat_tasks=config.flat_tasks,
        flat_batch=config.flat_batch,
        noise=config.noise if method.noisy else 0.0,
        seed=config.seed,
    )
    schedule = SCHEDULES[config.schedule](optimizer, steps)
    return Learner(net, tasks, step, schedule, step.perturbation)


def _choices(config: Config) -> dict[str, SAMO | Polar]:
    """Return the ways to choose ε that are no names in the core."""
    samo = SAMO(config.alpha, config.mu, config.local, config.one_draw, config.evaluate_forwards)
    return {"samo": samo, "gsam": replace(samo, alpha=1.0), "polar": Polar()}
