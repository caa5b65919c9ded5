"""A claim with its evidence, and what the functions that collect evidence share."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..records import comparison
from ..records.intervals import Interval, joined, paired, verdict
from ..records.tuning import methods_of

PLACES = {  # the recorded settings of the comparison, in words
    "noise-40": "40 % wrong labels",
    "noise-20": "20 % wrong labels",
    "noise-0": "no wrong labels",
    "clean-mixed": "LeNet on clean mixed pairs",
    "clean-mnist": "LeNet on clean pairs of digits",
}
PAPER, SAMO, SAGE = "arXiv 2211.13723", "SAMO, arXiv 2507.07883", "SAGE, arXiv 2605.07914"
NON_LINEAR = tuple(comparison.NAMES.values())
BASES = ("LS", "RLW", *NON_LINEAR)
UNSEEN = "which we could not read"
PAPER_RUN = "flatmtl-lite sweep multimnist --preset paper --out runs --seeds 0 1 2 --methods "


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes:
        claim: the statement.
        source: the paper, and the place in it.
        evidence: what our runs show, one line per setting.
        verdict: "holds here", "does not hold here" or "open", by setting if they differ.
        certainty: how sure the verdict is, and why.
        decides: a run on one GPU that would tell more.
        records: the files of the evidence.
    """

    claim: str
    source: str
    evidence: tuple[str, ...]
    verdict: str
    certainty: str
    decides: str
    records: tuple[str, ...]


@functools.cache
def values_of(setting: str, key: str) -> dict[str, list[float]]:
    """Return a quantity of a comparison, mean over tasks, by method: one value per seed."""
    return comparison.values(comparison.recorded(setting), key)


def differences(setting: str, pairs: Iterable[tuple[str, str]], key: str = "test") -> dict[str, Interval]:
    """Return by ``one`` how much more it has of a quantity than ``other``, for the methods of a setting.

    Args:
        setting: key of ``PLACES``.
        pairs: labels (one, other).
        key: the quantity.
    """
    values, methods = values_of(setting, key), methods_of(comparison.METHODS, setting)
    return {one: paired(values[one], values[other]) for one, other in pairs if {one, other} <= methods.keys()}


def over(settings: Iterable[str], judge: Callable[[str], tuple[str, str]]) -> dict[str, Any]:
    """Return ``evidence``, ``verdict`` and ``records`` of a claim from settings of the comparison.

    Args:
        settings: keys of ``PLACES``.
        judge: setting -> what the runs show, in words, and the verdict.
    """
    judged = {setting: judge(setting) for setting in settings}
    seeds = {setting: len(values_of(setting, "test")["LS"]) for setting in judged}
    return dict(
        evidence=tuple(
            f"{PLACES[setting]}, {seeds[setting]} seeds: {words}" for setting, (words, _) in judged.items()
        ),
        verdict=joined({PLACES[setting]: word for setting, (_, word) in judged.items()}),
        records=tuple(f"comparison_{setting}" for setting in judged),
    )


def by_place(
    pairs: Sequence[tuple[str, str]],
    unit: str = "points",
    key: str = "test",
    falls: bool = False,
    matters: float = 0.5,
    form: str = "{:+.1f}",
) -> dict[str, Any]:
    """Return :func:`over` all settings for :func:`differences` above 0, or below 0 if the quantity falls."""

    def judge(setting: str) -> tuple[str, str]:
        parts = differences(setting, pairs, key)
        words = ", ".join(f"{name} {part.words(form)}" for name, part in parts.items())
        effects = [part.opposite() for part in parts.values()] if falls else parts.values()
        return f"{words} {unit}", verdict(effects, matters)

    return over(PLACES, judge)
