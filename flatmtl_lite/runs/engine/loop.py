"""Train a run to its end: checkpoints on the way, a progress bar, and a stop at a checkpoint."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from .background import Background
from .folder import RunFolder
from .processes import on_host
from .progress import Progress
from .run import Run
from .stopping import Stopped, stop_requests
from .trainer import Trainer

AGREE_SECONDS = 1.0  # seconds after which several processes agree whether to save or to stop
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
    _writer: Background = field(init=False, default_factory=Background)

    def run(self) -> None:
        """Train; save at intervals, at the end, and before a stop.

        A checkpoint is copied once, and written in the background. Whatever ends the block, the last one is
        written then.

        Raises:
            Stopped: a signal asked to stop; the checkpoint is written.
            RunError: a checkpoint could not be written. This is raised at the next step after the attempt.
        """
        with stop_requests() as self._stop_numbers, self._writer:
            self._train()
            self._save()
            self.trainer.processes.run_on_first(self._writer.wait)
            self._stop_if_asked(self.trainer.processes.broadcast(self._stop_numbers[:1]))

    def _train(self) -> None:
        trainer, processes = self.trainer, self.trainer.processes
        last_save = last_agreement = time.monotonic()
        interval = 1  # steps until all processes agree again whether to save or to stop
        with closing(Progress(trainer, self.progress and processes.is_first)) as progress:
            for losses in trainer.advance():
                if losses is None:
                    self._after_epoch(progress)
                    continue
                progress.show_step(losses)
                if processes.count == 1:  # several processes learn of it when they agree
                    self._writer.raise_failure()
                if trainer.steps_done % interval:
                    continue
                now = time.monotonic()
                due = now - last_save >= self.checkpoint_seconds
                steps = self._steps_per_agreement(max(now - last_agreement, 1e-3) / interval)
                numbers, due, interval = processes.run_on_first(partial(self._agreement, due, steps))
                last_agreement = now
                if numbers or due:
                    self._save()
                    last_save = time.monotonic()
                self._stop_if_asked(numbers)

    def _agreement(self, due: bool, steps: int) -> tuple[list[int], bool, int]:
        """Return what the first process decides: signals, whether to save, steps until the next time."""
        self._writer.raise_failure()
        return self._stop_numbers[:1], due, steps

    def _steps_per_agreement(self, seconds_per_step: float) -> int:
        if self.trainer.processes.count == 1:
            return 1
        return min(max(round(AGREE_SECONDS / seconds_per_step), 1), self.trainer.steps_per_epoch)

    def _after_epoch(self, progress: Progress) -> None:
        trainer = self.trainer
        trainer.processes.run_on_first(self._write_epoch)
        progress.show_epoch(trainer.run)
        self.on_epoch(trainer.run, trainer.epochs_done / trainer.config.epochs)

    def _write_epoch(self) -> None:
        self._writer.wait()  # it may write the same file
        self.folder.write_log(self.trainer.run.log)
        self.folder.keep_picked(self.trainer.model.state_dict(), self.trainer.run.log)

    def _save(self) -> None:
        trainer = self.trainer
        state = trainer.state_dict()  # every process takes part
        trainer.processes.run_on_first(
            lambda: self._writer.start(self.folder.save, on_host(state), list(trainer.run.log))
        )

    def _stop_if_asked(self, numbers: list[int]) -> None:
        if numbers:
            trainer = self.trainer
            trainer.processes.run_on_first(self._writer.wait)
            steps = trainer.config.epochs * trainer.steps_per_epoch
            note = trainer.processes.run_on_first(self.folder.checkpoint_note)
            raise Stopped(
                numbers[0], f"Stopped after step {trainer.steps_done} of {steps}; go on with --resume. {note}"
            )
