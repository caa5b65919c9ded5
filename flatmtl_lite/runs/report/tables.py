"""The rows of the report: means over seeds, differences paired by seed, the paper's figures."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict

from ..engine.config import FREE_OPTIONS
from ..paper.multimnist import published_row
from .forms import EVALUATIONS
from .read import RecordedRun, numbers

WEIGHTS = "config.weights"  # the setting that belongs to the method and not to its surroundings
SHARPNESS_RADIUS = 0.05  # the report shows the nearest radius of the snapshot
Spread = tuple[float, float | None, int]


def spread(values: Sequence[float]) -> Spread:
    """Return mean, sample standard deviation (None for a single value) and count.

    Example:
        >>> spread([1.0, 3.0]), spread([2.0])
        ((2.0, 1.4142135623730951, 2), (2.0, None, 1))
    """
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return statistics.mean(values), deviation, len(values)


def rows(runs: Sequence[RecordedRun]) -> tuple[list[dict], list[str]]:
    """Return one row for all runs that differ in nothing but the seed.

    Runs with another data size, number of epochs, network, ... are in another row. Unfinished runs share a
    row only with runs that have reached the same epoch.

    Returns:
        The rows, and a sentence for each run that is left out because another run in its row has its seed, or
        metrics of another form. A row has ``experiment``, ``variant``, ``method``, ``rho`` (None if unused),
        ``task_names``, ``settings`` (every other option), ``unfinished`` (epochs so far, or None), ``seeds``
        and the names of their ``runs``. At each of ``EVALUATIONS`` that all its runs have, it has the
        ``scores`` (one per seed), the ``score`` and the ``metrics`` (each has ``tasks`` and their
        ``average``). It has ``picked_epochs``, ``sharpness`` (``rho``, ``tasks``, ``average``), ``seconds``,
        ``published``. A value over all seeds is a :func:`spread`.
    """
    groups: dict[str, tuple[dict, dict[int, RecordedRun]]] = {}
    left_out = []
    for run in runs:
        identity = _identity(run.result)
        _, seeds = groups.setdefault(json.dumps(identity, sort_keys=True), (identity, {}))
        seed = run.result["config"]["seed"]
        if seed in seeds:
            left_out.append(f"{run.name}: seed {seed} of the same row is in {seeds[seed].name}")
        elif seeds and (difference := _other_form(run, next(iter(seeds.values())))):
            left_out.append(f"{run.name}: {difference}")
        else:
            seeds[seed] = run
    table = [_row(identity, dict(sorted(seeds.items()))) for identity, seeds in groups.values()]
    return sorted(table, key=_order), left_out


def _other_form(run: RecordedRun, first: RecordedRun) -> str:
    """Return how a run's metrics differ in form from the metrics of the row's first run, or ""."""
    for at in EVALUATIONS:
        if not (run.result.get(at) and first.result.get(at)):
            continue
        mine, theirs = run.result[at]["test"], first.result[at]["test"]
        for metric in mine.keys() & theirs.keys():
            counts = [len(numbers(values[metric])) for values in (mine, theirs)]
            if counts[0] != counts[1]:
                words = f"{metric} has {counts[0]} value(s) in {at}, and {counts[1]}"
                return f"{words} in {first.name} of the same row"
    return ""


def _order(row: dict) -> tuple:
    """Return a key for sorting that puts rows with the same aggregator next to each other."""
    prefix, _, aggregator = row["method"].rpartition("-")
    names = row["experiment"], row["variant"] or "", aggregator, prefix
    return *names, row["rho"] or 0, row["unfinished"] or 0, json.dumps(row["settings"])


def _identity(result: dict) -> dict:
    """Return everything in which two runs of one row agree: all options except the seed."""
    settings = dict(result["settings"])
    config = dict(result["config"])
    for name in ("seed", *FREE_OPTIONS):
        config.pop(name, None)
    method, rho = config.pop("method"), config.pop("rho")
    return {
        "experiment": result["experiment"],
        "variant": settings.pop("variant", None),
        "method": method,
        "rho": rho if "-" in method else None,
        "task_names": result["task_names"],
        "settings": {f"settings.{name}": value for name, value in settings.items()}
        | {f"config.{name}": value for name, value in config.items()},
        "unfinished": None if result.get("finished") else result["final"]["epoch"],
    }


def _row(identity: dict, seeds: dict[int, RecordedRun]) -> dict:
    results = [run.result for run in seeds.values()]
    known = [at for at in EVALUATIONS if all(r.get(at) for r in results)]
    scores = {at: [r[at]["score"]["test"] for r in results] for at in known}
    paper = published_row(identity["experiment"], results[0]["settings"], identity["method"])
    return {
        **identity,
        "seeds": list(seeds),
        "runs": [run.name for run in seeds.values()],
        "scores": scores,
        "score": {at: spread(values) for at, values in scores.items()},
        "metrics": {at: _metrics([r[at]["test"] for r in results]) for at in known},
        "picked_epochs": [r["picked"]["epoch"] for r in results] if "picked" in known else [],
        "sharpness": _sharpness(results),
        "seconds": spread([r["seconds"] for r in results]) if identity["unfinished"] is None else None,
        "published": paper and asdict(paper),
    }


def _metrics(tests: list[dict]) -> dict[str, dict]:
    names = dict.fromkeys(name for test in tests for name in test)
    return {name: _over_tasks([numbers(test[name]) for test in tests if name in test]) for name in names}


def _over_tasks(values: list[list[float]]) -> dict:
    """Return the spread of each task and of the mean over tasks, from values per seed and task."""
    return {
        "tasks": [spread(task) for task in zip(*values, strict=True)],
        "average": spread([statistics.mean(tasks) for tasks in values]),
    }


def _sharpness(results: list[dict]) -> dict | None:
    """Return the sharpness at the radius nearest to ``SHARPNESS_RADIUS``, over the runs that have it."""
    snapshots = [r["last_snapshot"] for r in results if r.get("last_snapshot")]
    if not snapshots:
        return None
    radii = {rho for snapshot in snapshots for rho in snapshot["rho"]}
    radius = min(radii, key=lambda rho: abs(rho - SHARPNESS_RADIUS))
    values = [dict(zip(s["rho"], s["sharpness"], strict=True)).get(radius, [None]) for s in snapshots]
    whole = [tasks for tasks in values if None not in tasks]  # an infinite rise is recorded as null
    return {"rho": radius, **_over_tasks(whole)} if whole else None


def differences(table: Sequence[dict]) -> list[dict]:
    """Return differences of test scores, paired by seed.

    The pairs are f-X minus X, f-X minus direct-X, lf-X and ff-X minus X and minus f-X, and every method minus
    mean. Only finished rows with the same settings, except method, radius and fixed weights, are compared,
    and fixed weights only with the same weights or with mean.

    Args:
        table: the rows.

    Returns:
        For each pair ``experiment``, ``variant``, the ``one`` and the ``other`` row (as :func:`name_of`
        and radius), ``settings``, the ``seeds`` that both have, and for "final" and "picked" ``each``
        difference and their ``spread``.
    """
    families: dict[str, dict[tuple[str, float | None, str], dict]] = {}
    for row in table:
        if row["unfinished"] is None:
            same = [row[name] for name in ("experiment", "variant", "task_names")]
            # A key for all weights, so that a row of an older version without this setting stays apart.
            settings = {name: "" if name == WEIGHTS else value for name, value in row["settings"].items()}
            family = families.setdefault(json.dumps([*same, settings], sort_keys=True), {})
            family[row["method"], row["rho"], _weights(row)] = row
    return [
        _difference(one, family[other])
        for family in families.values()
        for name, one in family.items()
        for other in _partners(*name)
        if other in family and set(one["seeds"]) & set(family[other]["seeds"])
    ]


def _partners(method: str, rho: float | None, weights: str) -> list[tuple[str, float | None, str]]:
    prefix, _, aggregator = method.rpartition("-")
    flat = {"f": "direct", "lf": "f", "ff": "f"}.get(prefix)
    names: list[tuple[str, float | None, str]] = (
        [(aggregator, None, weights), (f"{flat}-{aggregator}", rho, weights)] if flat else []
    )
    names += [("mean", None, "")] * (method != "mean")
    return list(dict.fromkeys(names))


def name_of(row: dict) -> str:
    """Return the method of a row, with its fixed weights if it has any, such as "constant 0.7,0.3"."""
    return f"{row['method']} {_weights(row)}".rstrip()


def _weights(row: dict) -> str:
    return row["settings"].get(WEIGHTS) or ""


def _difference(one: dict, other: dict) -> dict:
    seeds = [seed for seed in one["seeds"] if seed in other["seeds"]]

    def at(name: str) -> dict:
        values = [dict(zip(row["seeds"], row["scores"][name], strict=True)) for row in (one, other)]
        each = [round(values[0][seed] - values[1][seed], 6) + 0.0 for seed in seeds]
        return {"each": each, "spread": spread(each)}

    return {
        **{name: one[name] for name in ("experiment", "variant", "settings")},
        "one": (name_of(one), one["rho"]),
        "other": (name_of(other), other["rho"]),
        "seeds": seeds,
        "final": at("final"),
        "picked": at("picked") if all("picked" in row["scores"] for row in (one, other)) else None,
    }
