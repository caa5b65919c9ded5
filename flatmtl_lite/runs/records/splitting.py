"""How often loss and flat parts conflict in training, with and without SAM: what notebook 03 quotes.

``python -m flatmtl_lite.runs.records.splitting FILE`` trains the teaching setting by LS and by F-LS and
records the shares; on LS the flat parts are measured at the radius of F-LS, and change nothing.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean

import torch

from ...diagnostics import share_in_conflict, sum_by_thirds
from ...files import write_whole
from ..data.sources import shipped
from ..engine.config import Config
from ..engine.run import Run
from ..train import train
from .teaching import METHODS, teaching_config, teaching_data
from .writing import begun, check_folder, main

KINDS = ("loss parts", "flat parts", "within task 1", "within task 2")


def splitting_config(label: str, seed: int) -> Config:
    """The configuration of "LS" or "F-LS" in the teaching setting, with the flat parts measured on both."""
    return replace(teaching_config(label, seed), measure_rho=METHODS["F-LS"].rho)


def conflict_by_third(run: Run) -> dict[str, list[float]]:
    """Share of the measured steps with a negative cosine, per kind of ``KINDS`` and third of training.

    "loss parts" and "flat parts" are the cosines between the two tasks, "within" those of a task's loss
    part with its own flat part.

    Raises:
        ValueError: not two tasks, or a measured step without flat parts.
    """
    tasks = len(run.model.heads)
    if tasks != 2:
        raise ValueError(f"Got a run of {tasks} tasks; expected two: the shares are of their one pair.")
    bare = sum("flat" not in step for step in run.measured_steps)
    if bare:
        raise ValueError(
            f"Got {bare} of {len(run.measured_steps)} measured steps without flat parts (method "
            f"{run.config.method!r}, measure_rho={run.config.measure_rho}); expected them at each. Train by "
            "a method that takes them, such as f-mean, with rho > 0, or set measure_rho > 0."
        )
    rows = [[*step["loss"], *step["flat"], *step["intra"]] for step in run.measured_steps]
    negative = torch.tensor(rows) < 0
    histograms = torch.stack([negative, ~negative], -1)
    times = [step["epoch"] for step in run.measured_steps]
    shares = share_in_conflict(sum_by_thirds(times, run.config.epochs, histograms))
    return dict(zip(KINDS, shares.T.tolist(), strict=True))


def recorded() -> dict:
    """The recorded runs that ship in ``data/results/splitting.json``: ``runs``, command, ..."""
    return json.loads(shipped("results/splitting.json"))


def recorded_conflict(record: dict, label: str) -> dict[str, list[float]]:
    """:func:`conflict_by_third`, mean over the recorded seeds of a method."""
    runs = [run["conflict_by_third"] for run in record["runs"] if run["label"] == label]
    return {kind: [mean(third) for third in zip(*(run[kind] for run in runs), strict=True)] for kind in KINDS}


def record(path: Path, seeds: list[int]) -> None:
    """Train by LS and by F-LS with every seed; the file is written anew after every run.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    check_folder(path)
    results = {
        **begun("splitting", path, seeds),
        "runs": [],
    }
    for seed in seeds:
        data = teaching_data(seed)
        results["data"] = data.origin
        for label in ("LS", "F-LS"):
            run = train(data, splitting_config(label, seed))
            shares = {kind: [round(v, 3) for v in third] for kind, third in conflict_by_third(run).items()}
            results["runs"].append({"label": label, **asdict(run.config), "conflict_by_third": shares})
            write_whole(path, json.dumps(results, indent=1))


if __name__ == "__main__":
    main(record)
