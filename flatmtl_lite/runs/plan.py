"""Estimate the time and memory of a run from a few steps that are really taken."""

import gc
import io
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .engine.backend import numerics
from .engine.clock import clock
from .engine.config import Config
from .engine.experiment import Experiment
from .engine.folder import RunError
from .engine.memory import explain_device_errors
from .engine.processes import Processes, join_processes
from .engine.trainer import Trainer
from .experiments.registry import read_options

WARM_STEPS, TIMED_STEPS = 3, 8
Say = Callable[[str], None]


def _say(words: str) -> None:
    print(f"... {words}", file=sys.stderr, flush=True)


def plan(
    experiment: str,
    preset: str | None = None,
    device: str = "auto",
    data: str | Path | None = None,
    download: bool = False,
    measure: bool = True,
    say: Say = _say,
    **options: Any,
) -> str:
    """Estimate time, memory and disk space of a run with the options of ``launch``; nothing is written.

    A few steps, one evaluation and, if the run takes any, one snapshot are measured. Of the final measures a
    small part is taken, which needs as much memory as all of them. If a step does not fit into memory, its
    batch is computed in more parts, and the estimate names the first number of parts that fits.

    Args:
        experiment, preset, device, data, download, options: as ``launch`` takes them.
        measure: whether to estimate the final measures too.
        say: takes words on what is being measured.

    Returns:
        The estimate as text.

    Raises:
        ValueError: an option is unknown or out of its range.
        RunError: a step does not fit into memory in any number of parts.
    """
    request = read_options(experiment, preset, options)
    numbers = numerics(request.config.tf32, request.config.deterministic)
    with numbers, join_processes(device) as processes:
        say("loading the data")
        tasks, _ = request.settings.experiment(request.config.seed, processes.device, data, download)
        trial = _fitting_trial(tasks, request.config, processes, say)
        measures = ("left out", 0.0)
        if measure:
            say("a part of the final measures")
            measures = _rehearse(tasks, trial, processes)
    config, parts = trial.config, trial.config.micro_batches
    where = f"{processes.count} process(es) of {torch.get_num_threads()} thread(s)"
    if parts != request.config.micro_batches:
        where += f", with --micro-batches {parts}: without it the memory is too small"
    lines = [
        f"{config.method} on {processes.device.type}: {where}",
        *_times(trial, *measures),
        f"peak memory   {_megabytes(trial.peak)}   ({_whose_memory(processes)})",
        f"a checkpoint  {_megabytes(trial.checkpoint)}   (two are kept)",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Trial:
    """What was measured of training.

    Attributes:
        config: the configuration that was tried.
        model: the network.
        steps: seconds of each step.
        steps_per_epoch: number of steps of an epoch.
        evaluation, snapshot: seconds of an evaluation and of a snapshot.
        checkpoint: bytes of a checkpoint.
        peak: peak memory in bytes; None: unknown.
    """

    config: Config
    model: nn.Module
    steps: list[float]
    steps_per_epoch: int
    evaluation: float
    snapshot: float
    checkpoint: int
    peak: int | None


def _fitting_trial(tasks: Experiment, config: Config, processes: Processes, say: Say) -> _Trial:
    """Try the configuration, and if it does not fit into memory, in more and more micro-batches."""
    while True:
        try:
            with explain_device_errors(config):
                return _trial(tasks, config, processes, say)
        except RunError as error:
            more = 2 * config.micro_batches
            # with several processes one may fail while the others wait for it
            if not str(error).startswith("Out of memory") or config.batch_size % more or processes.count > 1:
                raise
        gc.collect()  # what the failed trial held
        if processes.device.type == "cuda":
            torch.cuda.empty_cache()
        say(f"out of memory; trying --micro-batches {more}")
        config = replace(config, micro_batches=more)


def _trial(tasks: Experiment, config: Config, processes: Processes, say: Say) -> _Trial:
    """Take a few steps, an evaluation and a snapshot."""
    _begin_peak(processes)
    trainer = Trainer(tasks, config, processes)
    advance = trainer.advance()
    count = min(trainer.steps_per_epoch, WARM_STEPS + TIMED_STEPS)
    say(f"{count} steps")
    steps = [_seconds(lambda: next(advance), processes) for _ in range(count)]
    content = io.BytesIO()
    torch.save(trainer.state_dict(), content)
    say("an evaluation")
    evaluation = _seconds(lambda: tasks.evaluate(trainer.model), processes)
    snapshot = 0.0
    if config.snapshot_every:
        say("a snapshot")
        snapshot = _seconds(lambda: tasks.snapshot(trainer.model), processes)
    return _Trial(
        config,
        trainer.model,
        steps[WARM_STEPS:] or steps,
        trainer.steps_per_epoch,
        evaluation,
        snapshot,
        len(content.getvalue()),
        _peak_bytes(processes),
    )


def _rehearse(tasks: Experiment, trial: _Trial, processes: Processes) -> tuple[str, float]:
    """Return words on the final measures, and their seconds if the experiment can be rehearsed."""
    rehearse = getattr(tasks, "rehearse", None)
    if rehearse is None:
        return "unknown", 0.0
    gc.collect()  # a run too has freed its optimizers by then
    _begin_peak(processes)
    try:
        with explain_device_errors(trial.config):
            seconds = rehearse(trial.model, lambda function: _seconds(function, processes))
    except RunError as error:
        if not str(error).startswith("Out of memory"):
            raise
        return "OUT OF MEMORY: train with --no-measure, later --resume --device cpu", 0.0
    seconds += trial.evaluation  # other measures on the test data
    peak = _megabytes(_peak_bytes(processes)).strip()
    return f"{clock(seconds):>13}   (once, at the end; peak {peak})", seconds


def _times(trial: _Trial, measures: str, measures_seconds: float) -> list[str]:
    """Return the lines about time."""
    config, step = trial.config, statistics.median(trial.steps)
    epoch = trial.steps_per_epoch * step
    evaluations = _count(config.evaluate_every, config.epochs)
    snapshots = _count(config.snapshot_every, config.epochs)
    total = config.epochs * epoch + evaluations * trial.evaluation + snapshots * trial.snapshot
    snapshot_line = f"a snapshot    {clock(trial.snapshot):>13}   ({snapshots} of them)"
    return [
        f"a step        {1000 * step:10.1f} ms   (median of {len(trial.steps)})",
        f"an epoch      {clock(epoch):>13}   ({trial.steps_per_epoch} steps)",
        f"an evaluation {clock(trial.evaluation):>13}   ({evaluations} of them)",
        *([snapshot_line] if snapshots else []),
        f"the measures  {measures:>13}",
        f"the whole run {clock(total + measures_seconds):>13}   ({config.epochs} epochs)",
    ]


def _count(every: int, epochs: int) -> int:
    """Count the epochs that are measured: the first, every ``every``-th one, and the last."""
    return len({1, *range(every, epochs + 1, every), epochs}) if every else 0


def _seconds(function: Callable[[], object], processes: Processes) -> float:
    def wait() -> None:
        if processes.device.type == "cuda":
            torch.cuda.synchronize(processes.device)

    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


def _begin_peak(processes: Processes) -> None:
    """Forget the peak so far where that is possible; the peak of a process on the CPU never falls."""
    if processes.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(processes.device)


def _peak_bytes(processes: Processes) -> int | None:
    if processes.device.type == "cuda":
        return torch.cuda.max_memory_allocated(processes.device)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _whose_memory(processes: Processes) -> str:
    if processes.device.type != "cuda":
        return "of the process"
    _, total = torch.cuda.mem_get_info(processes.device)
    return f"of the device, which has {total / 2**20:,.0f} MB"


def _megabytes(size: int | None) -> str:
    if size is None:
        return f"{'unknown':>13}"
    return f"{size / 2**20:10,.1f} MB" if size < 2**27 else f"{size / 2**20:10,.0f} MB"
