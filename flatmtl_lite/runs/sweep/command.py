"""The command line of a sweep: a grid of runs on this machine or on a cluster."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .jobs import Job, grid
from .local import run_here
from .slurm import submit

__all__ = ["Job", "add_arguments", "grid", "main", "run_here", "submit"]

_CLUSTER = ("slurm_partition", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")


def add_arguments(parser: argparse.ArgumentParser, experiments: Sequence[str]) -> None:
    """Give a parser what :func:`main` reads; words it does not know are for ``train``."""
    parser.add_argument("experiment", choices=experiments)
    parser.add_argument("--methods", nargs="+", required=True, help="such as mean cagrad f-cagrad")
    parser.add_argument("--variants", nargs="+", default=[], help="of the experiment, if it has any")
    parser.add_argument("--rhos", type=float, nargs="+", default=[], help="radii of the methods that perturb")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True, help="the folder above all run folders")
    parser.add_argument("--jobs", type=int, help="processes at a time (default: 1, on a cluster all)")
    cluster = parser.add_argument_group("on a Slurm cluster")
    cluster.add_argument("--slurm", action="store_true", help="submit the runs")
    cluster.add_argument("--slurm-partition")
    cluster.add_argument("--timeout-min", type=int, help="after which a run is queued again and goes on")
    cluster.add_argument("--cpus-per-task", type=int, help="also a run's number of threads")
    cluster.add_argument("--gpus-per-node", type=int)
    cluster.add_argument("--mem-gb", type=float)


def main(
    arguments: argparse.Namespace,
    rest: Sequence[str] = (),
    check: Callable[[Sequence[str]], object] = lambda words: None,
) -> int:
    """Run or submit a grid.

    Args:
        arguments: as :func:`add_arguments` has them read.
        rest: further words for every ``train``.
        check: called with the words of every run ("train", ...) before the first starts; raises or exits if
            ``train`` would not take them.

    Returns:
        Exit code: 0 all finished (or submitted), 1 not all, 2 bad arguments, 130 stopped.
    """
    given = arguments
    try:
        jobs = grid(given.experiment, given.methods, given.variants, given.rhos, given.seeds, given.out, rest)
        for job in jobs:
            check(job.words)
        if given.slurm:
            return _submit(jobs, given)
        return run_here(jobs, 1 if given.jobs is None else given.jobs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def _submit(jobs: Sequence[Job], given: argparse.Namespace) -> int:
    options = {name: getattr(given, name) for name in _CLUSTER}
    folder = given.out.absolute() / "slurm"
    try:
        submitted = submit(jobs, folder, **options, slurm_array_parallelism=given.jobs)
    except (ModuleNotFoundError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(submitted)} of {len(jobs)} runs submitted; submitit's files are in {folder}.")
    return 0
