"""How much of the benefit for how much of the cost: cheaper ways to a flat minimum.

``flatmtl-lite record frontier FILE`` tunes and trains every method of ``METHODS`` in one of ``SETTINGS`` and
records the figures that notebook 09 draws. A run that ended early goes on where it stopped.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ...names import check_name
from ..data.multimnist import MultiTaskData
from ..engine.rounding import rounded
from ..engine.run import Run
from ..measures.calibration import log_probabilities, nll
from ..measures.evaluation import accuracy
from . import tuning
from .intervals import Interval, interval
from .record_file import load_record
from .tuning import Method, Setting, by_seed

SETTINGS = {
    "mlp-40": Setting("mlp", 0.4, (0.1, 0.14, 0.2), (0.005, 0.01, 0.02)),
    "mlp-20": Setting("mlp", 0.2, (0.07, 0.1, 0.14), (0.002, 0.005, 0.01)),
    "lenet-40": Setting("lenet", 0.4, (0.07, 0.1, 0.14), (0.01, 0.02, 0.03)),
}


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
MEASURES = ("sharpness", "nll")  # the two benefits: both should be low


def recorded(setting: str) -> dict[str, Any]:
    """Return the record ``data/results/frontier_<setting>.json``: ``selection``, ``runs``, command, ...

    Raises:
        ValueError: the setting is unknown, or the file has changed since its hash was taken.
    """
    check_name("setting", setting, SETTINGS)
    return load_record(f"frontier_{setting}")


def benefits(
    record: Mapping[str, Any], measure: str, base: str = "LS", full: str = "F-LS"
) -> dict[str, Interval]:
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
    drops = {label: [1 - runs[s] / values[base][s] for s in seeds] for label, runs in values.items()}
    most = statistics.mean(drops[full])
    if most <= 0:
        raise ValueError(f"Got a mean drop of {most:.3g} in {measure} for {full}; expected it to be above 0.")
    return {label: _benefit(drop, drops[full]) for label, drop in drops.items()}


def _benefit(drops: Sequence[float], full: Sequence[float]) -> Interval:
    most = statistics.mean(full)
    share = statistics.mean(drops) / most
    rest = interval([drop - share * whole for drop, whole in zip(drops, full, strict=True)])
    return Interval(*(100 * (share + value / most) for value in rest))


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


def pareto_front(costs: Mapping[str, float], gains: Mapping[str, Interval]) -> list[str]:
    """Return the methods that no other one beats, cheapest first: not dearer, and of more benefit.

    Of methods of the same cost the one of most benefit is on the front.
    """
    front: list[str] = []
    for label in sorted(gains, key=lambda name: (costs[name], -gains[name].mean)):
        if not front or gains[label].mean > gains[front[-1]].mean:
            front.append(label)
    return front


def cheapest(
    costs: Mapping[str, float], panels: Iterable[Mapping[str, Interval]], at_least: float = 90.0
) -> str | None:
    """Return the cheapest method whose mean benefit is at least that in every panel; None if none is."""
    panels = list(panels)
    good = [label for label in panels[0] if all(gains[label].mean >= at_least for gains in panels)]
    return min(good, key=lambda label: costs[label], default=None)


def methods_of(setting: str) -> dict[str, Method]:
    """Return the methods that a setting has, by label."""
    return tuning.methods_of(METHODS, setting)


def measured(run: Run, data: MultiTaskData) -> dict[str, Any]:
    """Return what is recorded of a run: accuracy, NLL and ten-step sharpness per task."""

    def nlls(images: Tensor, labels: Tensor) -> list[float]:
        pairs = zip(log_probabilities(run.model, images), labels.unbind(1), strict=True)
        return rounded([nll(log_p, y) for log_p, y in pairs], 5)

    return {
        "val": accuracy(run.model, data.val_images, data.val_labels),
        "test": accuracy(run.model, data.test_images, data.test_labels),
        "nll": nlls(data.test_images, data.test_labels),
        "sharpness": rounded(run.sharpness, 6),
    }


def record(path: Path, seeds: list[int], setting: str = "mlp-40") -> None:
    """Tune every method with one seed, by accuracy on validation labels; then train it with every seed.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    tuning.record_setting("frontier", path, seeds, setting, SETTINGS, METHODS, measured)
