"""``flatmtl-lite sweep``: train a grid of runs, on this machine or on a Slurm cluster."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..names import did_you_mean
from ..runs.engine.folder import RunError, RunFolder
from ..runs.experiments.registry import EXPERIMENTS, option_names, read_options, saved_request
from ..runs.sweep.jobs import Job
from ..runs.sweep.jobs import grid as jobs_of
from ..runs.sweep.local import run_here
from ..runs.sweep.slurm import submit
from ..runs.sweep.status import status as status_of
from . import train
from .parser import Parser

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
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="OPTION=VALUE,VALUE",
        help="several values of any option of train, such as lr=0.01,0.05; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder above all run folders")
    parser.add_argument("--jobs", type=int, help="processes at a time (default: 1, on a cluster all)")
    parser.add_argument(
        "--gpus-per-node",
        type=int,
        help="GPUs of one run, here and on a cluster (default here: 1 if there are any)",
    )
    parser.add_argument("--status", action="store_true", help="say how far the runs are; start nothing")
    cluster = parser.add_argument_group("on a Slurm cluster")
    cluster.add_argument("--slurm", action="store_true", help="submit the runs")
    for name in ("partition", "account", "qos", "constraint"):
        cluster.add_argument(f"--slurm-{name}", metavar=name.upper())
    cluster.add_argument("--timeout-min", type=int, help="minutes until a run is queued again and goes on")
    cluster.add_argument("--cpus-per-task", type=int, help="also the number of threads of a run")
    cluster.add_argument("--mem-gb", type=float)


def run(
    experiment: str,
    methods: Sequence[str],
    variants: Sequence[str],
    rhos: Sequence[float],
    weights: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    grid: Sequence[str],
    jobs: int | None,
    gpus_per_node: int | None,
    status: bool,
    slurm: bool,
    rest: Sequence[str] = (),
    **cluster: Any,
) -> int:
    """Check every run of the grid, then run or submit them.

    Args:
        experiment, methods, variants, rhos, weights, seeds, out: see
            :func:`~flatmtl_lite.runs.sweep.jobs.grid`.
        grid: further axes, each as "option=value,value".
        jobs: processes at a time.
        gpus_per_node: GPUs of one run.
        status: whether to say only how far the runs are.
        slurm: whether to submit to a Slurm cluster.
        rest: further words for every ``train``.
        cluster: options of submitit.

    Returns:
        Exit code: 0 all finished (or submitted), 1 not all, 130 stopped.

    Raises:
        ValueError: ``train`` would refuse a run of the grid; nothing was started.
    """
    axes = _axes(grid)
    runs = jobs_of(experiment, methods, variants, rhos, seeds, out, rest, weights=weights, axes=axes)
    epochs = {}
    for job in runs:
        epochs[job], device = check(job)
    if status:
        print(status_of(runs, epochs))
        return 0
    if slurm:
        cluster |= {"slurm_array_parallelism": jobs, "gpus_per_node": gpus_per_node}
        return _submit(runs, out.absolute() / "slurm", **cluster)
    return run_here(runs, 1 if jobs is None else jobs, gpus_per_run=gpus_per_node, device=device)


class _TrainParser(Parser):
    """The parser of ``train`` as a sweep asks it."""

    def refuse(self, words: Sequence[str]) -> NoReturn:
        own = Parser()
        add_arguments(own)
        name = next((word for word in words if word.startswith("-")), words[0]).partition("=")[0]
        hint = did_you_mean(name, [*own.options, *self.options])
        raise ValueError(
            f"Got {name}{hint}, which neither sweep nor train knows. For several values of an option of "
            "train write --grid OPTION=VALUE,VALUE, such as --grid lr=0.01,0.05."
        )


def _axes(words: Sequence[str]) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for word in words:
        name, _, values = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not name or not values or name in axes:
            raise ValueError(
                f"Got --grid {word}; expected an option of train, each once, and its values, such as "
                "lr=0.01,0.05."
            )
        axes[name] = values.split(",")
    return axes


def words_of(job: Job) -> argparse.Namespace:
    """Return the words of a job as ``train`` reads them."""
    parser = _TrainParser(prog="flatmtl-lite train")
    train.add_arguments(parser)
    return parser.parse_args(job.words[1:])


def check(job: Job) -> tuple[int, str]:
    """Check that ``train`` would take the words of a job, also if its folder holds a run already.

    Returns:
        The number of epochs and the device of the run.

    Raises:
        ValueError: an option is unknown, a value is out of its range, or the folder holds a run with other
            settings.
        SystemExit: the value of an option is of another type.
    """
    words = vars(words_of(job))
    names = option_names(EXPERIMENTS[words["experiment"]])
    options = {name: value for name, value in words.items() if name in names}
    request = read_options(words["experiment"], words["preset"], options)
    try:
        description = RunFolder(job.folder).description()
        if description is not None:
            saved_request(description, request)
    except RunError as error:
        raise ValueError(f"{job.folder}: {error}") from error
    return request.config.epochs, words["device"]


def _submit(runs: Sequence[Job], folder: Path, **cluster: Any) -> int:
    try:
        submitted = submit(runs, folder, **cluster)
    except (ModuleNotFoundError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(submitted)} of {len(runs)} runs submitted; submitit's files are in {folder}.")
    return 0
