"""The forms of the files that the report reads: the type of each value, and the length of each list."""

from collections.abc import Mapping
from typing import Any

from ...files import check_form
from ..engine.epoch_log import BINS

# the last epoch, the best epoch on validation, the best epoch on test, the mean of the last ten epochs
EVALUATIONS = ("final", "picked", "best_test", "last_ten")
OPTIONAL = ("picked", "last_ten")  # a run without validation, or with few evaluations, has None
SPLITS = ("train", "clean", "val", "test")
NUMBERS = [(float, None)]  # a measure that is not finite is null
METRICS = {str: (float, [float])}
RUN = {
    "experiment": str,
    "task_names": [str],
    "settings": {"variant?": str},
    "config": {"method": str, "rho": float, "seed": int, "epochs": int, "weights?": str},
    "about?": {"command?": str},
}
OUTCOME = {
    **{
        at + "?" * (at in OPTIONAL): {"epoch": int, "test": METRICS, "score": {"test": float}}
        for at in EVALUATIONS
    },
    "last_snapshot?": {"rho": [float], "sharpness": [NUMBERS]},
}
RESULT = {**RUN, "finished": bool, "seconds": float, **OUTCOME}
PER_TASK = ("losses", "norms", "flat_norms")  # lists in a line of the log
LOG_LINES = {
    "step": {"epoch": float, "norms?": NUMBERS, "flat_norms?": NUMBERS, "same?": float},
    "epoch": {
        "epoch": int,
        "losses?": NUMBERS,
        "conflict?": {str: float},
        "histograms?": {str: [int]},
    },
    "evaluation": {
        "epoch": int,
        "train?": METRICS,
        "clean?": METRICS,
        "val?": METRICS,
        "test": METRICS,
        "score": {"val?": float, "test": float},
    },
    "snapshot": {"epoch": int, "rho?": [float], "sharpness?": [NUMBERS]},
    "final": {
        "reliability?": [{"count": [int], "confidence": NUMBERS, "accuracy": NUMBERS}],
        "entropy?": {str: (NUMBERS, [NUMBERS])},
        "slices?": {
            "line?": {"alpha": [float], "losses": [NUMBERS]},
            "plane?": {"alpha": [float], "losses": [[NUMBERS]]},
        },
    },
}


def check_outcome(result: Mapping[str, Any], name: str) -> None:
    """Check the outcome of a run: its evaluations and its last snapshot.

    Args:
        result: the run; its description is checked already.
        name: name of the file, for the message.

    Raises:
        ValueError: a value has another form; the message names it and its place.
    """
    check_form(result, OUTCOME, name)
    tasks = len(result["task_names"])
    for at in filter(result.get, EVALUATIONS):
        _check_metrics(result[at]["test"], f"{at}.test", tasks, name)
    _check_sharpness(result.get("last_snapshot") or {}, "last_snapshot.", tasks, name)


def check_line(line: Mapping[str, Any], tasks: int, name: str) -> None:
    """Check a line of the log; a line of an unknown kind may hold anything.

    Args:
        line: the line.
        tasks: number of tasks of the run.
        name: name of the line, for the message.

    Raises:
        ValueError: a value has another form; the message names it and its place.
    """
    check_form(line, {"kind": str}, name)
    if line["kind"] not in LOG_LINES:
        return
    check_form(line, LOG_LINES[line["kind"]], name)
    for key in PER_TASK:
        if line.get(key) is not None:
            _check_length(line[key], key, tasks, name)
    for split in SPLITS:
        _check_metrics(line.get(split) or {}, split, tasks, name)
    _check_sharpness(line, "", tasks, name)
    for part, counts in (line.get("histograms") or {}).items():
        if len(counts) != BINS:
            raise ValueError(f"{name} has histograms.{part} of {len(counts)} counts; expected {BINS}")


def _check_metrics(metrics: Mapping[str, Any], place: str, tasks: int, name: str) -> None:
    for metric, value in metrics.items():
        if isinstance(value, list):
            _check_length(value, f"{place}.{metric}", tasks, name)


def _check_sharpness(snapshot: Mapping[str, Any], prefix: str, tasks: int, name: str) -> None:
    radii, rows = snapshot.get("rho"), snapshot.get("sharpness")
    if radii is None or rows is None:
        return
    if len(rows) != len(radii) or not radii:
        raise ValueError(
            f"{name} has {prefix}sharpness of {len(rows)} rows for {len(radii)} radii; expected one row per "
            "radius, at least one"
        )
    for number, row in enumerate(rows):
        _check_length(row, f"{prefix}sharpness[{number}]", tasks, name)


def _check_length(values: list, place: str, tasks: int, name: str) -> None:
    if len(values) != tasks:
        raise ValueError(f"{name} has {place} = {values}; expected one number per task, {tasks} in all")
