"""Train one network by one method, step by step: the loop and everything that it holds between two steps."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...aggregation import NonFiniteGradient
from .config import Config
from .epoch_log import EpochLog
from .experiment import Experiment, NonFiniteOutput
from .learner import Learner, Passes, make_learner
from .loading import loader_processes
from .methods import parse_method
from .model import parts
from .processes import Processes
from .run import Run


class TrainingDiverged(ArithmeticError):
    """A gradient or a weight is NaN or infinite; the message names step and task."""


class Trainer:
    """A run that is trained step by step.

    :meth:`advance` trains. :meth:`state_dict` returns all that the run needs to go on later. The run's log
    holds the experiment's measures and the entries of :class:`~flatmtl_lite.runs.engine.epoch_log.EpochLog`.

    The run draws its random numbers from states of its own: torch's default generators have the states of the
    run while it trains, and their earlier states afterwards.

    Args:
        experiment: data and tasks.
        config: method and settings.
        processes: the processes that train together; each takes its share of every batch.

    Attributes:
        model: the network, or the single-task twins.
        learners: what is trained separately: the model, or each twin.
        run: the run with its log so far.
        steps_per_epoch: number of steps of an epoch.
        epochs_done: number of finished epochs.
        steps_in_epoch: number of finished steps of the epoch that is trained now.

    Raises:
        ValueError: there are fewer training items than one batch, or a batch cannot be shared equally.
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
        experiment.workers = loader_processes(config.workers, processes.device)
        experiment.channels_last = config.channels_last
        shares = processes.count * config.micro_batches
        if config.batch_size % shares:
            raise ValueError(
                f"Got batch_size={config.batch_size} for {processes.count} processes of "
                f"{config.micro_batches} micro-batches; expected a multiple of {shares}."
            )
        with self._restored_generators():
            torch.manual_seed(config.seed)
            single_task = parse_method(config.method).single_task
            self.model = experiment.network(single_task).to(processes.device)
            if not config.channels_last:
                self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            torch.manual_seed(config.seed + processes.rank)  # dropout differs from process to process
            self._generator_states = processes.generator_states()
        share = config.batch_size // processes.count
        first = math.floor(share * config.flat_batch) if config.flat_batch < 1 else 0
        rest = torch.arange(share - first).tensor_split(config.micro_batches)
        self._sizes = [size for size in (first, *map(len, rest)) if size]  # of the micro-batches of a step
        steps = config.epochs * self.steps_per_epoch
        self.learners = [make_learner(*part, config, steps, processes.group) for part in parts(self.model)]
        self.epochs_done = self.steps_in_epoch = 0
        self._order_generator = torch.Generator().manual_seed(config.seed)
        self._order_state = self._order_generator.get_state()  # at the beginning of the epoch
        self._epoch_log = EpochLog()
        self.run = Run(config, self.model)

    @property
    def steps_done(self) -> int:
        """Number of finished steps of the whole run."""
        return self.epochs_done * self.steps_per_epoch + self.steps_in_epoch

    def advance(self) -> Iterator[Tensor | None]:
        """Train to the end; pause after every step with the losses (T,), and after every epoch with None.

        During a pause the caller may take the state by :meth:`state_dict`, or stop for good.

        Raises:
            TrainingDiverged: a gradient or a weight is NaN or infinite.
        """
        with self._restored_generators():
            self.processes.set_generators(self._generator_states)
            while self.epochs_done < self.config.epochs:
                self._order_generator.set_state(self._order_state)
                batches = self._batches_from_here()
                try:
                    while self.steps_in_epoch < self.steps_per_epoch:
                        start = time.perf_counter()
                        losses = self._step([next(batches) for _ in self._sizes])
                        self.steps_in_epoch += 1
                        self.run.seconds += time.perf_counter() - start
                        yield from self._pause(losses)
                finally:
                    if isinstance(batches, Generator):  # its loaders end before an evaluation starts its own
                        batches.close()
                start = time.perf_counter()
                self._end_epoch()
                self.run.seconds += time.perf_counter() - start
                yield from self._pause(None)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the run needs to go on from here, except the log. Every process must call it."""
        local = {"buffers": dict(self.model.named_buffers()), "generators": self._generator_states}
        return {
            "model": self.model.state_dict(),
            "learners": [learner.state_dict() for learner in self.learners],
            "epoch": self.epochs_done,
            "position": self.steps_in_epoch,
            "order": self._order_state,
            **self._epoch_log.state_dict(),
            "seconds": self.run.seconds,
            "processes": self.processes.gather(local),
        }

    def load_state_dict(self, state: dict[str, Any], log: list[dict]) -> None:
        """Go on from a state of the same run and the log up to that state."""
        self.model.load_state_dict(state["model"])
        for learner, learner_state in zip(self.learners, state["learners"], strict=True):
            learner.load_state_dict(learner_state)
        local = state["processes"][self.processes.rank]
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(local["buffers"][name])
        self._generator_states = local["generators"]
        self.epochs_done, self.steps_in_epoch = state["epoch"], state["position"]
        self._order_state = state["order"]
        self._epoch_log.load_state_dict(state, self.processes.device)
        self.run.log, self.run.seconds = log, state["seconds"]

    def _restored_generators(self) -> AbstractContextManager:
        """Give torch's default generators their earlier states back at the end of the block."""
        device = self.processes.device
        return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def _pause(self, losses: Tensor | None) -> Iterator[Tensor | None]:
        """Yield, and go on with the run's own random numbers whatever the caller draws meanwhile."""
        self._generator_states = self.processes.generator_states()
        yield losses
        self.processes.set_generators(self._generator_states)

    def _batches_from_here(self) -> Iterator[Any]:
        """Yield this process's share of the batches that are left in the epoch, in micro-batches."""
        config, processes = self.config, self.processes
        items = torch.randperm(self.experiment.size, generator=self._order_generator)
        items = items[: self.steps_per_epoch * config.batch_size]
        shares = items.view(self.steps_per_epoch, -1, processes.count)[..., processes.rank]
        left = shares[self.steps_in_epoch :]
        micro_batches = [part for share in left for part in share.split(self._sizes)]
        return self.experiment.batches(self.epochs_done, micro_batches)

    def _step(self, batch: list[Any]) -> Tensor:
        """Train every learner on the micro-batches of a batch; return the losses (T,)."""
        losses, perturbed_losses = [], []
        sizes = [(size,) for size in self._sizes] if len(set(self._sizes)) > 1 else [()] * len(batch)
        first_perturbed = math.floor((1 - self.config.sam_share) * self.config.epochs + 1e-9)
        for learner in self.learners:
            learner.perturb(self.epochs_done >= first_perturbed)
            passes = [
                (*self.experiment.closures(learner.net, part, learner.tasks), *size)
                for part, size in zip(batch, sizes, strict=True)
            ]
            try:
                report, gramian = self._backward(learner, passes)
                learner.step.optimizer.step()
                learner.step.observe()
            except NonFiniteGradient as error:
                names = ", ".join(self.experiment.task_names[learner.tasks[t]] for t in error.tasks)
                raise self._diverged(f"the loss or gradient of {names} is NaN or infinite") from error
            learner.schedule.step()
            losses.append(report.losses)
            if report.perturbed_losses is not None:
                perturbed_losses.append(report.perturbed_losses)
            if gramian is not None and len(learner.tasks) > 1:
                self._epoch_log.gramians.append((self.steps_in_epoch, gramian))
        step_losses = torch.cat(losses)
        self._epoch_log.add_losses(step_losses, torch.cat(perturbed_losses) if perturbed_losses else None)
        return step_losses

    def _backward(self, learner: Learner, passes: Passes) -> tuple[Any, Tensor | None]:
        """Return the report of a backward pass and the step's Gramian, or None if it is not measured."""
        if learner.step.needs_task_gradients:
            report = learner.step.backward(passes)
            return report, report.gramian
        gramian = None
        if self.steps_in_epoch % self.config.measure_every == 0 and len(learner.tasks) > 1:
            gramian = learner.gramian(passes, self.config)
        # The report's own Gramian is not taken: a batch in parts would then show more steps than a whole one.
        return learner.step.backward(passes), gramian

    def _end_epoch(self) -> None:
        """Log the epoch, evaluate if it is time, and turn to the next epoch."""
        config, epoch = self.config, self.epochs_done + 1
        optimizer, aggregate = self.learners[0].step.optimizer, self.learners[0].step.aggregate
        steps = self._epoch_log.step_entries(
            self.epochs_done, self.steps_per_epoch, config.measure_every, aggregate
        )
        self.run.log += [entry for entry in steps if entry["step"] % config.log_every == 0]
        place = {
            "kind": "epoch",
            "epoch": epoch,
            "step": self.steps_done,
            "lr": optimizer.param_groups[0]["lr"],
        }
        values = self._epoch_log.epoch_entry(steps, self.steps_per_epoch)
        self.run.log.append({**place, **values, "seconds": round(self.run.seconds, 3)})
        self._epoch_log = EpochLog()
        self.processes.average_buffers(self.model)
        for kind, every, measure in (
            ("evaluation", config.evaluate_every, self.experiment.evaluate),
            ("snapshot", config.snapshot_every, self.experiment.snapshot),
        ):
            due = every and (epoch % every == 0 or epoch in (1, config.epochs))
            if due:
                values = self.processes.run_on_first(partial(self._measure, measure))
                self.run.log.append({"kind": kind, "epoch": epoch, **values})
        self.epochs_done, self.steps_in_epoch = epoch, 0
        self._order_state = self._order_generator.get_state()

    def _measure(self, measure: Callable[[nn.Module], dict]) -> dict:
        try:
            if all(bool(p.isfinite().all()) for p in self.model.parameters()):
                return measure(self.model)
        except (NonFiniteGradient, NonFiniteOutput) as error:
            cause = f"the network cannot be evaluated: {error}".rstrip(".")
            raise self._diverged(cause) from error
        raise self._diverged("weights are NaN or infinite")

    def _diverged(self, cause: str) -> TrainingDiverged:
        config = self.config
        radius = f" or rho (now {config.rho})" if parse_method(config.method).uses_rho else ""
        return TrainingDiverged(
            f"Training broke down at step {self.steps_done + 1} (epoch {self.epochs_done + 1}): {cause}. "
            f"Begin again in a new folder with a smaller lr (now {config.lr}){radius}."
        )
