"""Flat and generalising: three runs of the teaching setting, each measured in several ways.

``python -m flatmtl_lite.runs.records.flatness FILE`` trains LS, LS + weight decay and F-LS with five seeds
and records what notebook 06 quotes.
"""

import json
import sys
from pathlib import Path

import torch

from ...diagnostics import hessian_trace, sharpness, top_eigenvalue
from ...files import write_whole
from ..data.multimnist import MultiTaskData
from ..data.sources import shipped
from ..engine.model import MultiTaskNet
from ..engine.rounding import rounded
from ..measures.calibration import ece, log_probabilities, nll
from ..measures.evaluation import accuracy
from ..networks.images import task_closures
from ..train import train
from .teaching import teaching_config, teaching_data
from .writing import begun, check_folder, main

LABELS = ("LS", "LS + weight decay", "F-LS")
RADII = (0.02, 0.05, 0.1, 0.2)  # of the plain ball
ADAPTIVE_RADII = (0.2, 0.5, 1.0, 2.0)


def measured(model: MultiTaskNet, data: MultiTaskData, images: int | None = None) -> dict:
    """Flatness of the training loss, accuracy and calibration of a trained network, a value a task.

    Args:
        model: the network; for each task its trunk and own head are measured together.
        data: training images (with their own labels) for the flatness; test images (clean labels) and
            validation images (noisy ones) for the rest.
        images: take only the first so many training images; None: all.

    Returns:
        ``test`` accuracy in per cent; ``train_loss``; ``norm_squared`` of the weights; ``sharpness``
        and ``adaptive_sharpness``, a list for each radius; ``top_eigenvalue``, ``trace`` (20 samples)
        of the Hessian; ``nll`` and ``ece`` on test images, ``nll_noisy`` and ``ece_noisy`` on
        validation images.
    """
    features, losses = task_closures(model, data.train_images[:images], data.train_labels[:images])
    found = {"test": accuracy(model, data.test_images, data.test_labels)}

    def each(key: str, measure) -> None:
        found[key] = []
        for head, loss in zip(model.heads, losses, strict=True):
            parameters = [*model.trunk.parameters(), *head.parameters()]
            found[key].append(rounded(measure(lambda loss=loss: loss(features()), parameters)))

    with torch.no_grad():
        each("train_loss", lambda loss, _: loss().item())
    each("norm_squared", lambda _, parameters: sum(p.square().sum().item() for p in parameters))
    each("sharpness", lambda *task: [sharpness(*task, rho) for rho in RADII])
    each("adaptive_sharpness", lambda *task: [sharpness(*task, rho, adaptive=True) for rho in ADAPTIVE_RADII])
    each("top_eigenvalue", top_eigenvalue)
    each("trace", hessian_trace)
    for suffix, x, labels in (
        ("", data.test_images, data.test_labels),
        ("_noisy", data.val_images, data.val_labels),
    ):
        said = log_probabilities(model, x)
        for key, metric in (("nll", nll), ("ece", ece)):
            values = [metric(log_p, y) for log_p, y in zip(said, labels.unbind(1), strict=True)]
            found[key + suffix] = rounded(values)
    return found


def recorded() -> dict:
    """The recorded runs that ship in ``data/results/flatness.json``: ``runs``, command, date, ..."""
    return json.loads(shipped("results/flatness.json"))


def five_seed_means(record: dict, key: str) -> dict[str, list]:
    """Mean over the recorded seeds of one quantity, task by task (and radius by radius), by run name."""
    means = {}
    for label in LABELS:
        values = [run[key] for run in record["runs"] if run["label"] == label]
        means[label] = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
    return means


def of_task(record: dict, key: str, task: int, radius: int | None = None) -> dict[str, list[float]]:
    """One quantity of one task, by run name: one value a recorded seed.

    Args:
        record: :func:`recorded`.
        key: as in :func:`measured`.
        task: its number.
        radius: number of the radius, where the quantity has several.
    """
    values = {label: [] for label in LABELS}
    for run in record["runs"]:
        found = run[key][task]
        values[run["label"]].append(found if radius is None else found[radius])
    return values


def table(record: dict) -> list[str]:
    """One line a run: means over the recorded seeds, digit / garment; sharpness at 0.05, adaptive at 1."""
    columns = {
        "test, %": ("test", None, ".1f"),
        "|θ|²": ("norm_squared", None, ".0f"),
        "sharpness": ("sharpness", RADII.index(0.05), ".3f"),
        "adaptive": ("adaptive_sharpness", ADAPTIVE_RADII.index(1.0), ".3f"),
        "top eig.": ("top_eigenvalue", None, ".0f"),
        "trace": ("trace", None, ".0f"),
    }
    return _table(record, columns)


def calibration_table(record: dict) -> list[str]:
    """One line a run: mean NLL and ECE (per cent) over the recorded seeds, digit / garment."""
    columns = {
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
    """Train and measure the three runs with every seed; the file is written anew after every run.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    check_folder(path)
    results = {
        **begun("flatness", path, seeds),
        "radii": RADII,
        "adaptive_radii": ADAPTIVE_RADII,
        "runs": [],
    }
    for seed in seeds:
        data = teaching_data(seed)
        results["data"] = data.origin
        for label in LABELS:
            model = train(data, teaching_config(label, seed)).model
            results["runs"].append({"label": label, "seed": seed, **measured(model, data)})
            write_whole(path, json.dumps(results, indent=1))
            print(f"{label} seed {seed}: test {results['runs'][-1]['test']}", file=sys.stderr)


if __name__ == "__main__":
    main(record)
