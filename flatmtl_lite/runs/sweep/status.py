"""How far a sweep is: the state of every run, and the time that is left."""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...files import json_object
from ..engine.clock import clock
from ..engine.folder import RunFolder
from .job import Job


@dataclass(frozen=True)
class Progress:
    """How far one run is.

    Attributes:
        state: "finished", "at work", "stopped" or "waiting".
        epochs: epochs that are done.
        seconds: seconds of training so far.
    """

    state: str
    epochs: int
    seconds: float


def progress_of(job: Job) -> Progress:
    """Return how far a run is; a run at work is not disturbed."""
    folder = RunFolder(job.folder)
    epochs, seconds = _last_epoch(job.folder / "log.jsonl")
    if folder.is_finished:
        state = "finished"
    elif folder.is_taken:
        state = "at work"
    else:
        state = "stopped" if (job.folder / "run.json").exists() else "waiting"
    return Progress(state, epochs, seconds)


def status(jobs: Sequence[Job], epochs: Mapping[Job, int]) -> str:
    """Return one line per run, and a last line with the time that is left.

    A run without a finished epoch counts with the mean pace of the others.

    Args:
        jobs: the runs.
        epochs: number of epochs of each run.
    """
    progress = {job: progress_of(job) for job in jobs}
    paces = {job: p.seconds / p.epochs for job, p in progress.items() if p.epochs}
    mean = statistics.mean(paces.values()) if paces else None

    def left(job: Job) -> float:
        missing = epochs[job] - progress[job].epochs
        return 0.0 if progress[job].state == "finished" else missing * paces.get(job, mean or 0.0)

    def line(job: Job) -> str:
        one = progress[job]
        done = f"epoch {one.epochs} of {epochs[job]}" if one.state != "waiting" else ""
        rest = f"about {clock(left(job))} left" if mean and one.state in ("at work", "stopped") else ""
        words = [f"{one.state:<8}", job.name, *filter(None, (done, rest))]
        return "  ".join(words if one.state != "finished" else words[:2])

    at_work = sum(one.state == "at work" for one in progress.values())
    finished = sum(one.state == "finished" for one in progress.values())
    end = f"{finished} of {len(jobs)} runs finished, {at_work} at work"
    if finished < len(jobs):
        total = sum(map(left, jobs))
        at_once = f"with {at_work} at a time" if at_work else "with one at a time, once they go on"
        end += (
            f"; about {clock(total / max(at_work, 1))} left {at_once}" if mean else "; no epoch is done yet"
        )
    return "\n".join([*map(line, jobs), f"{end}."])


def _last_epoch(log: Path) -> tuple[int, float]:
    """Return number and seconds of the last epoch in a log, (0, 0) if there is none."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):  # the last line may be half written
            entry = json_object(line, log.name)
            if entry["kind"] == "epoch":
                return int(entry["epoch"]), float(entry["seconds"])
    return 0, 0.0
