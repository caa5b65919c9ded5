"""``flatmtl-lite sweep``: train a grid of runs, on this machine or on a Slurm cluster."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..runs.engine.folder import RunError, RunFolder
from ..runs.experiments.registry import EXPERIMENTS, option_names, read_options, saved_request
from ..runs.sweep.jobs import Job, grid
from ..runs.sweep.local import run_here
from ..runs.sweep.slurm import submit
from . import train

REST = "unknown"  # these words are options of train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.allow_abbrev = False
    parser.epilog = (
        "Every other option, such as --preset or --epochs, is handed on to train. Finished runs are not "
        "repeated."
    )
    parser.add_argument("experiment", choices=list(EXPERIMENTS))
    parser.add_argument("--methods", nargs="+", required=True, help="such as mean cagrad f-cagrad")
    parser.add_argument("--variants", nargs="+", default=[], help="variants of the experiment, if it has any")
    parser.add_argument("--rhos", type=float, nargs="+", default=[], help="radii of the methods that perturb")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        help="fixed weights of the tasks, such as 0.7,0.3 0.5,0.5: constant and f-constant run once for "
        "each, the other methods once",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True, help="the folder above all run folders")
    parser.add_argument("--jobs", type=int, help="processes at a time (default: 1, on a cluster all)")
    cluster = parser.add_argument_group("on a Slurm cluster")
    cluster.add_argument("--slurm", action="store_true", help="submit the runs")
    cluster.add_argument("--slurm-partition")
    cluster.add_argument("--timeout-min", type=int, help="minutes until a run is queued again and goes on")
    cluster.add_argument("--cpus-per-task", type=int, help="also the number of threads of a run")
    cluster.add_argument("--gpus-per-node", type=int)
    cluster.add_argument("--mem-gb", type=float)


def run(
    experiment: str,
    methods: Sequence[str],
    variants: Sequence[str],
    rhos: Sequence[float],
    weights: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    jobs: int | None,
    slurm: bool,
    rest: Sequence[str] = (),
    **cluster: Any,
) -> int:
    """Check every run of the grid, then run or submit them.

    Args:
        experiment, methods, variants, rhos, weights, seeds, out: see
            :func:`~flatmtl_lite.runs.sweep.jobs.grid`.
        jobs: processes at a time.
        slurm: whether to submit to a Slurm cluster.
        rest: further words for every ``train``.
        cluster: options of submitit.

    Returns:
        Exit code: 0 all finished (or submitted), 1 not all, 130 stopped.

    Raises:
        ValueError: ``train`` would refuse a run of the grid; nothing was started.
    """
    runs = grid(experiment, methods, variants, rhos, seeds, out, rest, weights=weights)
    for job in runs:
        check(job)
    if slurm:
        return _submit(runs, out.absolute() / "slurm", slurm_array_parallelism=jobs, **cluster)
    return run_here(runs, 1 if jobs is None else jobs)


def check(job: Job) -> None:
    """Check that ``train`` would take the words of a job, also if its folder holds a run already.

    Raises:
        ValueError: a value is out of its range, or the folder holds a run with other settings.
        SystemExit: an option is unknown.
    """
    parser = argparse.ArgumentParser(prog="flatmtl-lite train")
    train.add_arguments(parser)
    words = vars(parser.parse_args(job.words[1:]))
    names = option_names(EXPERIMENTS[words["experiment"]])
    options = {name: value for name, value in words.items() if name in names}
    request = read_options(words["experiment"], words["preset"], options)
    try:
        description = RunFolder(job.folder).description()
        if description is not None:
            saved_request(description, request)
    except RunError as error:
        raise ValueError(f"{job.folder}: {error}") from error


def _submit(runs: Sequence[Job], folder: Path, **cluster: Any) -> int:
    try:
        submitted = submit(runs, folder, **cluster)
    except (ModuleNotFoundError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(submitted)} of {len(runs)} runs submitted; submitit's files are in {folder}.")
    return 0
