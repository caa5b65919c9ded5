"""Tune each method on validation, then train it with every seed: what the records of many methods share."""

import copy
import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.multimnist import MultiTaskData, multi_mnist
from ..engine.config import Config
from ..engine.run import Run
from ..measures.evaluation import task_sharpness
from ..networks.images import parse_network
from ..train import train
from .outcome import accuracies
from .record_file import RecordFile

SELECTION_SEED = 100
LADDERS = {  # the values that tuning may go on to
    "rho": (0.0125, 0.0175, 0.025, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8),
    "weight_decay": (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1),
}
NEVER = 10**9  # steps between measurements of angles, which take time


@dataclass(frozen=True)
class Setting:
    """Where methods meet: data, network, length, and the values that tuning begins with.

    Attributes:
        network: "mlp" or "lenet".
        label_noise: share of wrong labels in training and validation.
        radii: the values of ρ to try first, from ``LADDERS``.
        decays: the values of weight decay to try first, from ``LADDERS``.
        epochs: passes over the training set.
        variant: of :func:`~flatmtl_lite.runs.data.multimnist.multi_mnist`.
        n_train: number of training pairs; there are 2,000 validation pairs.
        sample: whether the images come from the shipped sample; otherwise from the full sets.
        options: further options of :class:`~flatmtl_lite.runs.engine.config.Config` for all methods.
        tuned_as: the method whose ρ all other methods with a ρ take; None: each has its own.
    """

    network: str
    label_noise: float
    radii: tuple[float, ...]
    decays: tuple[float, ...]
    epochs: int = 40
    variant: str = "fashion+mnist"
    n_train: int = 2000
    sample: bool = True
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    tuned_as: str | None = None

    def data(self, seed: int) -> MultiTaskData:
        """Return the images and labels of a seed; digit and garment stay in place."""
        return multi_mnist(
            self.variant,
            seed,
            self.n_train,
            n_val=2000,
            label_noise=self.label_noise,
            max_shift=0,
            sample=self.sample,
        )


@dataclass(frozen=True)
class Method:
    """A method: its configuration, and the option that validation chooses.

    Attributes:
        options: of :class:`~flatmtl_lite.runs.engine.config.Config`.
        tunes: "rho", "weight_decay", or None.
        tuned_as: the method whose ρ it takes; None: its own is tuned.
        stops_early: whether the epoch with the best validation accuracy counts, not the last one.
        settings: names of the settings that have it; None: all.
    """

    options: dict[str, Any] = field(hash=False)
    tunes: str | None = "rho"
    tuned_as: str | None = None
    stops_early: bool = False
    settings: tuple[str, ...] | None = None


def methods_of(methods: Mapping[str, Method], setting: str) -> dict[str, Method]:
    """Return the methods that a setting has."""
    return {label: method for label, method in methods.items() if setting in (method.settings or (setting,))}


def config_of(method: Method, setting: Setting, seed: int, value: float | None = None) -> Config:
    """Return the configuration of a method in a setting.

    Args:
        method: the method.
        setting: the setting.
        seed: the seed.
        value: value of the option that the method tunes.
    """
    tuned = {} if method.tunes is None else {method.tunes: value}
    length = dict(epochs=setting.epochs, evaluate_every=1 if method.stops_early else setting.epochs)
    options: dict[str, Any] = dict(norm="together", measure_every=NEVER, seed=seed)
    return Config(**options | length | setting.options | method.options | tuned)


def final_accuracies(data: MultiTaskData, config: Config, network: str) -> dict[str, Any]:
    """Train a network and return its accuracies after the last epoch; skip all other measurements."""
    config = replace(config, evaluate_every=config.epochs, measure_every=NEVER)
    return accuracies(train(data, config, parse_network(network), with_sharpness=False))


def trained(data: MultiTaskData, config: Config, network: str, stops_early: bool) -> Run:
    """Train a network; with early stopping it gets the weights of the best epoch by validation accuracy."""
    best: tuple[float, dict] = (-1.0, {})

    def on_epoch(run: Run, share: float) -> None:
        nonlocal best
        score = sum(run.accuracies[-1]["val"])
        if score > best[0]:
            best = score, copy.deepcopy(run.model.state_dict())

    run = train(data, config, parse_network(network), *([on_epoch] if stops_early else []))
    if stops_early:
        run.model.load_state_dict(best[1])
        run.sharpness = task_sharpness(run.model, data.train_images, data.train_labels)
    return run


def by_seed(record: Mapping[str, Any], measure: str) -> dict[str, dict[int, float]]:
    """Return a measure, mean over the tasks: label -> seed -> value.

    Args:
        record: a record with the list ``runs``.
        measure: a quantity with one value per task, such as "nll", "sharpness" or "test".
    """
    values: dict[str, dict[int, float]] = {}
    for run in record["runs"]:
        values.setdefault(run["label"], {})[run["seed"]] = statistics.mean(run[measure])
    return values


def best_of(ladder: Sequence[float], first: Sequence[float], score: Callable[[float], float]) -> float:
    """Return the value of the highest score; while it is an end of those tried, the next one is tried too.

    Args:
        ladder: all values, ascending.
        first: the values to try first, neighbours on the ladder.
        score: called once for each value that is tried.
    """
    scores = {value: score(value) for value in first}
    while True:
        best = max(scores, key=scores.__getitem__)
        at = ladder.index(best)
        beyond = [v for v in ladder[max(at - 1, 0) : at + 2] if v not in scores]
        if not beyond:
            return best
        scores |= {value: score(value) for value in beyond}


def record_setting(
    name: str,
    path: Path,
    seeds: Sequence[int],
    setting: str,
    settings: Mapping[str, Setting],
    methods: Mapping[str, Method],
    measured: Callable[[Run, MultiTaskData], dict[str, Any]],
) -> None:
    """Tune and train the methods that a setting has; the file is written again after every run.

    Args:
        name: of the record.
        path: the JSON file. Runs that it holds already are not repeated.
        seeds: the seeds of the runs.
        setting: key of ``settings``.
        settings: the settings of the record.
        methods: its methods by label.
        measured: returns what is recorded of a run.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    where = settings[setting]
    file = RecordFile(name, path, seeds, ("selection", "runs"), setting=setting, **asdict(where))
    tune_and_train(file, methods_of(methods, setting), where, seeds, measured)


def tune_and_train(
    file: RecordFile,
    methods: Mapping[str, Method],
    setting: Setting,
    seeds: Sequence[int],
    measured: Callable[[Run, MultiTaskData], dict[str, Any]],
) -> None:
    """Tune the methods with one seed, by validation accuracy; then train each with every seed.

    Args:
        file: the record, with the lists ``selection`` and ``runs``. Runs that it holds are not repeated.
        methods: the methods by label; one that takes the ρ of another comes after it.
        setting: where they meet.
        seeds: the seeds of the runs.
        measured: returns what is recorded of a run.
    """
    data_of = functools.cache(setting.data)
    file.content["data"] = data_of(seeds[0]).origin
    values: dict[str, float | None] = {}

    def run(label: str, seed: int, value: float | None, kind: str = "runs") -> dict[str, Any]:
        method = methods[label]

        def make() -> dict[str, Any]:
            config, data = config_of(method, setting, seed, value), data_of(seed)
            if kind == "selection":
                return final_accuracies(data, config, setting.network)
            return measured(trained(data, config, setting.network, method.stops_early), data)

        return file.entry(kind, {"label": label, "seed": seed, "value": value}, make)

    def score(label: str, value: float) -> float:
        return float(sum(run(label, SELECTION_SEED, value, "selection")["val"]))

    firsts = {"rho": setting.radii, "weight_decay": setting.decays}
    for label, method in methods.items():
        shared = setting.tuned_as if method.tunes == "rho" and label != setting.tuned_as else None
        if source := method.tuned_as or shared:
            values[label] = values[source]
        elif method.tunes:
            values[label] = best_of(
                LADDERS[method.tunes], firsts[method.tunes], functools.partial(score, label)
            )
        else:
            values[label] = None
        file.drop("runs", label, values[label])
        for seed in seeds:
            run(label, seed, values[label])
