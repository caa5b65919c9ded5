"""Claims about training: conflicts, norms, and how much ρ matters."""

import statistics
from collections.abc import Mapping
from typing import Any

from ..records import comparison, knob
from ..records.intervals import FAILS, HOLDS, OPEN, joined, paired, verdict
from .claim import PAPER, PAPER_RUN, PLACES, UNSEEN, Claim, over


def _last_third(setting: str, label: str, key: str) -> list[float]:
    """Return by seed the share of conflicts, or the mean norm, of loss gradients in the last third."""
    runs = [run[key]["loss"] for run in comparison.recorded(setting)["runs"] if run["label"] == label]
    return [statistics.mean(run) if key == "norms" else run[-1] for run in runs]


def conflict_vanishes() -> Claim:
    """The conflict between loss gradients goes to 0."""

    def judge(setting: str) -> tuple[str, str]:
        before, after = (_last_third(setting, label, "conflict") for label in ("CAGrad", "F-CAGrad"))
        mean = statistics.mean(after)
        words = f"{statistics.mean(before):.2f} with CAGrad, {mean:.2f} with F-CAGrad"
        change = paired(after, before).words("{:+.2f}")
        return f"{words} (a change of {change})", HOLDS if mean < 0.05 else FAILS

    return Claim(
        "The conflict of loss gradients nearly vanishes",
        f"{PAPER}, Fig. 3",
        **over(PLACES, judge),
        certainty="The share of steps with a negative cosine in the last third. It holds below 0.05.",
        decides=PAPER_RUN + "cagrad f-cagrad",
    )


def norms_fall() -> Claim:
    """Loss gradients are shorter at the end of training."""

    def judge(setting: str) -> tuple[str, str]:
        before, after = (_last_third(setting, label, "norms") for label in ("CAGrad", "F-CAGrad"))
        change, mean = paired(after, before), statistics.mean(before)
        words = f"{mean:.2f} with CAGrad; F-CAGrad changes it by {change.words('{:+.2f}')}"
        return words, verdict([change.opposite()], matters=0.1 * mean)

    return Claim(
        "Norms of the loss gradients fall",
        f"{PAPER}, Fig. 2 and appendix D.9, {UNSEEN}",
        **over(PLACES, judge),
        certainty="Fig. 2 shows norms of the flat part; these are of the loss part, in the last third. A "
        "tenth matters. A smaller loss alone makes them smaller too.",
        decides=PAPER_RUN + "cagrad f-cagrad",
    )


def insensitive_to_rho() -> Claim:
    """Accuracy hardly depends on ρ."""
    evidence, verdicts = [], {}
    for setting in knob.SETTINGS:
        words = []
        for label in ("F-LS", "F-CAGrad"):
            zero, *rest = knob.at_radii(knob.recorded(setting), label)
            without, means = _mean(zero), {row[0]["rho"]: _mean(row) for row in rest}
            best = max(means, key=means.__getitem__)
            low, high = _neighbours(means, best, within=1.0)
            reach = f"from {low:g} to {high:g}" if low < high else "only there"
            evidence.append(
                f"{PLACES[setting]}, seeds: {len(zero)}: {label} has {means[best]:.1f} % at ρ = {best:g} and "
                f"{without:.1f} % at 0; {reach} it stays within one point of the best"
            )
            words.append(FAILS if high < 10 * low else OPEN if without > means[best] - 1 else HOLDS)
        verdicts[PLACES[setting]] = next(word for word in (FAILS, OPEN, HOLDS) if word in words)
    return Claim(
        "The result is insensitive to ρ",
        f"{PAPER}, appendix D.3, {UNSEEN}",
        tuple(evidence),
        joined(verdicts),
        "It holds if a decade of ρ stays within one point of the best. It is open if ρ = 0 does too. The "
        "authors tuned ρ from 0.0003 to 2.",
        PAPER_RUN + "f-cagrad --rhos 0.2 0.5 1 2 5",
        tuple(f"knob_{setting}" for setting in knob.SETTINGS),
    )


def _mean(row: list[dict[str, Any]]) -> float:
    return statistics.mean(statistics.mean(run["test"]) for run in row)


def _neighbours(means: Mapping[float, float], best: float, within: float) -> tuple[float, float]:
    """Return the first and the last of the radii around the best that stay so near to its accuracy."""
    radii = [*means]
    first = last = radii.index(best)
    while first > 0 and means[radii[first - 1]] > means[best] - within:
        first -= 1
    while last + 1 < len(radii) and means[radii[last + 1]] > means[best] - within:
        last += 1
    return radii[first], radii[last]
