"""Claims about training: conflicts, norms, and how much ρ matters."""

import statistics

from ..records import comparison, knob
from ..records.intervals import FAILS, HOLDS, joined, paired, verdict
from .claim import PAPER, PAPER_RUN, PLACES, Claim


def _late(setting: str, label: str, key: str) -> list[float]:
    """Return a measured angle or norm of the loss parts in the last third of training, by seed."""
    runs = [run[key]["loss"] for run in comparison.recorded(setting)["runs"] if run["label"] == label]
    return [statistics.mean(run) if key == "norms" else run[-1] for run in runs]


def conflict_vanishes() -> Claim:
    """The conflict between loss gradients goes to 0."""
    evidence, verdicts = [], {}
    for setting, place in PLACES.items():
        shares = {label: _late(setting, label, "conflict") for label in ("CAGrad", "F-CAGrad")}
        falls = paired(shares["CAGrad"], shares["F-CAGrad"])
        means = {label: statistics.mean(values) for label, values in shares.items()}
        evidence.append(
            f"{place}: {means['CAGrad']:.2f} with CAGrad, {means['F-CAGrad']:.2f} with F-CAGrad "
            f"(it falls by {falls.words('{:.2f}')})"
        )
        verdicts[place] = HOLDS if means["F-CAGrad"] < 0.05 else FAILS
    return Claim(
        "The conflict of loss gradients nearly vanishes",
        f"{PAPER}, Fig. 3",
        tuple(evidence),
        joined(verdicts),
        "High: shares of steps with a negative cosine in the last third of training.",
        PAPER_RUN + "cagrad f-cagrad",
        tuple(f"comparison_{setting}" for setting in PLACES),
    )


def norms_fall() -> Claim:
    """Gradient norms are smaller at the end of training."""
    evidence, verdicts = [], {}
    for setting, place in PLACES.items():
        falls = paired(*(_late(setting, label, "norms") for label in ("CAGrad", "F-CAGrad")))
        mean = statistics.mean(_late(setting, "CAGrad", "norms"))
        verdicts[place] = verdict([falls], matters=0.1 * mean)
        evidence.append(f"{place}: by {falls.words('{:.2f}')} from {mean:.2f}")
    return Claim(
        "Gradient norms fall",
        f"{PAPER}, Fig. 4",
        tuple(evidence),
        joined(verdicts),
        "Medium: norms of batch gradients in the last third; a smaller loss alone makes them smaller too.",
        PAPER_RUN + "cagrad f-cagrad",
        tuple(f"comparison_{setting}" for setting in PLACES),
    )


def insensitive_to_rho() -> Claim:
    """Accuracy hardly depends on ρ."""
    evidence, verdicts = [], dict.fromkeys((PLACES[setting] for setting in knob.SETTINGS), HOLDS)
    for setting in knob.SETTINGS:
        for label in ("F-LS", "F-CAGrad"):
            runs = knob.at_radii(knob.recorded(setting), label)
            means = {
                row[0]["rho"]: statistics.mean(statistics.mean(run["test"]) for run in row)
                for row in runs
                if row[0]["rho"]
            }
            best = max(means, key=means.__getitem__)
            close = [rho for rho, mean in means.items() if mean > means[best] - 1]
            evidence.append(
                f"{PLACES[setting]}: {label} has {means[best]:.1f} % at ρ = {best:g}; within one point of it "
                f"for ρ from {min(close):g} to {max(close):g}; {means[max(means)]:.1f} % at {max(means):g}"
            )
            if max(close) < 10 * min(close):
                verdicts[PLACES[setting]] = FAILS
    return Claim(
        "The result is insensitive to ρ",
        f"{PAPER}, ablation",
        tuple(evidence),
        joined(verdicts),
        "High: three seeds at twelve radii. It holds if a decade of ρ stays within one point of the best.",
        "flatmtl-lite sweep multimnist --preset paper --methods f-cagrad --rhos 0.5 1 2 4 --seeds 0 1 2",
        tuple(f"knob_{setting}" for setting in knob.SETTINGS),
    )
