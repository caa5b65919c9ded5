"""How much of the benefit for how much of the cost: cheaper ways to a flat minimum.

``flatmtl-lite record frontier FILE`` tunes and trains every method of ``METHODS`` in one of ``SETTINGS`` and
records the figures that notebook 09 draws. A run that ended early goes on where it stopped.
"""

import copy
import functools
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor

from ...names import check_name
from ..data.multimnist import MultiTaskData
from ..engine.config import Config
from ..engine.model import MultiTaskNet
from ..engine.rounding import rounded
from ..engine.run import Run
from ..measures.calibration import log_probabilities, nll
from ..measures.evaluation import accuracy, task_sharpness
from ..networks.images import parse_network
from ..train import train
from .record_file import RecordFile, load_record
from .teaching import SELECTION_SEED, teaching_data


@dataclass(frozen=True)
class Setting:
    """Where the methods meet: the teaching setting with one network and one share of wrong labels.

    Attributes:
        network: "mlp" or "lenet".
        label_noise: share of wrong labels in training and validation.
        radii: the values of ρ to try first, from ``LADDERS``.
        decays: the values of weight decay to try first, from ``LADDERS``.
        epochs: passes over the training set.
    """

    network: str
    label_noise: float
    radii: tuple[float, ...]
    decays: tuple[float, ...]
    epochs: int = 40


LADDERS = {  # the values that tuning may go on to
    "rho": (0.0125, 0.0175, 0.025, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8),
    "weight_decay": (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1),
}
SETTINGS = {
    "mlp-40": Setting("mlp", 0.4, (0.1, 0.14, 0.2), (0.005, 0.01, 0.02)),
    "mlp-20": Setting("mlp", 0.2, (0.07, 0.1, 0.14), (0.002, 0.005, 0.01)),
    "lenet-40": Setting("lenet", 0.4, (0.07, 0.1, 0.14), (0.01, 0.02, 0.03)),
}


@dataclass(frozen=True)
class Method:
    """A method of the frontier: its configuration, and the option that validation chooses.

    Attributes:
        options: of :class:`~flatmtl_lite.runs.engine.config.Config`.
        tunes: "rho", "weight_decay", or None.
        stops_early: whether the epoch with the best validation accuracy counts, not the last one.
        settings: names of the settings that have it.
    """

    options: dict[str, Any] = field(hash=False)
    tunes: str | None = "rho"
    stops_early: bool = False
    settings: tuple[str, ...] = tuple(SETTINGS)


_ONE, _MLP, _40 = ("mlp-40",), ("mlp-40", "mlp-20"), ("mlp-40", "lenet-40")
METHODS = {
    "LS": Method(dict(method="mean"), None),
    "LS, weight decay": Method(dict(method="mean"), "weight_decay"),
    "LS, early stopping": Method(dict(method="mean"), None, stops_early=True),
    "CAGrad": Method(dict(method="cagrad"), None, settings=_MLP),
    "SAM on the mean": Method(dict(method="sam-mean")),
    "F-LS": Method(dict(method="f-mean")),
    "F-CAGrad": Method(dict(method="f-cagrad"), settings=_ONE),
    "SAMO": Method(dict(method="samo-mean")),
    "SAMO, one draw": Method(dict(method="samo-mean", one_draw=True), settings=_ONE),
    "SAMO, coin": Method(dict(method="samo-mean", local="coin"), settings=_MLP),
    "F-LS, every 5": Method(dict(method="f-mean", flat_every=5)),
    "F-LS, last fifth": Method(dict(method="f-mean", sam_share=0.2)),
    "SAM on the mean, every 5": Method(dict(method="sam-mean", flat_every=5)),
    "F-LS, quarter batch": Method(dict(method="f-mean", flat_batch=0.25), settings=_MLP),
    "F-LS, half of the tasks": Method(dict(method="f-mean", flat_tasks=0.5), settings=_ONE),
    "SAM on the mean, last fifth": Method(dict(method="sam-mean", sam_share=0.2), settings=_ONE),
    "G-SAM": Method(dict(method="gsam-mean"), settings=_ONE),
    "SAGE": Method(dict(method="sage-mean"), settings=_40),
    "polar alone": Method(dict(method="polar-mean"), settings=_ONE),
    "noise alone": Method(dict(method="noise-mean"), None, settings=_ONE),
}
NEVER = 10**9  # steps between measurements of angles, which take time
MEASURES = ("sharpness", "nll")  # the two benefits: both should be low
# nineteen in twenty values of Student's t lie within ± this, by degrees of freedom
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


class Benefit(NamedTuple):
    """A method's benefit in per cent of the full one, and its 95 % interval over seeds."""

    mean: float
    low: float
    high: float


def recorded(setting: str) -> dict[str, Any]:
    """Return the record ``data/results/frontier_<setting>.json``: ``selection``, ``runs``, command, ...

    Raises:
        ValueError: the setting is unknown, or the file has changed since its hash was taken.
    """
    check_name("setting", setting, SETTINGS)
    return load_record(f"frontier_{setting}")


def by_seed(record: Mapping[str, Any], measure: str) -> dict[str, dict[int, float]]:
    """Return a measure, mean over the tasks: label -> seed -> value.

    Args:
        record: as :func:`recorded` returns it.
        measure: "nll", "sharpness", "test" or "val".
    """
    values: dict[str, dict[int, float]] = {}
    for run in record["runs"]:
        values.setdefault(run["label"], {})[run["seed"]] = statistics.mean(run[measure])
    return values


def benefits(
    record: Mapping[str, Any], measure: str, base: str = "LS", full: str = "F-LS"
) -> dict[str, Benefit]:
    """Return how far each method lowers a measure below the base, in per cent of what ``full`` lowers it.

    The drop of a run is 1 - value / value of the base with the same seed. The benefit R is the mean drop
    over the mean drop of ``full``. Its interval comes from the differences of each seed, drop - R · drop of
    ``full``, with Student's t. So ``full`` has 100, without an interval, and the base has 0.

    Raises:
        ValueError: a method was not trained with the seeds of the base, there are fewer than two of them,
            or ``full`` does not lower the measure.
    """
    values = by_seed(record, measure)
    seeds = sorted(values[base])
    if different := [label for label, runs in values.items() if sorted(runs) != seeds]:
        raise ValueError(f"Got other seeds for {different} than for {base}; expected {seeds} for all.")
    if not 2 <= len(seeds) <= 1 + max(STUDENT):
        raise ValueError(f"Got {len(seeds)} seeds; expected 2 to {1 + max(STUDENT)}.")
    drops = {label: [1 - runs[s] / values[base][s] for s in seeds] for label, runs in values.items()}
    most = statistics.mean(drops[full])
    if most <= 0:
        raise ValueError(f"Got a mean drop of {most:.3g} in {measure} for {full}; expected it to be above 0.")
    return {label: _benefit(drop, drops[full]) for label, drop in drops.items()}


def _benefit(drops: Sequence[float], full: Sequence[float]) -> Benefit:
    most = statistics.mean(full)
    share = statistics.mean(drops) / most
    rests = [drop - share * whole for drop, whole in zip(drops, full, strict=True)]
    half = STUDENT[len(rests) - 1] * statistics.stdev(rests) / len(rests) ** 0.5 / most
    return Benefit(100 * share, 100 * (share - half), 100 * (share + half))


def relative_costs(
    costs: Mapping[str, Mapping[str, float]], unit: str = "passes", base: str = "LS"
) -> dict[str, float]:
    """Return the cost of a step of each method relative to the base.

    Args:
        costs: as :func:`~flatmtl_lite.runs.records.cost.costs_of` returns them.
        unit: "passes", "ms" or "peak_mb".
        base: label of the base.
    """
    return {label: cost[unit] / costs[base][unit] for label, cost in costs.items()}


def pareto_front(costs: Mapping[str, float], gains: Mapping[str, Benefit]) -> list[str]:
    """Return the methods that no other one beats, cheapest first: not dearer, and of more benefit.

    Of methods of the same cost the one of most benefit is on the front.
    """
    front: list[str] = []
    for label in sorted(gains, key=lambda name: (costs[name], -gains[name].mean)):
        if not front or gains[label].mean > gains[front[-1]].mean:
            front.append(label)
    return front


def cheapest(
    costs: Mapping[str, float], panels: Iterable[Mapping[str, Benefit]], at_least: float = 90.0
) -> str | None:
    """Return the cheapest method whose mean benefit is at least that in every panel; None if none is."""
    panels = list(panels)
    good = [label for label in panels[0] if all(gains[label].mean >= at_least for gains in panels)]
    return min(good, key=lambda label: costs[label], default=None)


def methods_of(setting: str) -> list[str]:
    """Return the names of the methods that a setting has."""
    return [name for name, method in METHODS.items() if setting in method.settings]


def config_of(label: str, setting: Setting, seed: int, value: float | None = None) -> Config:
    """Return the configuration of a method in a setting.

    Args:
        label: key of ``METHODS``.
        setting: the setting.
        seed: the seed.
        value: value of the option that the method tunes.
    """
    method = METHODS[label]
    tuned = {} if method.tunes is None else {method.tunes: value}
    length = dict(epochs=setting.epochs, evaluate_every=1 if method.stops_early else setting.epochs)
    options: dict[str, Any] = dict(norm="together", measure_every=NEVER, seed=seed)
    return Config(**options | length | method.options | tuned)


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


def measured(run: Run, data: MultiTaskData) -> dict[str, Any]:
    """Return what is recorded of a run: accuracy, NLL and ten-step sharpness per task."""
    net = cast(MultiTaskNet, run.model)

    def nlls(images: Tensor, labels: Tensor) -> list[float]:
        pairs = zip(log_probabilities(net, images), labels.unbind(1), strict=True)
        return rounded([nll(log_p, y) for log_p, y in pairs], 5)

    return {
        "val": accuracy(net, data.val_images, data.val_labels),
        "test": accuracy(net, data.test_images, data.test_labels),
        "nll": nlls(data.test_images, data.test_labels),
        "sharpness": rounded(run.sharpness, 6),
    }


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


def record(path: Path, seeds: list[int], setting: str = "mlp-40") -> None:
    """Tune every method with one seed, by accuracy on noisy validation labels; then train it with every seed.

    The file is written again after every run. Runs that it holds already are not repeated.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    where = SETTINGS[setting]
    lists = ("selection", "runs")
    file = RecordFile("frontier", path, seeds, lists, setting=setting, **asdict(where))
    file.content["command"] += f" --setting {setting}"
    data: dict[int, MultiTaskData] = {}

    def run(kind: str, label: str, seed: int, value: float | None) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            if seed not in data:
                data[seed] = teaching_data(seed, where.label_noise)
                file.content["data"] = data[seed].origin
            config = config_of(label, where, seed, value)
            done = trained(data[seed], config, where.network, METHODS[label].stops_early)
            return measured(done, data[seed])

        return file.entry(kind, {"label": label, "seed": seed, "value": value}, make)

    def score(label: str, value: float) -> float:
        return float(sum(run("selection", label, SELECTION_SEED, value)["val"]))

    firsts = {"rho": where.radii, "weight_decay": where.decays}
    for label in methods_of(setting):
        tunes, value = METHODS[label].tunes, None
        if tunes:
            value = best_of(LADDERS[tunes], firsts[tunes], functools.partial(score, label))
        others = [old for old in file.content["runs"] if old["label"] == label and old["value"] != value]
        for old in others:  # chosen from a shorter ladder
            file.content["runs"].remove(old)
        for seed in seeds:
            run("runs", label, seed, value)
