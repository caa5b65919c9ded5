"""The report as text: Markdown tables of rows and differences."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial

from ..paper.multimnist import SETTING
from .tables import WEIGHTS, name_of

CALIBRATION = ("nll", "ece", "brier")  # metrics with a table of their own
Column = tuple[str, Callable[[dict], str]]

HEAD = """# Report

Test figures: mean ± sample standard deviation over n seeds; a dash where there is none. *Picked*: the \
epoch with the best validation score. *Best on test* is not an honest figure, because test data picks the \
epoch; it is here because the authors report it."""


def markdown(rows: Sequence[dict], differences: Sequence[dict], left_out: Sequence[str]) -> str:
    """Return the whole report.

    Args:
        rows: the rows, from :func:`~flatmtl_lite.runs.report.tables.rows`.
        differences: the pairs, from :func:`~flatmtl_lite.runs.report.tables.differences`.
        left_out: a sentence for each run that is in no row.
    """
    parts = [HEAD]
    for place in dict.fromkeys((row["experiment"], row["variant"]) for row in rows):
        group = [row for row in rows if (row["experiment"], row["variant"]) == place]
        pairs = [pair for pair in differences if (pair["experiment"], pair["variant"]) == place]
        parts += _section(place, group, pairs)
    if any(row["published"] for row in rows):
        parts.append(SETTING)
    if left_out:
        parts += ["## Left out", "\n".join(f"* {sentence}" for sentence in left_out)]
    return "\n\n".join(parts) + "\n"


def _section(place: tuple, group: list[dict], pairs: list[dict]) -> list[str]:
    names = dict.fromkeys(name for row in group for name in row["settings"] if name != WEIGHTS)
    varying = [n for n in names if len({json.dumps(row["settings"].get(n)) for row in group}) > 1]
    same = [_setting(group[0], name) for name in names if name not in varying]

    def who(row: dict) -> str:
        epochs = f" (unfinished, epoch {row['unfinished']} of {row['settings']['config.epochs']})"
        words = [_method(name_of(row), row["rho"]), *(_setting(row, name) for name in varying)]
        return ", ".join(words) + (epochs if row["unfinished"] is not None else "")

    metrics = dict.fromkeys(name for row in group for name in row["metrics"]["final"])
    main = [name for name in metrics if name not in CALIBRATION]
    front: list[Column] = [("method", who), ("n", lambda row: str(len(row["seeds"])))]

    def score(at: str) -> list[Column]:  # with a single metric it is that metric's average
        return [("score", lambda row: _cell(row, row["score"][at]))] if len(main) > 1 else []

    best = ("best on test, as the authors report", lambda row: _cell(row, row["score"]["best_test"]))
    paper = [("published", _published)] * any(row["published"] for row in group)
    picked = ("epochs", lambda row: ", ".join(map(str, row["picked_epochs"])))
    calibration = _columns(group, "final", [name for name in metrics if name in CALIBRATION], tasks=False)
    tables = {
        "At the last epoch": [*front, *_columns(group, "final", main), *score("final"), best, *paper],
        "At the epoch picked on validation": [
            *front,
            *_columns(group, "picked", main),
            *score("picked"),
            picked,
        ],
        "Calibration and sharpness at the last epoch, time": [
            *front,
            *calibration,
            *_sharpness(group),
            _SECONDS,
        ],
    }
    texts = [f"## {', '.join(filter(None, place))}", f"The same in every row: {', '.join(same)}."]
    for title, columns in tables.items():
        texts += [f"### {title}", _table(columns, group)]
    if pairs:
        texts += ["### Differences of the score, paired by seed", _table(_pair_columns(varying), pairs)]
    return texts


def _columns(group: list[dict], at: str, metrics: list[str], tasks: bool = True) -> list[Column]:
    columns: list[Column] = []
    for metric in metrics:
        example = next(row for row in group if metric in row["metrics"][at])
        count = len(example["metrics"][at][metric]["tasks"])
        names = example["task_names"]
        if count != len(names):
            names = [str(number) for number in range(1, count + 1)]

        def task(row: dict, place: int, metric: str = metric) -> str:
            values = row["metrics"][at].get(metric)
            return _cell(row, values and values["tasks"][place])

        def average(row: dict, metric: str = metric) -> str:
            values = row["metrics"][at].get(metric)
            return _cell(row, values and values["average"])

        if tasks and count > 1:
            columns += [(f"{metric}, {name}", partial(task, place=k)) for k, name in enumerate(names)]
        columns.append((f"{metric}, average" if count > 1 else metric, average))
    return columns


def _sharpness(group: list[dict]) -> list[Column]:
    radii = {row["sharpness"]["rho"] for row in group if row["sharpness"]}

    def cell(row: dict, rho: float) -> str:
        sharpness = row["sharpness"]
        return _cell(row, sharpness["average"]) if sharpness and sharpness["rho"] == rho else "-"

    return [(f"sharpness at ρ={rho:g}, average", partial(cell, rho=rho)) for rho in sorted(radii)]


_SECONDS: Column = ("seconds", lambda row: _cell(row, row["seconds"]))


def _pair_columns(varying: list[str]) -> list[Column]:
    def who(pair: dict) -> str:
        words = [f"{_method(*pair['one'])} − {_method(*pair['other'])}"]
        return ", ".join(words + [_setting(pair, name) for name in varying])

    def each(pair: dict, at: str) -> str:
        return ", ".join(f"{value:+.2f}" for value in pair[at]["each"])

    def mean(pair: dict, at: str) -> str:
        mean, sd, _ = pair[at]["spread"]
        return f"{mean:+.2f} ± {'-' if sd is None else f'{sd:.2f}'}"

    columns: list[Column] = [("difference", who), ("seeds", lambda pair: ", ".join(map(str, pair["seeds"])))]
    for at in ("final", "picked"):
        columns += [(at, partial(mean, at=at)), (f"{at}, each", partial(each, at=at))]
    return columns


def _method(method: str, rho: float | None) -> str:
    return method if rho is None else f"{method} ρ={rho:g}"


def _setting(row: dict, name: str) -> str:
    return f"{name.partition('.')[2]}={row['settings'].get(name)}"


def _published(row: dict) -> str:
    paper = row["published"]
    if not paper:
        return "-"
    tasks = "".join(f"{task.mean:.2f} / " for task in paper["tasks"] if task)
    mean, sd = paper["average"]
    notes = "; ".join(filter(None, (paper["source"], paper["misprint"])))
    return f"{tasks}{mean:.2f}{'' if sd is None else f' ± {sd:.2f}'} ({notes})"


def _cell(row: dict, spread: tuple | None) -> str:
    """Write a spread with four digits of its mean, and its count if it has fewer seeds than the row."""
    if spread is None:
        return "-"
    mean, sd, n = spread
    digits = 3 - math.floor(math.log10(abs(mean))) if mean and math.isfinite(mean) else 3
    digits = max(0, digits)
    fewer = "" if n == len(row["seeds"]) else f" (n={n})"
    return f"{mean:.{digits}f} ± {'-' if sd is None else f'{sd:.{digits}f}'}{fewer}"


def _table(columns: list[Column], entries: list[dict]) -> str:
    lines = [[title for title, _ in columns], ["---"] * len(columns)]
    lines += [[cell(entry) for _, cell in columns] for entry in entries]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
