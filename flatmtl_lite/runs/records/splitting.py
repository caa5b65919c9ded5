"""How often loss and flat parts conflict in training, with and without SAM: the record of notebook 03.

``flatmtl-lite record splitting FILE`` trains the teaching setting by LS and by F-LS and records the shares.
On LS the flat parts are measured at the radius of F-LS, which does not change the training.
"""

from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any, cast

import torch

from ...diagnostics import share_in_conflict, sum_by_thirds
from ..data.multimnist import MultiTaskData
from ..engine.config import Config
from ..engine.model import MultiTaskNet
from ..engine.run import Run
from ..train import train
from .record_file import RecordFile, load_record
from .teaching import TEACHING_RHO, teaching_config, teaching_data

KINDS = ("loss parts", "flat parts", "within task 1", "within task 2")


def splitting_config(label: str, seed: int) -> Config:
    """Return the configuration of "LS" or "F-LS" in the teaching setting; flat parts are measured on both."""
    return replace(teaching_config(label, seed), measure_rho=TEACHING_RHO)


def conflict_by_third(run: Run) -> dict[str, list[float]]:
    """Return the share of measured steps with a negative cosine, per kind in ``KINDS`` and third of training.

    "loss parts" and "flat parts" are the cosines between the two tasks. "within" are the cosines of a task's
    loss part with its own flat part.

    Raises:
        ValueError: the run does not have two tasks, or a measured step has no flat parts.
    """
    tasks = len(cast(MultiTaskNet, run.model).heads)
    if tasks != 2:
        raise ValueError(f"Got a run of {tasks} tasks; expected two: the shares are of their one pair.")
    missing = sum("flat" not in step for step in run.measured_steps)
    if missing:
        raise ValueError(
            f"Got {missing} of {len(run.measured_steps)} measured steps without flat parts (method "
            f"{run.config.method!r}, measure_rho={run.config.measure_rho}); expected them at each step. "
            "Train by a method that takes them, such as f-mean, with rho > 0, or set measure_rho > 0."
        )
    rows = [[*step["loss"], *step["flat"], *step["intra"]] for step in run.measured_steps]
    negative = torch.tensor(rows) < 0
    histograms = torch.stack([negative, ~negative], -1)
    times = [step["epoch"] for step in run.measured_steps]
    shares = share_in_conflict(sum_by_thirds(times, run.config.epochs, histograms))
    return dict(zip(KINDS, shares.T.tolist(), strict=True))


def recorded() -> dict:
    """Return the record ``data/results/splitting.json``: ``runs``, command, ..."""
    return load_record("splitting")


def recorded_conflict(record: dict, label: str) -> dict[str, list[float]]:
    """Return :func:`conflict_by_third` as a mean over the recorded seeds of a method."""
    runs = [run["conflict_by_third"] for run in record["runs"] if run["label"] == label]
    return {kind: [mean(third) for third in zip(*(run[kind] for run in runs), strict=True)] for kind in KINDS}


def record(path: Path, seeds: list[int]) -> None:
    """Train by LS and by F-LS with every seed; the file is written again after every run.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    file = RecordFile("splitting", path, seeds)
    for seed in seeds:
        data = teaching_data(seed)
        file.content["data"] = data.origin
        for label in ("LS", "F-LS"):
            config = splitting_config(label, seed)

            def make(data: MultiTaskData = data, config: Config = config) -> dict[str, Any]:
                shares = conflict_by_third(train(data, config))
                return {
                    "conflict_by_third": {
                        kind: [round(v, 3) for v in third] for kind, third in shares.items()
                    }
                }

            file.entry("runs", {"label": label, **asdict(config)}, make)
