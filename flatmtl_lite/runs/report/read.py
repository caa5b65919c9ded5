"""Read run folders: a finished run from ``result.json``, an unfinished run from its log so far."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from ...files import check_form, is_system_file, json_object
from ..engine.folder import RunError, RunFolder
from .forms import RESULT, RUN, check_line, check_outcome

LAST = 10  # epochs


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
        """Return the entries of the log; a last line that is still being written is left out.

        Raises:
            ValueError: a line is damaged, or holds a value of another form; the message names both.
        """
        return _log(self.path / "log.jsonl", len(self.result["task_names"]))


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
        result = {**result, "finished": False, **summarize(_log(file, len(result["task_names"])))}
    check_outcome(result, file.name)
    return {**result, "about": result.get("about") or {}}


def summarize(log: list[dict]) -> dict:
    """Return the results in a log: the last evaluation, the best on validation and the best on test.

    ``picked`` is None if there are no validation data. ``last_ten`` holds the mean of the last ten epochs, as
    the paper reports scenes; see :func:`mean_of_last_ten`. ``best_test`` is chosen by looking at the test
    data, as the authors of arXiv 2211.13723 do. Use it only to compare with their figures.

    Raises:
        ValueError: the log holds no evaluation yet.
    """
    evaluations = [line for line in log if line.get("kind") == "evaluation"]
    if not evaluations:
        raise ValueError("not evaluated yet")
    validated = [line for line in evaluations if "val" in line["score"]]
    return {
        "final": evaluations[-1],
        "picked": max(validated, key=lambda line: line["score"]["val"], default=None),
        "best_test": max(evaluations, key=lambda line: line["score"]["test"]),
        "last_ten": mean_of_last_ten(evaluations),
        "last_snapshot": next((line for line in reversed(log) if line.get("kind") == "snapshot"), None),
    }


def mean_of_last_ten(evaluations: list[dict]) -> dict | None:
    """Return the mean test metrics of the last ten epochs, or None unless each of them was evaluated.

    Args:
        evaluations: lines of the log, in order.

    Example:
        >>> lines = [{"epoch": n, "test": {"miou": n / 10}, "score": {"test": n}} for n in range(1, 13)]
        >>> mean_of_last_ten(lines)
        {'epoch': 12, 'test': {'miou': 0.75}, 'score': {'test': 7.5}}
    """
    last = evaluations[-LAST:]
    if len(last) < LAST or last[-1]["epoch"] - last[0]["epoch"] != LAST - 1:
        return None
    names = [name for name in last[-1]["test"] if all(name in line["test"] for line in last)]
    metrics = {name: _mean([line["test"][name] for line in last]) for name in names}
    score = statistics.fmean(line["score"]["test"] for line in last)
    return {"epoch": last[-1]["epoch"], "test": metrics, "score": {"test": round(score, 6)}}


def _mean(values: list) -> float | list[float]:
    """Return the mean of numbers, or of lists place by place."""
    if isinstance(values[0], list):
        return [_mean(list(column)) for column in zip(*values, strict=True)]  # type: ignore[misc]
    return float(f"{statistics.fmean(values):.6g}")


def _log(file: Path, tasks: int) -> list[dict]:
    *lines, _ = file.read_text(encoding="utf-8").split("\n") if file.is_file() else [""]
    entries = []
    for number, line in enumerate(lines, 1):
        name = f"{file.name}, line {number},"
        entries.append(json_object(line, name))
        check_line(entries[-1], tasks, name)
    return entries
