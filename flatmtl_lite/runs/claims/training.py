"""Claims about training: conflicts, norms, and how much ρ matters."""

import statistics

from ..records import comparison, knob
from ..records.intervals import FAILS, HOLDS, joined, paired, verdict
from .claim import PAPER, PAPER_RUN, PLACES, Claim, over


def _late(setting: str, label: str, key: str) -> list[float]:
    """Return a measured angle or norm of the loss parts in the last third of training, by seed."""
    runs = [run[key]["loss"] for run in comparison.recorded(setting)["runs"] if run["label"] == label]
    return [statistics.mean(run) if key == "norms" else run[-1] for run in runs]


def conflict_vanishes() -> Claim:
    """The conflict between loss gradients goes to 0."""

    def judge(setting: str) -> tuple[str, str]:
        before, after = (_late(setting, label, "conflict") for label in ("CAGrad", "F-CAGrad"))
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
    """Gradient norms are smaller at the end of training."""

    def judge(setting: str) -> tuple[str, str]:
        before, after = (_late(setting, label, "norms") for label in ("CAGrad", "F-CAGrad"))
        change, mean = paired(after, before), statistics.mean(before)
        words = f"{mean:.2f} with CAGrad; F-CAGrad changes it by {change.words('{:+.2f}')}"
        return words, verdict([change.turned()], matters=0.1 * mean)

    return Claim(
        "Gradient norms fall",
        f"{PAPER}, Fig. 4",
        **over(PLACES, judge),
        certainty="Norms of batch gradients in the last third. A tenth matters. A smaller loss alone makes "
        "them smaller too.",
        decides=PAPER_RUN + "cagrad f-cagrad",
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
            best, seeds = max(means, key=means.__getitem__), len(runs[0])
            close = [rho for rho, mean in means.items() if mean > means[best] - 1]
            evidence.append(
                f"{PLACES[setting]}, {seeds} {'seed' if seeds == 1 else 'seeds'}: {label} has "
                f"{means[best]:.1f} % at ρ = {best:g}, within one point of it for ρ from {min(close):g} to "
                f"{max(close):g}, and "
                f"{means[max(means)]:.1f} % at {max(means):g}"
            )
            if max(close) < 10 * min(close):
                verdicts[PLACES[setting]] = FAILS
    return Claim(
        "The result is insensitive to ρ",
        f"{PAPER}, ablation",
        tuple(evidence),
        joined(verdicts),
        "It holds if a decade of ρ stays within one point of the best.",
        "flatmtl-lite sweep multimnist --preset paper --methods f-cagrad --rhos 0.5 1 2 4 --seeds 0 1 2",
        tuple(f"knob_{setting}" for setting in knob.SETTINGS),
    )
