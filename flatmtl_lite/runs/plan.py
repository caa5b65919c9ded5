"""What a run will cost: time and memory, estimated from a few steps that are really taken."""

import io
import statistics
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from .engine.processes import Processes, processes
from .engine.trainer import Trainer
from .experiments.registry import EXPERIMENTS, read_options

WARM, TIMED = 3, 8  # steps


def plan(
    experiment: str,
    preset: str | None = None,
    device: str = "auto",
    data: str | Path | None = None,
    download: bool = False,
    **options: Any,
) -> str:
    """Time, memory and disk of a run with these options, as ``launch`` takes them; nothing is written.

    A few steps, one evaluation and, if there are any, one snapshot are measured. The measures that follow
    the last epoch are not in it.

    Raises:
        ValueError: an option is unknown or out of its range.
    """
    settings, common = read_options(experiment, preset, options)
    kind = EXPERIMENTS[experiment]
    config, settings = kind.config(**common), kind.settings(**settings)
    with processes(device) as these:
        made, _ = settings.experiment(config.seed, these.device, data, download)
        trainer = Trainer(made, config, these)
        advance = trainer.advance()
        steps = [
            _seconds(lambda: next(advance), these)
            for _ in islice(range(trainer.steps_per_epoch), WARM + TIMED)
        ]
        step = statistics.median(steps[WARM:] or steps)
        content = io.BytesIO()
        torch.save(trainer.state_dict(), content)
        evaluation = _seconds(lambda: made.evaluate(trainer.model), these)
        snapshots = _due(config.snapshot_every, config.epochs)
        snapshot = _seconds(lambda: made.snapshot(trainer.model), these) if snapshots else 0.0
        peak = _peak_bytes(these)
    evaluations = _due(config.evaluate_every, config.epochs)
    epoch = trainer.steps_per_epoch * step
    total = config.epochs * epoch + evaluations * evaluation + snapshots * snapshot
    on_device = these.device.type == "cuda"
    memory = f"{'unknown':>13}" if peak is None else f"{peak / 2**20:10,.0f} MB"
    lines = [
        f"{config.method} on {these.device.type}: {these.count} process(es) of {torch.get_num_threads()} "
        "thread(s)",
        f"a step        {1000 * step:10.1f} ms   (median of {len(steps[WARM:]) or len(steps)})",
        f"an epoch      {_words(epoch):>13}   ({trainer.steps_per_epoch} steps)",
        f"an evaluation {_words(evaluation):>13}   ({evaluations} of them)",
        *([f"a snapshot    {_words(snapshot):>13}   ({snapshots} of them)"] if snapshots else []),
        f"the whole run {_words(total):>13}   ({config.epochs} epochs)",
        f"peak memory   {memory}   (of the {'device' if on_device else 'process'})",
        f"a checkpoint  {len(content.getvalue()) / 2**20:10,.1f} MB   (two are kept)",
    ]
    return "\n".join(lines)


def _due(every: int, epochs: int) -> int:
    """How often something is measured that is due at the first epoch, every so many, and at the last."""
    return len({1, *range(every, epochs + 1, every), epochs}) if every else 0


def _seconds(what, these: Processes) -> float:
    def wait() -> None:
        if these.device.type == "cuda":
            torch.cuda.synchronize(these.device)

    wait()
    start = time.perf_counter()
    what()
    wait()
    return time.perf_counter() - start


def _peak_bytes(these: Processes) -> int | None:
    if these.device.type == "cuda":
        return torch.cuda.max_memory_allocated(these.device)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _words(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
