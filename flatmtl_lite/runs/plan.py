"""Estimate the time and memory of a run from a few steps that are really taken."""

import io
import statistics
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from .engine.backend import numerics
from .engine.config import Config
from .engine.memory import explain_device_errors
from .engine.processes import Processes, join_processes
from .engine.trainer import Trainer
from .experiments.registry import read_options

WARM_STEPS, TIMED_STEPS = 3, 8


def plan(
    experiment: str,
    preset: str | None = None,
    device: str = "auto",
    data: str | Path | None = None,
    download: bool = False,
    **options: Any,
) -> str:
    """Estimate time, memory and disk space of a run with the options of ``launch``; nothing is written.

    A few steps, one evaluation and, if the run takes any, one snapshot are measured. The estimate leaves out
    the measures that follow the last epoch.

    Returns:
        The estimate as text.

    Raises:
        ValueError: an option is unknown or out of its range.
    """
    request = read_options(experiment, preset, options)
    config = request.config
    numbers, advice = numerics(config.tf32, config.deterministic), explain_device_errors(config)
    with numbers, advice, join_processes(device) as processes:
        tasks, _ = request.settings.experiment(config.seed, processes.device, data, download)
        trainer = Trainer(tasks, config, processes)
        advance = trainer.advance()
        steps = [
            _seconds(lambda: next(advance), processes)
            for _ in islice(range(trainer.steps_per_epoch), WARM_STEPS + TIMED_STEPS)
        ]
        content = io.BytesIO()
        torch.save(trainer.state_dict(), content)
        evaluation = _seconds(lambda: tasks.evaluate(trainer.model), processes)
        snapshot = 0.0
        if config.snapshot_every:
            snapshot = _seconds(lambda: tasks.snapshot(trainer.model), processes)
        peak = _peak_bytes(processes)
    device_type, threads = processes.device.type, torch.get_num_threads()
    memory = f"{'unknown':>13}" if peak is None else f"{peak / 2**20:10,.0f} MB"
    lines = [
        f"{config.method} on {device_type}: {processes.count} process(es) of {threads} thread(s)",
        *_times(config, trainer.steps_per_epoch, steps[WARM_STEPS:] or steps, evaluation, snapshot),
        f"peak memory   {memory}   (of the {'device' if device_type == 'cuda' else 'process'})",
        f"a checkpoint  {len(content.getvalue()) / 2**20:10,.1f} MB   (two are kept)",
    ]
    return "\n".join(lines)


def _times(
    config: Config, steps_per_epoch: int, steps: list[float], evaluation: float, snapshot: float
) -> list[str]:
    """Return the lines about time, from the seconds of each step, of an evaluation and of a snapshot."""
    step = statistics.median(steps)
    epoch = steps_per_epoch * step
    evaluations = _count(config.evaluate_every, config.epochs)
    snapshots = _count(config.snapshot_every, config.epochs)
    total = config.epochs * epoch + evaluations * evaluation + snapshots * snapshot
    snapshot_line = f"a snapshot    {_clock(snapshot):>13}   ({snapshots} of them)"
    return [
        f"a step        {1000 * step:10.1f} ms   (median of {len(steps)})",
        f"an epoch      {_clock(epoch):>13}   ({steps_per_epoch} steps)",
        f"an evaluation {_clock(evaluation):>13}   ({evaluations} of them)",
        *([snapshot_line] if snapshots else []),
        f"the whole run {_clock(total):>13}   ({config.epochs} epochs)",
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


def _peak_bytes(processes: Processes) -> int | None:
    if processes.device.type == "cuda":
        return torch.cuda.max_memory_allocated(processes.device)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _clock(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
