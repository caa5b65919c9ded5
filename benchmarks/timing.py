"""Time contenders side by side in one process, in processes of their own, and as ratios."""

import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context

import torch

Times = dict[str, list[float]]


def step_times(
    steps: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> Times:
    """Return the seconds of each contender's step, round by round, after three rounds of warming up.

    The contenders take turns in a random order, so that a machine that drifts slows all alike, and no
    contender always runs on the caches that the same other left.
    """
    times: Times = {name: [] for name in steps}
    order, generator = list(steps.items()), random.Random(0)
    for number in range(rounds + 3):
        generator.shuffle(order)
        for name, step in order:
            start = clock()
            step()
            if number >= 3:
                times[name].append(clock() - start)
    return times


def ratio(times: Times, one: str, other: str, digits: int = 2) -> str:
    """Return the median of one / other over the rounds, with its quartiles."""
    ratios = [a / b for a, b in zip(times[one], times[other], strict=True)]
    low, median, high = (f"{q:.{digits}f}" for q in statistics.quantiles(ratios, n=4))
    return f"{median}  (quartiles {low} to {high})"


def in_processes(measure: Callable, runs: int, *args: object) -> list:
    """Return what ``measure(*args)`` returns in each of ``runs`` fresh processes, one after the other."""
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.starmap(measure, [args] * runs, chunksize=1)


def import_seconds() -> tuple[float, float]:
    """Return a new interpreter's seconds for torch, and then for flatmtl_lite: medians of seven."""
    code = (
        "import time; t0 = time.perf_counter(); import torch; t1 = time.perf_counter(); import flatmtl_lite; "
        "print(t1 - t0, time.perf_counter() - t1)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(7)]
    torch_alone, ours = zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    return statistics.median(torch_alone), statistics.median(ours)


def machine() -> str:
    """Return the processor, its cores and the version of torch, for the head of a table."""
    return f"{platform.machine()} CPU, {os.cpu_count()} cores, 1 thread, torch {torch.__version__}"
