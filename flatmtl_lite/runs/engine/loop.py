"""Train a run to its end: checkpoints on the way, a progress bar, and a stop at a checkpoint."""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from torch import Tensor
from tqdm import tqdm

from .folder import RunFolder
from .run import Run
from .stopping import Stopped, stop_requests
from .trainer import Trainer

AGREE_SECONDS = 1.0  # seconds after which several processes agree whether to save or to stop
SPLITS = {"val": "validation", "test": "test"}
OnEpoch = Callable[[Run, float], None]


@dataclass
class Loop:
    """Training to the end in a folder.

    Attributes:
        trainer: the run to train.
        folder: the folder for log and checkpoints; only the first process writes.
        checkpoint_seconds: seconds between checkpoints.
        progress: whether to show a bar and one line per evaluation.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.
    """

    trainer: Trainer
    folder: RunFolder
    checkpoint_seconds: float
    progress: bool
    on_epoch: OnEpoch
    _stop_numbers: list[int] = field(init=False, default_factory=list)

    def run(self) -> None:
        """Train; save at intervals, at the end, and before a stop.

        Raises:
            Stopped: a signal asked to stop; the checkpoint is written.
        """
        with stop_requests() as self._stop_numbers:
            self._train()
            self._save()
            self._stop_if_asked(self.trainer.processes.broadcast(self._stop_numbers[:1]))

    def _train(self) -> None:
        trainer, processes = self.trainer, self.trainer.processes
        last_save = last_agreement = time.monotonic()
        interval = 1  # steps until all processes agree again whether to save or to stop
        with closing(_Progress(trainer, self.progress and processes.is_first)) as progress:
            for losses in trainer.advance():
                if losses is None:
                    self._after_epoch(progress)
                    continue
                progress.show_step(losses)
                if trainer.steps_done % interval:
                    continue
                now = time.monotonic()
                due = now - last_save >= self.checkpoint_seconds
                steps = self._steps_per_agreement(max(now - last_agreement, 1e-3) / interval)
                numbers, due, interval = processes.broadcast((self._stop_numbers[:1], due, steps))
                last_agreement = now
                if numbers or due:
                    self._save()
                    last_save = time.monotonic()
                self._stop_if_asked(numbers)

    def _steps_per_agreement(self, seconds_per_step: float) -> int:
        if self.trainer.processes.count == 1:
            return 1
        return min(max(round(AGREE_SECONDS / seconds_per_step), 1), self.trainer.steps_per_epoch)

    def _after_epoch(self, progress: "_Progress") -> None:
        trainer = self.trainer
        if trainer.processes.is_first:
            self.folder.write_log(trainer.run.log)
        progress.show_epoch(trainer.run)
        self.on_epoch(trainer.run, trainer.epochs_done / trainer.config.epochs)

    def _save(self) -> None:
        state = self.trainer.state_dict()  # every process takes part
        if self.trainer.processes.is_first:
            self.folder.save(state, self.trainer.run.log)

    def _stop_if_asked(self, numbers: list[int]) -> None:
        if numbers:
            trainer = self.trainer
            steps = trainer.config.epochs * trainer.steps_per_epoch
            note = trainer.processes.run_on_first(self.folder.checkpoint_note)
            raise Stopped(
                numbers[0], f"Stopped after step {trainer.steps_done} of {steps}; go on with --resume. {note}"
            )


class _Progress:
    """A progress bar with the mean loss, read once a second, and one line per evaluation."""

    def __init__(self, trainer: Trainer, is_shown: bool):
        steps = trainer.config.epochs * trainer.steps_per_epoch
        self._bar = tqdm(
            total=steps, initial=trainer.steps_done, unit="step", disable=not is_shown, smoothing=0.1
        )
        self._loss_time = time.monotonic()

    def show_step(self, losses: Tensor) -> None:
        self._bar.update()
        now = time.monotonic()
        if not self._bar.disable and now - self._loss_time > 1:  # to read a loss waits for the device
            self._bar.set_postfix_str(f"loss {losses.mean().item():.3f}", refresh=False)
            self._loss_time = now

    def show_epoch(self, run: Run) -> None:
        """Write a line if the epoch that has just ended was evaluated."""
        epoch = run.entries("epoch")[-1]["epoch"]
        for entry in run.entries("evaluation")[-1:]:
            if entry["epoch"] == epoch and not self._bar.disable:
                score = entry["score"]
                scores = ", ".join(f"{SPLITS[split]} {value:.2f}" for split, value in score.items())
                line = f"epoch {epoch} of {run.config.epochs}: {scores}, {run.seconds:.0f} s"
                self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()
