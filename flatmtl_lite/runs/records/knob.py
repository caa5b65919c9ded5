"""The ρ knob on trained networks: four methods, each trained at twelve radii, plain and adaptive.

``flatmtl-lite record knob FILE --setting noise-40`` trains them in the teaching setting. Notebook 07 has a
slider over the record. A run that ended early goes on where it stopped.
"""

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.config import Config
from ..engine.rounding import rounded
from ..engine.run import Run
from ..engine.trainer import TrainingDiverged
from ..measures.evaluation import task_sharpness
from ..train import train
from .outcome import accuracies, angles, curvature, mean_cosines, portrait, shown_logits
from .record_file import RecordFile, load_record
from .teaching import teaching_data

METHODS = {
    "F-LS": "f-mean",
    "F-CAGrad": "f-cagrad",
    "SAM on the mean": "sam-mean",
    "SAMO-CAGrad": "samo-cagrad",
}
AT_ZERO = {"SAM on the mean": "F-LS", "SAMO-CAGrad": "F-CAGrad"}  # methods that are the same at ρ = 0
RADII = (0.0, 0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63, 1.0)
ADAPTIVE_FACTOR = 10  # the radii of adaptive SAM are so many times as large
SETTINGS = {"noise-40": 0.4, "noise-0": 0.0}  # name -> share of wrong labels
SEEDS = (0, 1, 2)
EPOCHS = 40
SHOWN_EPOCHS = (1, 2, 4, 8, 12, 16, 20, 28, 40)  # of the first seed, with plain SAM


class Place(NamedTuple):
    """What tells a run of the knob from others."""

    label: str
    adaptive: bool
    rho: float
    seed: int


def places(seeds: list[int]) -> Iterator[Place]:
    """Yield the runs of one setting; at ρ = 0 plain and adaptive are the same, and so are some methods."""
    for adaptive in (False, True):
        for rho in RADII:
            for label in METHODS:
                if rho or not (adaptive or label in AT_ZERO):
                    radius = round(ADAPTIVE_FACTOR * rho, 6) if adaptive else rho
                    yield from (Place(label, adaptive, radius, seed) for seed in seeds)


def config_of(place: Place) -> Config:
    """Return the configuration of a run; flat parts are measured at the radius of the run."""
    radius: dict[str, Any] = dict(rho=place.rho, adaptive=place.adaptive, norm="together")
    measures: dict[str, Any] = dict(measure_every=8, measure_rho=place.rho, evaluate_every=4)
    return Config(METHODS[place.label], seed=place.seed, epochs=EPOCHS, **radius, **measures)


def recorded(setting: str) -> dict[str, Any]:
    """Return the record ``data/results/knob_<setting>.json``: ``runs``, command, ..."""
    return load_record(f"knob_{setting}")


def at_radii(record: dict[str, Any], label: str, adaptive: bool = False) -> list[list[dict[str, Any]]]:
    """Return for each radius the runs of a method, by seed; runs that diverged are left out."""
    runs: dict[float, list[dict[str, Any]]] = {}
    for run in sorted(record["runs"], key=lambda run: run["seed"]):
        is_ours = run["rho"] and (run["label"], run["adaptive"]) == (label, adaptive)
        is_zero = not run["rho"] and run["label"] == AT_ZERO.get(label, label)
        if (is_ours or is_zero) and "diverged" not in run:
            runs.setdefault(run["rho"], []).append(run)
    return [runs[rho] for rho in sorted(runs)]


def over_radii(record: dict[str, Any], label: str, adaptive: bool = False) -> list[dict[str, Any]]:
    """Return what ``lab.knob_instrument`` shows of a method at each radius."""
    return [shown("rho", runs) for runs in at_radii(record, label, adaptive)]


def over_epochs(record: dict[str, Any], label: str, rho: float) -> list[dict[str, Any]]:
    """Return what ``lab.knob_instrument`` shows of the training of the first seed, with plain SAM.

    Raises:
        ValueError: there is no such run.
    """
    for runs in at_radii(record, label):
        if runs[0]["rho"] == rho:
            return [shown("epoch", [entry]) for entry in runs[0]["shown"]]
    raise ValueError(f"Got rho={rho} for {label}; expected one of {', '.join(map(str, RADII))}.")


def shown(turns: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the instrument shows of runs that differ in their seed, in plain numbers.

    Accuracy, sharpness and cosines are means over the seeds. The slice and the answers are of the first one.
    """
    first = runs[0]
    return {
        turns: first[turns],
        "test": _means(runs, "test", 4),
        "sharpness": _means(runs, "sharpness", 3),
        "cosine": {part: rounded(_cosine(runs, part), 2) for part in first["cosine"]},
        "slice": rounded(first["slice"], 3),
        "answers": first["answers"],
    }


def _means(runs: list[dict[str, Any]], key: str, digits: int) -> list[float]:
    return rounded([statistics.mean(task) for task in zip(*(run[key] for run in runs), strict=True)], digits)


def _cosine(runs: list[dict[str, Any]], part: str) -> float:
    """Return the mean cosine of a part: in the last third of a run, or since an epoch shown before."""
    values = [run["cosine"][part] for run in runs]
    return statistics.mean(value[-1] if isinstance(value, list) else value for value in values)


def trained(place: Place, label_noise: float, with_course: bool) -> dict[str, Any]:
    """Train a run and measure it; a run that diverges has the entry ``diverged`` alone."""
    data = teaching_data(place.seed, label_noise)
    course: list[dict[str, Any]] = []

    def on_epoch(run: Run, share: float) -> None:
        epoch = round(share * EPOCHS)
        if with_course and epoch in SHOWN_EPOCHS:
            since = course[-1]["epoch"] if course else 0
            rises = task_sharpness(run.model, data.train_images, data.train_labels)
            now = portrait(run.model, data, rises)
            course.append({"epoch": epoch, **now, "cosine": mean_cosines(run, since)})

    try:
        run = train(data, config_of(place), on_epoch=on_epoch)
    except TrainingDiverged as error:
        return {"diverged": str(error)}
    now = portrait(run.model, data, run.sharpness)
    logits = shown_logits(run.model, data).double().round(decimals=2).tolist()
    values = accuracies(run) | now | {"logits": logits} | curvature(run.model, data) | angles(run)
    return values | ({"shown": course} if with_course else {})


def record(path: Path, seeds: list[int], setting: str = "noise-40") -> None:
    """Train every method at every radius with every seed.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    noise = SETTINGS[setting]
    file = RecordFile("knob", path, seeds, setting=setting, label_noise=noise, radii=RADII)
    file.content["data"] = teaching_data(seeds[0], noise).origin
    for place in places(seeds):
        with_course = place.seed == seeds[0] and not place.adaptive
        file.entry("runs", place._asdict(), partial(trained, place, noise, with_course))
