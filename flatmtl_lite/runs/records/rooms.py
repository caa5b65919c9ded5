"""Dense scenes: four methods, plain, direct and flat, on synthetic rooms. The record of notebook 08.

``flatmtl-lite record rooms SWEEP FILE`` makes the record from the finished run folders of the commands in
``COMMANDS``. Nothing in it says anything about NYUv2.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...diagnostics import share_in_conflict, sum_by_thirds
from ...files import write_whole
from ..engine.methods import parse_method
from ..engine.rounding import rounded
from ..measures.scenes import HIGHER_IS_BETTER, delta_m
from ..report.read import RecordedRun, read_runs
from ..report.tables import spread
from .record_file import check_folder, load_record

AGGREGATORS = ("mean", "mgda", "cagrad", "imtl_g")
METHODS = ("stl", *AGGREGATORS, *(f"{rule}-{a}" for rule in ("direct", "f") for a in AGGREGATORS))
SEEDS = (0, 1, 2)
SHOWN = ("mean", "f-cagrad")  # methods whose snapshots of the first seed are kept
# ρ was picked by the score on validation rooms after the last epoch: one radius for all methods with SAM
SELECTION = ("f-cagrad", (0.01, 0.02, 0.05))
SELECTION_SEED = 100
_SWEEP = "flatmtl-lite sweep rooms --preset demo"
_SEEDS = " ".join(map(str, SEEDS))
COMMANDS = (
    f"{_SWEEP} --snapshot-every 0 --methods {' '.join(METHODS)} --seeds {_SEEDS} --out SWEEP",
    f"{_SWEEP} --snapshot-every 0 --methods cagrad {SELECTION[0]} --rhos {' '.join(map(str, SELECTION[1]))}"
    f" --seeds {SELECTION_SEED} --out SWEEP/selection",
    f"{_SWEEP} --snapshot-every 10 --methods {' '.join(SHOWN)} --seeds {SEEDS[0]} --out SWEEP/snapshots",
)
PARTS = ("loss", "flat", "intra")


def conflict_by_third(log: Sequence[dict], epochs: int) -> dict[str, list[float]]:
    """Return the share of negative cosines in each third of training, for loss, flat and intra-task pairs.

    Args:
        log: log of a run; its entries of kind "epoch" count the cosines.
        epochs: number of epochs of the run, at least three.

    Example:
        >>> histogram = [3] + [0] * 18 + [1]
        >>> log = [{"kind": "epoch", "epoch": e, "histograms": {"loss": histogram}} for e in (1, 2, 3)]
        >>> conflict_by_third(log, 3)
        {'loss': [0.75, 0.75, 0.75]}
    """
    shares = {}
    for part in PARTS:
        entries = [e for e in log if e["kind"] == "epoch" and part in e.get("histograms", {})]
        if not entries:
            continue
        histograms = [entry["histograms"][part] for entry in entries]
        counts = sum_by_thirds([entry["epoch"] - 1 for entry in entries], epochs, histograms)
        if bool(counts.sum(-1).all()):
            shares[part] = rounded(share_in_conflict(counts))
    return shares


def record(sweep: Path, path: Path) -> None:
    """Write the record of the finished runs below a folder.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist, or there is no run.
        ValueError: a run is missing, or the runs differ in more than method and seed.
    """
    check_folder(path)
    readable, unreadable = read_runs(sweep)
    runs = [run for run in readable if run.result["finished"]]
    plain = _by_method_and_seed(run for run in runs if not run.result["config"]["snapshot_every"])
    selection = [run.result for run in runs if run.result["config"]["seed"] == SELECTION_SEED]
    shown = _by_method_and_seed(run for run in runs if run.result["config"]["snapshot_every"])
    keys = [(method, seed) for seed in SEEDS for method in METHODS]
    missing: list = [key for key in keys if key not in plain]
    missing += [f"snapshots of {method}" for method in SHOWN if (method, SEEDS[0]) not in shown]
    missing += ["the selection"] * (not selection)
    if missing:
        words = "\n".join(COMMANDS)
        left_out = f" Left out: {'; '.join(unreadable)}." if unreadable else ""
        raise ValueError(
            f"Got no finished run for {missing} below {sweep}; expected all.{left_out} First run\n{words}"
        )
    same = [_shared(plain[key].result) for key in keys]
    if any(settings != same[0] for settings in same):
        raise ValueError(
            f"Got runs of different settings below {sweep}; expected one setting. Sweep again into "
            "a new folder."
        )
    about = plain[keys[0]].result["about"]
    content = {
        "what": "synthetic rooms, drawn by a program; figures on them say nothing about NYUv2",
        "commands": [*COMMANDS, f"flatmtl-lite record rooms SWEEP {path.as_posix()}"],
        **{name: about[name] for name in ("date", "machine", "data")},
        **same[0],
        "selection": [
            {**_name(result["config"]), "val_score": result["final"]["score"]["val"]} for result in selection
        ],
        "runs": [_summary(plain[key], plain["stl", key[1]]) for key in keys],
        "snapshots": {method: _snapshots(shown[method, SEEDS[0]]) for method in SHOWN},
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


def recorded() -> dict:
    """Return the record ``data/results/rooms.json``: ``runs``, ``snapshots``, commands, date, ..."""
    return load_record("rooms")


def by_method(record: dict, key: str) -> dict[str, list[float]]:
    """Return one value per seed for each method: ``delta_m``, ``seconds``, or a test metric ("miou")."""
    values: dict[str, list[float]] = {method: [] for method in METHODS}
    for run in record["runs"]:
        values[run["method"]].append(run[key] if key in run else run["test"][key])
    return values


def table(record: dict) -> list[str]:
    """Return one line per method: Δm against the single-task networks of the same seed, and four metrics.

    The figures are means over seeds. Δm has its sample standard deviation, too; a negative Δm is better.
    """
    columns = {"mIoU": "miou", "pixel acc.": "pixacc", "depth error, m": "abs_err", "angle, degrees": "mean"}
    lines = [f"{'':<16}{'Δm, %':<18}{''.join(f'{name:<16}' for name in columns)}".rstrip()]
    for method, changes in by_method(record, "delta_m").items():
        mean, sd, _ = spread(changes)
        cells = [f"{spread(by_method(record, key)[method])[0]:<16.4g}" for key in columns.values()]
        lines.append(f"{method:<16}{f'{mean:+.1f} ± {sd:.1f}':<18}{''.join(cells)}".rstrip())
    return lines


def _by_method_and_seed(runs: Iterable[RecordedRun]) -> dict[tuple[str, int], RecordedRun]:
    return {(run.result["config"]["method"], run.result["config"]["seed"]): run for run in runs}


def _name(config: dict) -> dict:
    rho = config["rho"] if parse_method(config["method"]).uses_rho else None
    return {"method": config["method"], "rho": rho, "seed": config["seed"]}


def _shared(result: dict) -> dict:
    """Return settings and configuration without method and seed."""
    config = {name: v for name, v in result["config"].items() if name not in ("method", "seed")}
    return {"settings": result["settings"], "config": config}


def _summary(run: RecordedRun, single: RecordedRun) -> dict:
    result, base = run.result, single.result["final"]["test"]
    config, test = result["config"], result["final"]["test"]
    values, base = ({name: metrics[name] for name in HIGHER_IS_BETTER} for metrics in (test, base))
    return {
        **_name(config),
        "parameters": result["parameters"],
        "val": result["final"]["val"],
        "test": test,
        "delta_m": round(delta_m(values, base, HIGHER_IS_BETTER) + 0.0, 3),
        "picked_epoch": result["picked"]["epoch"],
        "picked_test": result["picked"]["test"],
        "conflict_by_third": conflict_by_third(run.log(), config["epochs"]),
        "seconds": result["seconds"],
    }


def _snapshots(run: RecordedRun) -> list[dict]:
    lines = [line for line in run.log() if line["kind"] == "snapshot"]
    return [{name: value for name, value in line.items() if name != "kind"} for line in lines]
