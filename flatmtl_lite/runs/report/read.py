"""Read run folders: a finished run from ``result.json``, an unfinished run from its log so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import check_form, is_system_file, json_object
from ..engine.folder import RunError, RunFolder

# the last epoch, the best epoch on validation, the best epoch on test
EVALUATIONS = ("final", "picked", "best_test")
# what the report reads, as forms for check_form
NUMBERS = [(float, None)]  # a measure that is not finite is null
METRICS = {str: (float, [float])}
RUN = {
    "experiment": str,
    "task_names": [str],
    "settings": {"variant?": str},
    "config": {"method": str, "rho": float, "seed": int, "epochs": int},
    "about?": {"command?": str},
}
OUTCOME = {
    **{at: {"epoch": int, "test": METRICS, "score": {"test": float}} for at in EVALUATIONS},
    "last_snapshot?": {"rho": [float], "sharpness": [NUMBERS]},
}
RESULT = {**RUN, "finished": bool, "seconds": float, **OUTCOME}
LOG_LINES = {
    "step": {"epoch": float, "norms?": NUMBERS, "flat_norms?": NUMBERS, "same?": float},
    "epoch": {"epoch": int, "losses?": NUMBERS, "conflict?": {str: float}, "histograms?": {str: [int]}},
    "evaluation": {"epoch": int, "test": METRICS, "score": {"val": float, "test": float}},
    "snapshot": {"epoch": int, "rho?": [float], "sharpness?": [NUMBERS]},
}


@dataclass(frozen=True)
class RecordedRun:
    """One run that was read from its folder.

    Attributes:
        path: folder of the run.
        name: the folder relative to the folder above all runs.
        result: content of ``result.json``. An unfinished run has the same keys as far as its log goes:
            ``final`` is its latest evaluation, ``finished`` is False.
    """

    path: Path
    name: str
    result: dict

    def log(self) -> list[dict]:
        """Return the entries of the log; a last line that is still being written is left out."""
        return _log(self.path / "log.jsonl")


def read_runs(top: Path) -> tuple[list[RecordedRun], list[str]]:
    """Return every run below a folder, and one sentence for each run that cannot be read.

    Raises:
        FileNotFoundError: there is no such folder, or no run below it.
    """
    files = [file for name in ("run.json", "result.json") for file in top.rglob(name)]
    folders = sorted({file.parent for file in files if not _is_hidden(file.relative_to(top))})
    if not folders:
        raise FileNotFoundError(f"Got {top}; expected a folder with run folders (run.json) in it.")
    runs, unreadable = [], []
    for folder in folders:
        name = folder.relative_to(top).as_posix()
        try:
            runs.append(RecordedRun(folder, name, _read(folder)))
        except (OSError, ValueError, RunError) as error:
            unreadable.append(f"{name}: {error}")
    return runs, unreadable


def numbers(value: float | list[float]) -> list[float]:
    """Return the values of a metric as a list, with one value for each task."""
    return value if isinstance(value, list) else [value]


def _is_hidden(file: Path) -> bool:
    return any(map(is_system_file, (file, *file.parents[:-1])))


def _read(folder: Path) -> dict:
    is_finished = (folder / "result.json").exists()
    file = folder / ("result.json" if is_finished else "run.json")
    result = json_object(file.read_text(encoding="utf-8"), file.name)
    check_form(result, RESULT if is_finished else RUN, file.name)
    if not is_finished:
        RunFolder(folder).check_unchanged(result)
        file = folder / "log.jsonl"
        result = {**result, "finished": False, **summarize(_log(file))}
        check_form(result, OUTCOME, file.name)
    _check_lengths(result, file.name)
    return {**result, "about": result.get("about") or {}}


def _check_lengths(result: Mapping[str, Any], name: str) -> None:
    """Raise a ValueError unless each list of measures has one number per task."""
    lists = {
        f"{at}.test.{metric}": value
        for at in EVALUATIONS
        for metric, value in result[at]["test"].items()
        if isinstance(value, list)
    }
    snapshot = result.get("last_snapshot")
    if snapshot:
        radii, rows = len(snapshot["rho"]), snapshot["sharpness"]
        if len(rows) != radii or not radii:
            raise ValueError(
                f"{name} has last_snapshot with {len(rows)} rows of sharpness for {radii} radii; expected "
                "one row per radius, at least one"
            )
        lists |= {f"last_snapshot.sharpness, row {n},": row for n, row in enumerate(rows, 1)}
    tasks = len(result["task_names"])
    for place, value in lists.items():
        if len(value) != tasks:
            raise ValueError(f"{name} has {place} = {value}; expected one number per task, {tasks} in all")


def summarize(log: list[dict]) -> dict:
    """Return the results in a log: the last evaluation, the best on validation and the best on test.

    ``best_test`` is chosen by looking at the test data, as the authors of arXiv 2211.13723 do. Use it only to
    compare with their figures.

    Raises:
        ValueError: the log holds no evaluation yet.
    """
    evaluations = [line for line in log if line.get("kind") == "evaluation"]
    if not evaluations:
        raise ValueError("not evaluated yet")
    return {
        "final": evaluations[-1],
        "picked": max(evaluations, key=lambda line: line["score"]["val"]),
        "best_test": max(evaluations, key=lambda line: line["score"]["test"]),
        "last_snapshot": next((line for line in reversed(log) if line.get("kind") == "snapshot"), None),
    }


def _log(file: Path) -> list[dict]:
    *lines, _ = file.read_text(encoding="utf-8").split("\n") if file.is_file() else [""]
    entries = []
    for number, line in enumerate(lines, 1):
        name = f"{file.name}, line {number},"
        entry = json_object(line, name)
        check_form(entry, {"kind": str}, name)
        check_form(entry, LOG_LINES.get(entry["kind"], {}), name)
        entries.append(entry)
    return entries
