"""The progress of a run on the error output: a bar in a terminal, plain lines in a file."""

import sys
import time

from torch import Tensor
from tqdm import tqdm

from .run import Run
from .trainer import Trainer


class Progress:
    """A progress bar with the mean loss, read once a second, and one line per evaluation.

    There is no bar if the error output is not a terminal: a file would receive one line per refresh.

    Args:
        trainer: the run.
        is_shown: whether to show anything.
    """

    def __init__(self, trainer: Trainer, is_shown: bool):
        steps = trainer.config.epochs * trainer.steps_per_epoch
        no_bar = not (is_shown and sys.stderr.isatty())
        self._bar = tqdm(total=steps, initial=trainer.steps_done, unit="step", disable=no_bar, smoothing=0.1)
        self._is_shown, self._loss_time = is_shown, time.monotonic()

    def show_step(self, losses: Tensor) -> None:
        """Move the bar by one step."""
        self._bar.update()
        now = time.monotonic()
        if not self._bar.disable and now - self._loss_time > 1:  # to read a loss waits for the device
            self._bar.set_postfix_str(f"loss {losses.mean().item():.3f}", refresh=False)
            self._loss_time = now

    def show_epoch(self, run: Run) -> None:
        """Write a line if the epoch that has just ended was evaluated."""
        epoch = run.entries("epoch")[-1]["epoch"]
        for entry in run.entries("evaluation")[-1:]:
            if entry["epoch"] == epoch and self._is_shown:
                names = {"val": "validation", "test": "test"}
                scores = ", ".join(f"{names[split]} {score:.2f}" for split, score in entry["score"].items())
                line = f"epoch {epoch} of {run.config.epochs}: {scores}, {run.seconds:.0f} s"
                self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away from the terminal's current line."""
        self._bar.close()
