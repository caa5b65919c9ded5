"""Base methods, with the F-method and directly, trained with several seeds.

``flatmtl-lite record comparison FILE --setting noise-40`` makes the record for the teaching setting with 40 %
wrong labels. The settings ``clean-...`` have a LeNet, 5,000 pairs of the full sets, and no wrong labels.
On the MLP every method is tuned by one rule. On the LeNet a run takes minutes, so ρ is tuned for F-LS alone.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...names import check_name
from ...titles import method_title
from . import tuning
from .outcome import measured
from .record_file import load_record
from .tuning import Method, Setting

NOISY, CLEAN = ("noise-40", "noise-20", "noise-0"), ("clean-mnist", "clean-mixed")
FRONTS = ("noise-40", "noise-0")  # the settings with a front of fixed weights
_MEASURES: dict[str, Any] = dict(evaluate_every=4, measure_every=8)
_LENET: dict[str, Any] = dict(
    n_train=5000, sample=False, options=dict(optimizer="adam", lr=1e-3, **_MEASURES), tuned_as="F-LS"
)
SETTINGS = {
    "noise-40": Setting("mlp", 0.4, (0.1, 0.14, 0.2), (0.005, 0.01, 0.02), options=_MEASURES),
    "noise-20": Setting("mlp", 0.2, (0.07, 0.1, 0.14), (0.002, 0.005, 0.01), options=_MEASURES),
    "noise-0": Setting("mlp", 0.0, (0.035, 0.05, 0.07), (0.001, 0.002, 0.005), options=_MEASURES),
    "clean-mnist": Setting("lenet", 0.0, (0.025, 0.035, 0.05), (), variant="mnist", **_LENET),
    "clean-mixed": Setting("lenet", 0.0, (0.025, 0.035, 0.05), (), **_LENET),
}
# the non-linear aggregators
NAMES = {key: method_title(key) for key in ("mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "fairgrad")}
# fixed weights besides equal ones: name -> weights of the tasks
WEIGHTS = {f"{10 * k}:{100 - 10 * k}": f"{k / 10},{(10 - k) / 10}" for k in range(11) if k != 5}


METHODS = {
    "LS": Method(dict(method="mean"), None),
    "LS + weight decay": Method(dict(method="mean"), "weight_decay", settings=NOISY),
    "LS, early stopping": Method(
        dict(method="mean", evaluate_every=1), None, stops_early=True, settings=NOISY
    ),
    "SAM on the mean loss": Method(dict(method="sam-mean"), settings=NOISY),
    "F-LS": Method(dict(method="f-mean")),
    "CAGrad": Method(dict(method="cagrad"), None),
    "direct CAGrad": Method(dict(method="direct-cagrad")),
    "F-CAGrad": Method(dict(method="f-cagrad")),
    "random direction": Method(
        dict(method="samo-mean", alpha=0.0, local="coin"), tuned_as="F-LS", settings=NOISY
    ),
    "STL": Method(dict(method="stl"), None),
    "F-STL": Method(dict(method="f-stl")),
    **{
        f"LS {name}": Method(dict(method="constant", weights=w), None, settings=FRONTS)
        for name, w in WEIGHTS.items()
    },
    **{
        f"F-LS {name}": Method(dict(method="f-constant", weights=w), tuned_as="F-LS", settings=FRONTS)
        for name, w in WEIGHTS.items()
    },
    **{
        name: Method(dict(method=key), None, settings=NOISY)
        for key, name in {"rlw": "RLW", **NAMES}.items()
        if key != "cagrad"
    },
    **{
        f"F-{name}": Method(dict(method=f"f-{key}"), settings=NOISY)
        for key, name in {"rlw": "RLW", **NAMES}.items()
        if key != "cagrad"
    },
    **{
        f"direct {name}": Method(dict(method=f"direct-{key}"), settings=NOISY)
        for key, name in NAMES.items()
        if key != "cagrad"
    },
    "second CAGrad": Method(dict(method="second-cagrad"), settings=NOISY),
    "each CAGrad": Method(dict(method="each-cagrad"), settings=NOISY),
}


def recorded(setting: str = "noise-40") -> dict[str, Any]:
    """Return the record ``data/results/comparison_<setting>.json``: ``selection``, ``runs``, command, ...

    Raises:
        ValueError: the setting is unknown, or the file has changed since its hash was taken.
    """
    check_name("setting", setting, SETTINGS)
    return load_record(f"comparison_{setting}")


def accuracy(record: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return by method the test accuracy in per cent, mean of the tasks: one value per recorded seed."""
    return values(record, "test")


def values(record: Mapping[str, Any], measure: str) -> dict[str, list[float]]:
    """Return by method a measure, mean of the tasks: one value per recorded seed."""
    return {label: list(runs.values()) for label, runs in tuning.by_seed(record, measure).items()}


def by_task(record: Mapping[str, Any], label: str, measure: str) -> list[float]:
    """Return a measure of each task, mean over the recorded seeds, such as "test" or "sharpness"."""
    runs = [run[measure] for run in record["runs"] if run["label"] == label]
    return [statistics.mean(task) for task in zip(*runs, strict=True)]


def errors(record: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return by method the test error of each task in per cent, mean over the recorded seeds."""
    labels = dict.fromkeys(run["label"] for run in record["runs"])
    return {label: [100 - task for task in by_task(record, label, "test")] for label in labels}


def front_of(record: Mapping[str, Any], method: str) -> dict[str, list[float]]:
    """Return the errors of fixed weights, from "0:100" to "100:0", with "LS" or with "F-LS"."""
    found = errors(record)
    names = sorted([*WEIGHTS, "50:50"], key=lambda name: int(name.partition(":")[0]))
    return {name: found[f"{method} {name}" if name in WEIGHTS else method] for name in names}


def conflict_by_third(record: Mapping[str, Any], label: str) -> dict[str, list[float]]:
    """Return the share of steps in conflict by thirds of training, of "loss" and, if taken, "flat" parts."""
    runs = [run["conflict"] for run in record["runs"] if run["label"] == label]
    return {
        part: [statistics.mean(third) for third in zip(*(run[part] for run in runs), strict=True)]
        for part in runs[0]
    }


def beyond(
    front: Mapping[str, Sequence[float]], methods: Mapping[str, Sequence[float]], by: float
) -> list[str]:
    """Return the methods that lie beyond the front of two tasks by so many points.

    A method lies beyond it if no point of the front, or of the lines between its points, is better than the
    method or at most ``by`` points worse in both tasks at once.
    """
    corners = torch.tensor([*front.values()], dtype=torch.float64)
    share = torch.linspace(0, 1, 51, dtype=torch.float64)[:, None, None]
    line = torch.lerp(corners[:-1], corners[1:], share).flatten(0, 1)
    return [
        name
        for name, point in methods.items()
        if not (line <= torch.tensor(point, dtype=torch.float64) + by).all(-1).any()
    ]


def beyond_own_front(record: Mapping[str, Any], by: float) -> list[str]:
    """Return the methods :func:`beyond` the front of fixed weights of their kind, with LS or with F-LS.

    RLW and the non-linear aggregators are compared with LS, and their F-methods with F-LS.
    """
    points, bases = errors(record), ["RLW", *NAMES.values()]
    plain, flat = {name: points[name] for name in bases}, {f"F-{name}": points[f"F-{name}"] for name in bases}
    return beyond(front_of(record, "LS"), plain, by) + beyond(front_of(record, "F-LS"), flat, by)


def record(path: Path, seeds: list[int], setting: str = "noise-40") -> None:
    """Tune the methods with one seed, by accuracy on validation labels; then train each with every seed.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    tuning.record_setting("comparison", path, seeds, setting, SETTINGS, METHODS, measured)
