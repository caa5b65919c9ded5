"""Does flat mean generalising? Three runs of the teaching setting, each measured in several ways.

``flatmtl-lite record flatness FILE`` trains LS, LS + weight decay and F-LS with five seeds and records the
figures that notebook 06 quotes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch

from ...diagnostics import hessian_trace, sharpness, top_eigenvalue
from ..data.multimnist import MultiTaskData
from ..engine.model import MultiTaskNet
from ..engine.rounding import rounded
from ..measures.calibration import ece, log_probabilities, nll
from ..measures.evaluation import accuracy
from ..networks.images import task_closures
from ..train import train
from .record_file import RecordFile, load_record
from .teaching import teaching_config, teaching_data

LABELS = ("LS", "LS + weight decay", "F-LS")
RADII = (0.02, 0.05, 0.1, 0.2)  # of the plain ball
ADAPTIVE_RADII = (0.2, 0.5, 1.0, 2.0)


def measured(model: MultiTaskNet, data: MultiTaskData, images: int | None = None) -> dict:
    """Measure flatness of the training loss, accuracy and calibration of a trained network, task by task.

    Args:
        model: the network; for each task the trunk and the task's head are measured together.
        data: the training images and their labels are for the flatness; the test images with clean labels and
            the validation images with noisy labels are for the rest.
        images: number of training images to take, from the first on; None: all.

    Returns:
        A list with one value per task for each of: ``test`` accuracy in per cent; ``train_loss``;
        ``norm_squared`` of the weights; ``sharpness`` and ``adaptive_sharpness``, with one value per radius;
        ``top_eigenvalue`` and ``trace`` (20 samples) of the Hessian; ``nll`` and ``ece`` on test images;
        ``nll_noisy`` and ``ece_noisy`` on validation images.
    """
    features, losses = task_closures(model, data.train_images[:images], data.train_labels[:images])
    values: dict[str, list] = {"test": accuracy(model, data.test_images, data.test_labels)}

    def each(key: str, measure: Callable[..., Any]) -> None:
        values[key] = []
        for head, loss in zip(model.heads, losses, strict=True):
            parameters = [*model.trunk.parameters(), *head.parameters()]
            values[key].append(rounded(measure(lambda loss=loss: loss(features()), parameters)))

    with torch.no_grad():
        each("train_loss", lambda loss, _: loss().item())
    each("norm_squared", lambda _, parameters: sum(p.square().sum().item() for p in parameters))
    each("sharpness", lambda loss, parameters: [sharpness(loss, parameters, rho) for rho in RADII])
    each(
        "adaptive_sharpness",
        lambda loss, parameters: [sharpness(loss, parameters, rho, adaptive=True) for rho in ADAPTIVE_RADII],
    )
    each("top_eigenvalue", top_eigenvalue)
    each("trace", hessian_trace)
    for suffix, x, labels in (
        ("", data.test_images, data.test_labels),
        ("_noisy", data.val_images, data.val_labels),
    ):
        by_task = list(zip(log_probabilities(model, x), labels.unbind(1), strict=True))
        values["nll" + suffix] = rounded([nll(log_p, y) for log_p, y in by_task])
        values["ece" + suffix] = rounded([ece(log_p, y) for log_p, y in by_task])
    return values


def recorded() -> dict:
    """Return the record ``data/results/flatness.json``: ``runs``, command, date, ..."""
    return load_record("flatness")


def five_seed_means(record: dict, key: str) -> dict[str, list]:
    """Return by run name the mean over the recorded seeds of one quantity, for each task and radius."""
    means = {}
    for label in LABELS:
        values = [run[key] for run in record["runs"] if run["label"] == label]
        means[label] = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
    return means


def of_task(record: dict, key: str, task: int, radius: int | None = None) -> dict[str, list[float]]:
    """Return one quantity of one task, by run name: one value per recorded seed.

    Args:
        record: the record, from :func:`recorded`.
        key: name of the quantity, as in :func:`measured`.
        task: number of the task.
        radius: number of the radius, if the quantity has several.
    """
    values: dict[str, list[float]] = {label: [] for label in LABELS}
    for run in record["runs"]:
        value = run[key][task]
        values[run["label"]].append(value if radius is None else value[radius])
    return values


def table(record: dict) -> list[str]:
    """Return one line per run: means over seeds, digit / garment; sharpness at 0.05, adaptive at 1."""
    columns: dict[str, tuple] = {
        "test, %": ("test", None, ".1f"),
        "|θ|²": ("norm_squared", None, ".0f"),
        "sharpness": ("sharpness", RADII.index(0.05), ".3f"),
        "adaptive": ("adaptive_sharpness", ADAPTIVE_RADII.index(1.0), ".3f"),
        "top eig.": ("top_eigenvalue", None, ".0f"),
        "trace": ("trace", None, ".0f"),
    }
    return _table(record, columns)


def calibration_table(record: dict) -> list[str]:
    """Return one line per run: mean NLL and ECE (per cent) over the recorded seeds, digit / garment."""
    columns: dict[str, tuple] = {
        "NLL, clean": ("nll", None, ".2f"),
        "NLL, noisy": ("nll_noisy", None, ".2f"),
        "ECE, clean": ("ece", None, ".0f"),
        "ECE, noisy": ("ece_noisy", None, ".0f"),
    }
    return _table(record, columns)


def _table(record: dict, columns: dict[str, tuple]) -> list[str]:
    lines = [" " * 19 + "".join(f"{name:<15}" for name in columns)]
    for label in LABELS:
        cells = [f"{label:<19}"]
        for key, radius, form in columns.values():
            means = five_seed_means(record, key)[label]
            cells.append(
                " / ".join(format(m if radius is None else m[radius], form) for m in means).ljust(15)
            )
        lines.append("".join(cells))
    return [line.rstrip() for line in lines]


def record(path: Path, seeds: list[int]) -> None:
    """Train and measure the three runs with every seed; the file is written again after every run.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    file = RecordFile("flatness", path, seeds, radii=RADII, adaptive_radii=ADAPTIVE_RADII)
    for seed in seeds:
        data = teaching_data(seed)
        file.content["data"] = data.origin
        for label in LABELS:

            def make(data: MultiTaskData = data, label: str = label, seed: int = seed) -> dict[str, Any]:
                return measured(cast(MultiTaskNet, train(data, teaching_config(label, seed)).model), data)

            file.entry("runs", {"label": label, "seed": seed}, make)
