"""The teaching setting: small, noisy, and the one place on a CPU where flatness visibly pays.

2,000 pairs of Fashion+MNIST, 40 % of the labels wrong, an MLP, SGD. ``flatmtl-lite record teaching FILE``
trains the runs that notebook 07 quotes and records them.
"""

import os
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...names import check_name
from ..data.multimnist import MultiTaskData, fashion_and_mnist
from ..engine.config import Config
from ..engine.run import Run
from ..report.tables import Spread, spread
from ..train import train
from .outcome import accuracies, angles
from .record_file import RecordFile, load_record
from .tuning import SELECTION_SEED

TEACHING_RHO = 0.14  # SELECTION picked it
_SETTING: dict[str, Any] = dict(rho=TEACHING_RHO, norm="together")
METHODS = {
    "LS": Config("mean", **_SETTING),
    "LS + weight decay": Config("mean", **_SETTING, weight_decay=0.01),
    "SAM on the mean loss": Config("sam-mean", **_SETTING | dict(rho=0.2)),
    "F-LS": Config("f-mean", **_SETTING),
    "direct CAGrad": Config("direct-cagrad", **_SETTING),
    "F-CAGrad": Config("f-cagrad", **_SETTING),
}
# ρ and weight decay were picked with seed 100, by accuracy on the noisy validation labels
SELECTION: dict[str, tuple[str, tuple[float, ...]]] = {
    "F-LS": ("rho", (0.05, 0.1, 0.14, 0.2, 0.4)),
    "SAM on the mean loss": ("rho", (0.05, 0.1, 0.14, 0.2, 0.4)),
    "LS + weight decay": ("weight_decay", (0.005, 0.007, 0.01, 0.02, 0.03)),
}

GARMENTS = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)


def teaching_data(seed: int, label_noise: float = 0.4) -> MultiTaskData:
    """Return the data of the teaching setting, from the shipped sample; digit and garment stay in place."""
    sizes: dict[str, Any] = dict(n_train=2000, n_val=2000)
    return fashion_and_mnist(seed, **sizes, label_noise=label_noise, max_shift=0, sample=True)


def teaching_config(label: str, seed: int) -> Config:
    """Return the configuration of one of ``METHODS``; three epochs instead of 40 if FLATMTL_FAST=1."""
    check_name("method", label, METHODS)
    epochs = 3 if os.environ.get("FLATMTL_FAST") == "1" else METHODS[label].epochs
    return replace(METHODS[label], seed=seed, epochs=epochs)


def recorded() -> dict:
    """Return the record ``data/results/teaching.json``: ``selection``, ``runs``, command, ..."""
    return load_record("teaching")


def final_accuracy(record: dict, label_noise: float) -> dict[str, list[float]]:
    """Return the final test accuracy in per cent, mean over tasks, by method: one value per recorded seed."""
    values: dict[str, list[float]] = {}
    for run in record["runs"]:
        if run["label_noise"] == label_noise:
            values.setdefault(run["label"], []).append(statistics.mean(run["test"]))
    return values


def mean_and_sd(values: dict[str, list[float]]) -> dict[str, Spread]:
    """Return mean, sample standard deviation and count of each list."""
    return {name: spread(v) for name, v in values.items()}


def paired_difference(
    values: dict[str, list[float]], one: str, other: str
) -> tuple[float, float | None, list[float]]:
    """Return ``one`` minus ``other``, seed by seed: mean, sample standard deviation, the differences."""
    each = [round(a - b, 2) + 0.0 for a, b in zip(values[one], values[other], strict=True)]
    mean, sd, _ = spread(each)
    return mean, sd, each


def mean_sharpness(record: dict, label: str) -> list[float]:
    """Return the sharpness of each task at 40 % noise, mean over the recorded seeds."""
    runs = [run for run in record["runs"] if run["label"] == label and run["label_noise"] == 0.4]
    return [statistics.mean(column) for column in zip(*(run["sharpness"] for run in runs), strict=True)]


def five_seed_table(record: dict) -> list[str]:
    """Return one line per method: means over the recorded seeds at 40 % noise, as notebook 07 quotes them.

    The columns are sharpness of digit / garment, conflict ratio of loss and of flat parts by thirds of
    training, range of cos(decomposed, direct), and test accuracy at the best epoch on noisy validation
    labels.
    """
    head = ("sharpness", "conflict, loss", "conflict, flat", "dec./direct cos", "picked test")
    lines = [f"{'':<22}{head[0]:<16}{head[1]:<18}{head[2]:<18}{head[3]:<17}{head[4]}"]
    for label in METHODS:
        runs = [run for run in record["runs"] if run["label"] == label and run["label_noise"] == 0.4]

        def means(key: str, digits: int, runs: list[dict] = runs) -> list[str]:
            columns = zip(*(run[key] for run in runs), strict=True) if runs[0][key] else ()
            return [f"{statistics.mean(column):.{digits}f}" for column in columns]

        same = [run["decomposed_vs_direct_cosine"] for run in runs if run["decomposed_vs_direct_cosine"]]
        picked = statistics.mean(statistics.mean(run["picked_test"]) for run in runs)
        cells = (
            f"{label:<22}{' / '.join(means('sharpness', 3)):<16}",
            f"{', '.join(means('loss_conflict_by_third', 2)):<18}",
            f"{', '.join(means('flat_conflict_by_third', 2)):<18}",
            f"{f'{min(same):.4f}-{max(same):.4f}' if same else '':<17}{picked:.1f} %",
        )
        lines.append("".join(cells).rstrip())
    return lines


def title(true: tuple[int, int], given: tuple[int, int]) -> str:
    """Return digit and garment in words: "a as b" if the given label b is not the true label a."""
    names = [(str(label), GARMENTS[label]) for label in range(10)]
    words = [(names[t][task], names[g][task]) for task, (t, g) in enumerate(zip(true, given, strict=True))]
    return "<br>".join(name if name == label else f"{name} as {label}" for name, label in words)


def summary(run: Run, label: str, label_noise: float) -> dict:
    """Return the record of one run: final and validation-picked accuracy, sharpness, angles."""
    found = angles(run)
    conflict = {part: thirds for part, thirds in found["conflict"].items() if None not in thirds}
    return {
        "label": label,
        "label_noise": label_noise,
        **asdict(run.config),
        **{key: value for key, value in accuracies(run).items() if key != "course"},
        "sharpness": [round(rise, 5) for rise in run.sharpness],
        "loss_conflict_by_third": conflict.get("loss"),
        "flat_conflict_by_third": conflict.get("flat"),
        "decomposed_vs_direct_cosine": found.get("same"),
        "seconds": round(run.seconds, 1),
    }


def record(path: Path, seeds: list[int]) -> None:
    """Run the selection, then every method with every seed at 40 % noise, LS and F-LS also without noise.

    The file is written again after every run.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    file = RecordFile("teaching", path, seeds, ("selection", "runs"))
    data: dict[tuple[int, float], MultiTaskData] = {}

    def run(kind: str, label: str, config: Config, noise: float) -> None:
        def make() -> dict[str, Any]:
            key = (config.seed, noise)
            if key not in data:
                data[key] = teaching_data(*key)
                file.content["data"] = data[key].origin
            return summary(train(data[key], config), label, noise)

        file.entry(kind, {"label": label, "label_noise": noise, **asdict(config)}, make)

    for label, (name, values) in SELECTION.items():
        for value in values:
            options: dict[str, Any] = {name: value}
            run("selection", label, replace(METHODS[label], seed=SELECTION_SEED, **options), 0.4)
    for seed in seeds:
        for label, config in METHODS.items():
            run("runs", label, replace(config, seed=seed), 0.4)
        for label in ("LS", "F-LS"):
            run("runs", label, replace(METHODS[label], seed=seed), 0.0)
