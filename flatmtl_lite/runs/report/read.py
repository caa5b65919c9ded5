"""Read run folders: finished runs from ``result.json``, others from what their log says so far."""

import json
from dataclasses import dataclass
from pathlib import Path

EVALUATIONS = ("final", "picked", "best_test")  # the last epoch, the best one on validation, the best on test
_CONFIG = ("config.method", "config.rho", "config.seed", "config.epochs")
_NEEDED = ("experiment", "task_names", "settings", *_CONFIG)


@dataclass(frozen=True)
class RecordedRun:
    """One run.

    Attributes:
        path: its folder.
        name: the folder as seen from the one above all runs.
        result: ``result.json``; of an unfinished run, the same keys as far as the log has got: ``final`` is
            its latest evaluation, ``finished`` is False.
    """

    path: Path
    name: str
    result: dict

    def log(self) -> list[dict]:
        """The lines of its log; a last line that is still being written is left out."""
        return _log(self.path / "log.jsonl")


def read_runs(top: Path) -> tuple[list[RecordedRun], list[str]]:
    """Every run below a folder, and what was left out and why, one sentence a run.

    Raises:
        FileNotFoundError: there is no such folder, or no run below it.
    """
    folders = sorted({file.parent for name in ("run.json", "result.json") for file in top.rglob(name)})
    if not folders:
        raise FileNotFoundError(f"Got {top}; expected a folder with run folders (run.json) in it.")
    runs, left_out = [], []
    for folder in folders:
        name = folder.relative_to(top).as_posix()
        try:
            runs.append(RecordedRun(folder, name, _read(folder)))
        except (OSError, ValueError) as error:
            left_out.append(f"{name}: {error}")
    return runs, left_out


def numbers(value: float | list[float]) -> list[float]:
    """The values of a metric: a list has one for each task."""
    return value if isinstance(value, list) else [value]


def _read(folder: Path) -> dict:
    finished = (folder / "result.json").is_file()
    file = folder / ("result.json" if finished else "run.json")
    result = _json(file.read_text(encoding="utf-8"), file.name)
    _check(result, (*_NEEDED, "seconds") if finished else _NEEDED, file.name)
    if not finished:
        result = {**result, "finished": False, **so_far(_log(folder / "log.jsonl"))}
    if result.get("last_snapshot"):
        _check(result, ("last_snapshot.rho", "last_snapshot.sharpness"), file.name)
    for name in EVALUATIONS:
        _check(result, (f"{name}.epoch", f"{name}.test", f"{name}.score.test"), file.name)
        for metric, value in result[name]["test"].items():
            if not all(isinstance(one, (int, float)) for one in numbers(value)):
                raise ValueError(f"{file.name} has {metric} = {value}; expected numbers")
    return result


def so_far(log: list[dict]) -> dict:
    """What came out up to the end of a log: its last evaluation, the best on validation, the best on test.

    ``best_test`` is what the authors of arXiv 2211.13723 report: to compare with theirs only, for it was
    chosen by looking at the test.

    Raises:
        ValueError: nothing was evaluated yet.
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
        raise ValueError(f"{name} is damaged: it holds no JSON object")
    return value


def _check(value: dict, needed: tuple[str, ...], name: str) -> None:
    """Refuse a record that lacks one of the dotted places."""
    for place in needed:
        inner = value
        for key in place.split("."):
            if not isinstance(inner, dict) or inner.get(key) is None:
                raise ValueError(f"{name} has no {place}")
            inner = inner[key]
