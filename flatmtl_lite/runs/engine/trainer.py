"""Train one network by one method: the loop, and everything that it holds between two steps."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...aggregation import GramianAggregator, NonFiniteGradient
from ...aggregation.base import Drawing
from ...decomposition import run_passes
from ...diagnostics import cosines_of_gramian, rule_cosine
from ...gradients import MicroBatch
from ...optim import FlatMTL
from ...perturbation import Perturbation, StateGuard
from .config import OPTIMIZERS, SCHEDULES, Config
from .experiment import Experiment
from .methods import parse_method
from .model import parts
from .processes import Processes
from .rounding import rounded
from .run import Run

BINS = 20  # of a histogram of cosines, -1..1


class TrainingDiverged(ArithmeticError):
    """A gradient was no number any more; the message names step and task."""


@dataclass
class Learner:
    """A network that a step trains: the whole model, or the twin of one task."""

    net: nn.Module
    tasks: list[int]
    step: FlatMTL
    schedule: torch.optim.lr_scheduler.LRScheduler


class Trainer:
    """A run, step by step. :meth:`advance` trains; :meth:`state_dict` is all that it needs to go on later.

    The log has, besides what the experiment measures, two kinds of entries:

    * "step": ``epoch`` (a fraction), ``loss`` (cosines between the loss gradients of each pair of tasks),
      ``norms``, and, where flat gradients were taken, ``flat`` (the same for them), ``intra`` (cosine of
      each task's loss gradient with its own flat one), ``flat_norms``, and now and then ``same`` (cosine of
      the decomposed update with the direct one; only where the aggregator is a weighting of the Gramian,
      and with its memory, if it has one, of the end of the epoch);
    * "epoch": ``losses``, means over the epoch; shares of negative cosines (``conflict``) and their
      ``histograms``.

    All random numbers of a run are its own: torch's default generators are its seed's while it runs, and
    afterwards as before.

    Args:
        experiment: data and tasks.
        config: method and settings.
        processes: by whom; each process takes its share of every batch.

    Raises:
        ValueError: fewer training items than one batch, or a batch that cannot be shared equally.
    """

    def __init__(self, experiment: Experiment, config: Config, processes: Processes | None = None):
        self.experiment, self.config = experiment, config
        self.processes = processes = processes or Processes()
        self.steps_per_epoch = experiment.size // config.batch_size
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"Got {experiment.size} training images for batch_size={config.batch_size}; expected "
                "at least one batch. Take a smaller batch_size."
            )
        pieces = processes.count * config.micro_batches
        if config.batch_size % pieces:
            raise ValueError(
                f"Got batch_size={config.batch_size} for {processes.count} processes of "
                f"{config.micro_batches} micro-batches; expected a multiple of {pieces}."
            )
        method = parse_method(config.method)
        with self._own_generators():
            torch.manual_seed(config.seed)
            self.model = experiment.network(method.single_task).to(processes.device)
            torch.manual_seed(config.seed + processes.rank)  # dropout differs from process to process
            self._generators = processes.generators()
        self.learners = [self._learner(*part) for part in parts(self.model)]
        self.epoch = self.position = 0  # epochs done, and steps of the next
        self.order = torch.Generator().manual_seed(config.seed)
        self._order_before = self.order.get_state()  # as the epoch that runs began with
        self.record = Run(config, self.model)
        self._clear()

    def _learner(self, net: nn.Module, tasks: list[int]) -> Learner:
        config, method = self.config, parse_method(self.config.method)
        aggregate = method.make_aggregator(len(tasks))
        if isinstance(aggregate, Drawing):
            aggregate.generator.manual_seed(config.seed)
        groups = [
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
            process_group=self.processes.group,
        )
        return Learner(
            net, tasks, step, SCHEDULES[config.schedule](optimizer, config.epochs * self.steps_per_epoch)
        )

    def advance(self) -> Iterator[Tensor | None]:
        """Train to the end, pausing after every step with the losses (T,), and after every epoch with None.

        In a pause the state may be taken by :meth:`state_dict`, and training may be left for good.

        Raises:
            TrainingDiverged: a gradient holds NaN or infinity.
        """
        with self._own_generators():
            self.processes.set_generators(self._generators)
            while self.epoch < self.config.epochs:
                self.order.set_state(self._order_before)
                items = torch.randperm(self.experiment.size, generator=self.order)
                shares = self._shares(items[: self.steps_per_epoch * self.config.batch_size])
                start = self.position * self.config.micro_batches
                batches = self.experiment.batches(self.epoch, shares[start:])
                while self.position < self.steps_per_epoch:
                    began = time.perf_counter()
                    losses = self._step([next(batches) for _ in range(self.config.micro_batches)])
                    self.position += 1
                    self.record.seconds += time.perf_counter() - began
                    yield from self._pause(losses)
                began = time.perf_counter()
                self._end_epoch()
                self.record.seconds += time.perf_counter() - began
                yield from self._pause(None)

    def _pause(self, losses: Tensor | None) -> Iterator[Tensor | None]:
        """Whatever the caller draws meanwhile, the run goes on with its own random numbers."""
        self._generators = self.processes.generators()
        yield losses
        self.processes.set_generators(self._generators)

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on from here, the log left out. To be called by every process."""
        local = {"buffers": dict(self.model.named_buffers()), "generators": self._generators}
        return {
            "model": self.model.state_dict(),
            "learners": [
                {
                    "optimizer": learner.step.optimizer.state_dict(),
                    "schedule": learner.schedule.state_dict(),
                    "step": learner.step.state_dict(),
                }
                for learner in self.learners
            ],
            "epoch": self.epoch,
            "position": self.position,
            "order": self._order_before,
            "losses": self._losses,
            "perturbed_losses": self._perturbed_losses,
            "seen": self._seen,
            "seconds": self.record.seconds,
            "processes": self.processes.gathered(local),
        }

    def load_state_dict(self, state: dict[str, Any], log: list[dict]) -> None:
        """Go on from a state of the same run, with its log up to then."""
        self.model.load_state_dict(state["model"])
        for learner, saved in zip(self.learners, state["learners"], strict=True):
            learner.step.optimizer.load_state_dict(saved["optimizer"])
            learner.schedule.load_state_dict(saved["schedule"])
            learner.step.load_state_dict(saved["step"])
        local = state["processes"][self.processes.rank]
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(local["buffers"][name])
        self._generators = local["generators"]
        self.epoch, self.position, self._seen = state["epoch"], state["position"], state["seen"]
        self._order_before = state["order"]
        self._losses, self._perturbed_losses = (
            None if state[name] is None else state[name].to(self.processes.device)
            for name in ("losses", "perturbed_losses")
        )
        self.record.log, self.record.seconds = log, state["seconds"]

    @property
    def done(self) -> int:
        """Steps done in all."""
        return self.epoch * self.steps_per_epoch + self.position

    def _own_generators(self):
        device = self.processes.device
        return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def _shares(self, items: Tensor) -> list[Tensor]:
        """This process's share of each batch, in micro-batches."""
        share = items.view(self.steps_per_epoch, -1, self.processes.count)[..., self.processes.rank]
        return list(share.reshape(self.steps_per_epoch * self.config.micro_batches, -1))

    def _step(self, batch: list[Any]) -> Tensor:
        losses, perturbed = [], []
        for learner in self.learners:
            step = learner.step
            passes = [self.experiment.closures(learner.net, part, learner.tasks) for part in batch]
            now = self.position % self.config.measure_every == 0
            gramian = None
            try:
                if now and len(learner.tasks) > 1 and not step.needs_task_gradients:
                    gramian = self._gramian(step, passes)
                report = step.backward(passes)
            except NonFiniteGradient as error:
                raise self._diverged(error, learner) from error
            step.optimizer.step()
            learner.schedule.step()
            losses.append(report.losses)
            if report.perturbed_losses is not None:
                perturbed.append(report.perturbed_losses)
            if step.needs_task_gradients:  # else also a batch in parts would show more than one step in many
                gramian = report.gramian
            if gramian is not None and len(learner.tasks) > 1:
                self._seen.append((self.position, gramian))
        losses = torch.cat(losses)
        self._losses = _sum(self._losses, losses)
        if perturbed:
            self._perturbed_losses = _sum(self._perturbed_losses, torch.cat(perturbed))
        return losses

    def _gramian(self, step: FlatMTL, passes: list[tuple]) -> Tensor:
        """Inner products of the task gradients at a step that needs none of them; leaves no trace."""
        radius = Perturbation(self.config.measure_rho, adaptive=self.config.adaptive, norm=self.config.norm)
        whole = [MicroBatch(*one) for one in passes]
        with StateGuard(), StateGuard() as state:  # the outer one puts back what the clean pass leaves
            return run_passes(state, whole, step.trunk_and_heads, radius, average=step.average).gramian

    def _diverged(self, error: NonFiniteGradient, learner: Learner) -> TrainingDiverged:
        names = ", ".join(self.experiment.task_names[learner.tasks[t]] for t in error.tasks)
        return self._broke_down(f"the loss or gradient of {names} is NaN or infinite")

    def _broke_down(self, how: str) -> TrainingDiverged:
        config = self.config
        radius = f" or rho (now {config.rho})" if parse_method(config.method).uses_rho else ""
        return TrainingDiverged(
            f"Training broke down at step {self.done + 1} (epoch {self.epoch + 1}): {how}. Begin again in a "
            f"new folder with a smaller lr (now {config.lr}){radius}."
        )

    def _end_epoch(self) -> None:
        config, done = self.config, self.epoch + 1
        seen = self._measured()
        self.record.log += [entry for entry in seen if entry["step"] % config.log_every == 0]
        self.record.log.append(self._summary(seen))
        self._clear()
        self.processes.average_buffers(self.model)
        for kind, every, measure in (
            ("evaluation", config.evaluate_every, self.experiment.evaluate),
            ("snapshot", config.snapshot_every, self.experiment.snapshot),
        ):
            due = every and (done % every == 0 or done in (1, config.epochs))
            if due and self.processes.is_first:
                self.record.log.append({"kind": kind, "epoch": done, **self._judged(measure)})
        self.epoch, self.position = done, 0
        self._order_before = self.order.get_state()

    def _judged(self, measure: Callable[[nn.Module], dict]) -> dict:
        try:
            if all(bool(p.isfinite().all()) for p in self.model.parameters()):
                return measure(self.model)
        except ValueError as error:  # metrics refuse NaN
            raise self._broke_down(f"the network cannot be judged: {error}") from error
        raise self._broke_down("weights are NaN or infinite")

    def _measured(self) -> list[dict]:
        """Entries of kind "step" of this epoch."""
        entries = []
        for position, gramian in self._seen:
            aggregate = self.learners[0].step.aggregate
            T, M = len(gramian) // 2, gramian.double()
            cosine, norms = cosines_of_gramian(M), M.diagonal().clamp_min(0).sqrt()
            pairs = torch.triu_indices(T, T, offset=1).unbind()
            found = {"loss": cosine[:T, :T][pairs], "norms": norms[:T]}
            if bool(norms[T:].any()):
                found |= {
                    "flat": cosine[T:, T:][pairs],
                    "intra": cosine[:T, T:].diagonal(),
                    "flat_norms": norms[T:],
                }
                if position % self.config.measure_every == 0 and isinstance(aggregate, GramianAggregator):
                    found["same"] = torch.tensor(rule_cosine(gramian, aggregate, "decomposed", "direct"))
            place = {
                "step": self.epoch * self.steps_per_epoch + position,
                "epoch": self.epoch + position / self.steps_per_epoch,
            }
            entries.append({"kind": "step", **place} | {key: rounded(v, 6) for key, v in found.items()})
        return entries

    def _summary(self, seen: list[dict]) -> dict:
        """The entry of kind "epoch", from the measured steps of this epoch."""
        entry = {"kind": "epoch", "epoch": self.epoch + 1, "step": self.done}
        entry["lr"] = self.learners[0].step.optimizer.param_groups[0]["lr"]
        entry["losses"] = rounded(self._losses / self.steps_per_epoch, 6)
        if self._perturbed_losses is not None:
            entry["perturbed_losses"] = rounded(self._perturbed_losses / self.steps_per_epoch, 6)
        conflict, histograms = {}, {}
        for part in ("loss", "flat", "intra"):
            cosines = torch.tensor([c for step in seen if part in step for c in step[part]])
            if len(cosines):
                conflict[part] = rounded((cosines < 0).double().mean(), 6)
                histograms[part] = cosines.histc(BINS, -1, 1).long().tolist()
        same = [step["same"] for step in seen if "same" in step]
        if conflict:
            entry |= {"conflict": conflict, "histograms": histograms}
        if same:
            entry["same"] = round(statistics.mean(same), 6)
        return entry | {"seconds": round(self.record.seconds, 3)}

    def _clear(self) -> None:
        self._losses = self._perturbed_losses = None  # sums over the epoch
        self._seen: list[tuple[int, Tensor]] = []


def _sum(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
