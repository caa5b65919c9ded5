"""The tables of the report: their columns, and what stands in a cell."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ...titles import method_title

Column = tuple[str, Callable[[dict], str]]
NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """A table: its title, the titles of its columns, and its lines."""

    title: str
    head: list[str]
    lines: list[list[str]]


def filled_table(title: str, columns: Sequence[Column], entries: Sequence[dict]) -> Table:
    """Return a table with one line for each entry."""
    return Table(title, [name for name, _ in columns], [[cell(e) for _, cell in columns] for e in entries])


def metric_columns(
    group: Sequence[dict], at: str, metrics: Sequence[str], tasks: bool = True
) -> list[Column]:
    """Return a column for each metric at an evaluation, for each task if there are several.

    Args:
        group: the rows of the table.
        at: one of ``EVALUATIONS``.
        metrics: names of metrics.
        tasks: whether each task has a column of its own in addition to their average.
    """
    columns: list[Column] = []
    for metric in metrics:
        example = next((row for row in group if metric in _metrics(row, at)), None)
        if example is None:
            continue
        count = len(_metrics(example, at)[metric]["tasks"])
        names = example["task_names"]
        if count != len(names):
            names = [str(number) for number in range(1, count + 1)]

        def task(row: dict, place: int, metric: str = metric) -> str:
            values = _metrics(row, at).get(metric)
            return cell(row, values and values["tasks"][place])

        def average(row: dict, metric: str = metric) -> str:
            values = _metrics(row, at).get(metric)
            return cell(row, values and values["average"])

        if tasks and count > 1:
            columns += [(f"{metric}, {name}", partial(task, place=k)) for k, name in enumerate(names)]
        columns.append((f"{metric}, average" if count > 1 else metric, average))
    return columns


def score_column(title: str, at: str) -> Column:
    """Return the column of the score at an evaluation."""
    return title, lambda row: cell(row, row["score"].get(at))


def sharpness_columns(group: Sequence[dict]) -> list[Column]:
    """Return a column for each radius at which the sharpness of a row was taken."""
    radii = {row["sharpness"]["rho"] for row in group if row["sharpness"]}

    def shown(row: dict, rho: float) -> str:
        sharpness = row["sharpness"]
        return cell(row, sharpness["average"]) if sharpness and sharpness["rho"] == rho else NOTHING

    return [(f"sharpness at ρ={rho:g}, average", partial(shown, rho=rho)) for rho in sorted(radii)]


SECONDS: Column = ("seconds", lambda row: cell(row, row["seconds"]))
PUBLISHED: Column = ("published", lambda row: published(row))


def pair_columns(pairs: Sequence[dict], varying: Sequence[str]) -> list[Column]:
    """Return the columns of the differences; ``varying``: settings that differ within the table."""

    def who(pair: dict) -> str:
        words = [f"{title_of(*pair['one'])} − {title_of(*pair['other'])}"]
        return ", ".join(words + [setting(pair, name) for name in varying])

    def each(pair: dict, at: str) -> str:
        return ", ".join(f"{value:+.2f}" for value in pair[at]["each"]) if pair[at] else NOTHING

    def mean(pair: dict, at: str) -> str:
        if not pair[at]:
            return NOTHING
        mean, sd, _ = pair[at]["spread"]
        return f"{mean:+.2f} ± {NOTHING if sd is None else f'{sd:.2f}'}"

    columns: list[Column] = [("difference", who), ("seeds", lambda pair: ", ".join(map(str, pair["seeds"])))]
    for at in ("final", "picked"):
        if any(pair[at] for pair in pairs):
            columns += [(at, partial(mean, at=at)), (f"{at}, each", partial(each, at=at))]
    return columns


def title_of(name: str, rho: float | None) -> str:
    """Return the name of a row for people, from its method with fixed weights, and its radius.

    Example:
        >>> title_of("f-constant 0.7,0.3", 0.05)
        'F-Constant 0.7,0.3 ρ=0.05'
    """
    method, _, weights = name.partition(" ")
    return " ".join(filter(None, (method_title(method), weights, "" if rho is None else f"ρ={rho:g}")))


def setting(row: dict, name: str) -> str:
    """Return a setting of a row as "name=value"."""
    return f"{name.partition('.')[2]}={row['settings'].get(name)}"


def published(row: dict) -> str:
    """Return the figures of the paper for a row, with their source."""
    paper = row["published"]
    if not paper:
        return NOTHING
    tasks = "".join(f"{task.mean:.2f} / " for task in paper["tasks"] if task)
    mean, sd = paper["average"]
    notes = "; ".join(filter(None, (paper["source"], paper["misprint"])))
    return f"{tasks}{mean:.2f}{'' if sd is None else f' ± {sd:.2f}'} ({notes})"


def cell(row: dict, spread: tuple | None) -> str:
    """Write a spread with four digits of its mean, and its count if it has fewer seeds than the row."""
    if spread is None:
        return NOTHING
    mean, sd, n = spread
    digits = 3 - math.floor(math.log10(abs(mean))) if mean and math.isfinite(mean) else 3
    digits = max(0, digits)
    fewer = "" if n == len(row["seeds"]) else f" (n={n})"
    return f"{mean:.{digits}f} ± {NOTHING if sd is None else f'{sd:.{digits}f}'}{fewer}"


def _metrics(row: dict, at: str) -> dict:
    return row["metrics"].get(at, {})
