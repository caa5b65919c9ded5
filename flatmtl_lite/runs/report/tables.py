"""The report on a folder of runs: means over seeds, differences paired by seed, the paper's figures."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ...files import write_whole
from ..paper.multimnist import published_row
from .read import EVALUATIONS, RecordedRun, numbers, read_runs
from .text import markdown

SHARPNESS_RADIUS = 0.05  # the snapshot's radius that is nearest is shown
Spread = tuple[float, float | None, int]


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation (None of a single value), and how many.

    Example:
        >>> spread([1.0, 3.0]), spread([2.0])
        ((2.0, 1.4142135623730951, 2), (2.0, None, 1))
    """
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return statistics.mean(values), deviation, len(values)


def rows(runs: Sequence[RecordedRun]) -> tuple[list[dict], list[str]]:
    """One row for the runs that differ in nothing but the seed.

    Runs of other data sizes, epochs, networks, ... are other rows; an unfinished run is one by itself or with
    those that have got just as far.

    Returns:
        The rows, and a sentence for each run left out because another one in its row has its seed. Where
        seeds are summed up there is a :func:`spread`. A row has ``experiment``, ``variant``, ``method``,
        ``rho`` (None if unused), ``task_names``, ``settings`` (everything else that was set),
        ``unfinished`` (epochs so far, or None), ``seeds``; at each of ``EVALUATIONS`` the ``scores`` (one a
        seed), the ``score`` and the ``metrics`` (each has ``tasks`` and their ``average``);
        ``picked_epochs``, ``sharpness`` (``rho``, ``tasks``, ``average``), ``seconds``, ``published``.
    """
    groups, left_out = {}, []
    for run in runs:
        identity = _identity(run.result)
        _, seeds = groups.setdefault(json.dumps(identity, sort_keys=True), (identity, {}))
        seed = run.result["config"]["seed"]
        if seed in seeds:
            left_out.append(f"{run.name}: seed {seed} of the same row is in {seeds[seed].name}")
        else:
            seeds[seed] = run
    found = [_row(identity, dict(sorted(seeds.items()))) for identity, seeds in groups.values()]
    return sorted(found, key=_order), left_out


def _order(row: dict) -> tuple:
    """Next to each other: what uses the same aggregator."""
    prefix, _, aggregator = row["method"].rpartition("-")
    names = row["experiment"], row["variant"] or "", aggregator, prefix
    return *names, row["rho"] or 0, row["unfinished"] or 0, json.dumps(row["settings"])


def _identity(result: dict) -> dict:
    """Everything that makes two runs the same but for the seed."""
    settings = dict(result["settings"])
    config = dict(result["config"])
    del config["seed"]
    method, rho = config.pop("method"), config.pop("rho")
    return {
        "experiment": result["experiment"],
        "variant": settings.pop("variant", None),
        "method": method,
        "rho": rho if "-" in method else None,
        "task_names": result["task_names"],
        "settings": {f"settings.{k}": v for k, v in settings.items()}
        | {f"config.{k}": v for k, v in config.items()},
        "unfinished": None if result.get("finished") else result["final"]["epoch"],
    }


def _row(identity: dict, seeds: dict[int, RecordedRun]) -> dict:
    results = [run.result for run in seeds.values()]
    scores = {at: [r[at]["score"]["test"] for r in results] for at in EVALUATIONS}
    paper = published_row(identity["experiment"], results[0]["settings"], identity["method"])
    return {
        **identity,
        "seeds": list(seeds),
        "scores": scores,
        "score": {at: spread(values) for at, values in scores.items()},
        "metrics": {at: _metrics([r[at]["test"] for r in results]) for at in EVALUATIONS},
        "picked_epochs": [r["picked"]["epoch"] for r in results],
        "sharpness": _sharpness(results),
        "seconds": spread([r["seconds"] for r in results]) if identity["unfinished"] is None else None,
        "published": paper and asdict(paper),
    }


def _metrics(tests: list[dict]) -> dict[str, dict]:
    names = dict.fromkeys(name for test in tests for name in test)
    return {name: _over_tasks([numbers(test[name]) for test in tests if name in test]) for name in names}


def _over_tasks(values: list[list[float]]) -> dict:
    """Values per seed and task -> the spread of each task and of the mean over tasks."""
    return {
        "tasks": [spread(task) for task in zip(*values, strict=True)],
        "average": spread([statistics.mean(tasks) for tasks in values]),
    }


def _sharpness(results: list[dict]) -> dict | None:
    snapshots = [r["last_snapshot"] for r in results if r.get("last_snapshot")]
    if not snapshots:
        return None
    radii = snapshots[0]["rho"]
    place = min(range(len(radii)), key=lambda k: abs(radii[k] - SHARPNESS_RADIUS))
    return {"rho": radii[place], **_over_tasks([snapshot["sharpness"][place] for snapshot in snapshots])}


def differences(table: Sequence[dict]) -> list[dict]:
    """Differences of test scores, paired by seed: f-X minus X, f-X minus direct-X, anything minus mean.

    Only finished rows are compared, and only those with the same settings: all but method and radius.

    Args:
        table: the rows.

    Returns:
        ``experiment``, ``variant``, the ``one`` and the ``other`` row (as method and radius), ``settings``,
        the ``seeds`` that both have, and for "final" and "picked" ``each`` difference and their ``spread``.
    """
    families = {}
    for row in table:
        if row["unfinished"] is None:
            same = [row[name] for name in ("experiment", "variant", "task_names", "settings")]
            family = families.setdefault(json.dumps(same, sort_keys=True), {})
            family[row["method"], row["rho"]] = row
    return [
        _difference(one, family[other])
        for family in families.values()
        for name, one in family.items()
        for other in _partners(*name)
        if other in family and set(one["seeds"]) & set(family[other]["seeds"])
    ]


def _partners(method: str, rho: float | None) -> list[tuple[str, float | None]]:
    prefix, _, aggregator = method.rpartition("-")
    names = [(aggregator, None), (f"direct-{aggregator}", rho)] if prefix == "f" else []
    return list(dict.fromkeys(names + [("mean", None)] * (method != "mean")))


def _difference(one: dict, other: dict) -> dict:
    seeds = [seed for seed in one["seeds"] if seed in other["seeds"]]

    def at(name: str) -> dict:
        values = [dict(zip(row["seeds"], row["scores"][name], strict=True)) for row in (one, other)]
        each = [round(values[0][seed] - values[1][seed], 6) + 0.0 for seed in seeds]
        return {"each": each, "spread": spread(each)}

    return {
        **{name: one[name] for name in ("experiment", "variant", "settings")},
        "one": (one["method"], one["rho"]),
        "other": (other["method"], other["rho"]),
        "seeds": seeds,
        "final": at("final"),
        "picked": at("picked"),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser what :func:`main` reads."""
    parser.add_argument("folder", type=Path, help="the folder above the run folders")


def main(
    arguments: argparse.Namespace,
    draw: Callable[[list[dict], str, Path], None] | None = None,
) -> int:
    """Print the report and write ``report.md`` and ``report.json`` into the folder.

    Args:
        arguments: as :func:`add_arguments` has them read.
        draw: called last, with ``{"result": ..., "log": [...]}`` for each run, the report in Markdown and the
            folder.

    Returns:
        Exit code: 0, or 1 if there is nothing to report on.
    """
    try:
        runs, left_out = read_runs(arguments.folder)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    table, doubles = rows(runs)
    left_out += doubles
    for sentence in left_out:
        print(f"warning: left out {sentence}", file=sys.stderr)
    found = {"rows": table, "differences": differences(table), "left_out": left_out}
    text = markdown(**found)
    print(text)
    write_whole(arguments.folder / "report.md", text)
    write_whole(arguments.folder / "report.json", json.dumps(found, indent=1, ensure_ascii=False))
    if draw:
        draw([{"result": run.result, "log": _log(run)} for run in runs], text, arguments.folder)
    return 0


def _log(run: RecordedRun) -> list[dict]:
    try:
        return run.log()
    except (OSError, ValueError) as error:
        print(f"warning: {run.name} is drawn without its log: {error}", file=sys.stderr)
        return []
