"""Read run folders: a finished run from ``result.json``, an unfinished run from its log so far."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# the last epoch, the best epoch on validation, the best epoch on test
EVALUATIONS = ("final", "picked", "best_test")
_CONFIG = ("config.method", "config.rho", "config.seed", "config.epochs")
_REQUIRED = ("experiment", "task_names", "settings", *_CONFIG)


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
    folders = sorted({file.parent for name in ("run.json", "result.json") for file in top.rglob(name)})
    if not folders:
        raise FileNotFoundError(f"Got {top}; expected a folder with run folders (run.json) in it.")
    runs, unreadable = [], []
    for folder in folders:
        name = folder.relative_to(top).as_posix()
        try:
            runs.append(RecordedRun(folder, name, _read(folder)))
        except (OSError, ValueError) as error:
            unreadable.append(f"{name}: {error}")
    return runs, unreadable


def numbers(value: float | list[float]) -> list[float]:
    """Return the values of a metric as a list, with one value for each task."""
    return value if isinstance(value, list) else [value]


def _read(folder: Path) -> dict:
    is_finished = (folder / "result.json").is_file()
    file = folder / ("result.json" if is_finished else "run.json")
    result = _json(file.read_text(encoding="utf-8"), file.name)
    _check(result, (*_REQUIRED, "seconds") if is_finished else _REQUIRED, file.name)
    if not is_finished:
        result = {**result, "finished": False, **summarize(_log(folder / "log.jsonl"))}
    if result.get("last_snapshot"):
        _check(result, ("last_snapshot.rho", "last_snapshot.sharpness"), file.name)
    for name in EVALUATIONS:
        _check(result, (f"{name}.epoch", f"{name}.test", f"{name}.score.test"), file.name)
        for metric, value in result[name]["test"].items():
            if not all(isinstance(number, (int, float)) for number in numbers(value)):
                raise ValueError(f"{file.name} has {metric} = {value}; expected numbers")
    return result


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
    for line in evaluations:
        _check(line, ("score.val", "score.test"), "log.jsonl")
    return {
        "final": evaluations[-1],
        "picked": max(evaluations, key=lambda line: line["score"]["val"]),
        "best_test": max(evaluations, key=lambda line: line["score"]["test"]),
        "last_snapshot": next((line for line in reversed(log) if line.get("kind") == "snapshot"), None),
    }


def _log(file: Path) -> list[dict]:
    *lines, _ = file.read_text(encoding="utf-8").split("\n") if file.is_file() else [""]
    return [_json(line, f"{file.name}, line {number},") for number, line in enumerate(lines, 1)]


def _json(text: str, name: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is damaged ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is damaged: it does not hold a JSON object")
    return value


def _check(value: dict, required: tuple[str, ...], name: str) -> None:
    """Raise a ValueError if a record lacks one of the dotted places."""
    for place in required:
        inner: Any = value
        for key in place.split("."):
            if not isinstance(inner, dict) or inner.get(key) is None:
                raise ValueError(f"{name} has no {place}")
            inner = inner[key]
