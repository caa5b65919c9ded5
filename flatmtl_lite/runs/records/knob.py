"""The ρ knob on trained networks: four methods, each trained at twelve radii, plain and adaptive.

``flatmtl-lite record knob FILE --setting noise-40`` trains them in the teaching setting. Notebook 07 has a
slider over the record. A run that ended early goes on where it stopped.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.config import Config
from ..engine.run import Run
from ..engine.trainer import TrainingDiverged
from ..train import train
from .outcome import accuracies, angles, curvature, mean_cosines, portrait
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
    """Return for each radius the runs of a method with all seeds; runs that diverged are left out."""
    runs: dict[float, list[dict[str, Any]]] = {}
    for run in record["runs"]:
        is_ours = run["rho"] and (run["label"], run["adaptive"]) == (label, adaptive)
        is_zero = not run["rho"] and run["label"] == AT_ZERO.get(label, label)
        if (is_ours or is_zero) and "diverged" not in run:
            runs.setdefault(run["rho"], []).append(run)
    return [runs[rho] for rho in sorted(runs)]


def through_training(record: dict[str, Any], label: str, rho: float) -> list[list[dict[str, Any]]]:
    """Return what was recorded in the training of the first seed of a method with plain SAM, by epoch."""
    for runs in at_radii(record, label):
        if runs[0]["rho"] == rho:
            return [[shown] for shown in runs[0]["shown"]]
    raise ValueError(f"Got rho={rho} for {label}; expected one of {', '.join(map(str, RADII))}.")


def trained(place: Place, label_noise: float, with_course: bool) -> dict[str, Any]:
    """Train a run and measure it; a run that diverges has the entry ``diverged`` alone."""
    data = teaching_data(place.seed, label_noise)
    shown: list[dict[str, Any]] = []

    def on_epoch(run: Run, share: float) -> None:
        epoch = round(share * EPOCHS)
        if with_course and epoch in SHOWN_EPOCHS:
            since = shown[-1]["epoch"] if shown else 0
            shown.append({"epoch": epoch, **portrait(run.model, data), "cosine": mean_cosines(run, since)})

    try:
        run = train(data, config_of(place), on_epoch=on_epoch)
    except TrainingDiverged as error:
        return {"diverged": str(error)}
    values = accuracies(run) | portrait(run.model, data) | curvature(run.model, data) | angles(run)
    return values | ({"shown": shown} if with_course else {})


def record(path: Path, seeds: list[int], setting: str = "noise-40") -> None:
    """Train every method at every radius with every seed.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    noise = SETTINGS[setting]
    file = RecordFile("knob", path, seeds, setting=setting, label_noise=noise, radii=RADII)
    file.content["command"] += f" --setting {setting}"
    file.content["data"] = teaching_data(seeds[0], noise).origin
    for place in places(seeds):
        with_course = place.seed == seeds[0] and not place.adaptive
        file.entry("runs", place._asdict(), partial(trained, place, noise, with_course))
