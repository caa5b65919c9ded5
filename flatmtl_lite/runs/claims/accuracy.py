"""Claims about accuracy, calibration and flatness."""

import statistics
from collections.abc import Sequence

import torch

from ..records import comparison
from ..records.intervals import FAILS, HOLDS, OPEN, paired, verdict
from .claim import (
    BASES,
    NON_LINEAR,
    PAPER,
    PAPER_RUN,
    UNSEEN,
    Claim,
    by_place,
    differences,
    over,
    values_of,
)


def improves() -> Claim:
    """Every base method is better with the F-method."""
    return Claim(
        "The F-method improves every base method",
        f"{PAPER}, Tables 1-4; for LS Table 7; for RLW the authors' logs alone",
        **by_place([(f"F-{base}", base) for base in BASES]),
        certainty="On the MLP all methods are tuned by one rule. On the LeNet they share one ρ, "
        "tuned for F-LS. These runs say little about large networks.",
        decides=PAPER_RUN + "cagrad f-cagrad pcgrad f-pcgrad",
    )


def decomposed_beats_direct() -> Claim:
    """The decomposition is better than SAM aggregated whole."""
    return Claim(
        "Decomposed beats direct",
        f"{PAPER}, Table 5 and the rebuttal",
        **by_place([(f"F-{name}", f"direct {name}") for name in NON_LINEAR]),
        certainty="These runs say little about tasks that conflict more: here the two directions nearly "
        "agree. The largest gap of the paper is MGDA's on CityScapes.",
        decides=PAPER_RUN + "direct-cagrad f-cagrad direct-mgda f-mgda",
    )


def not_merely_sam() -> Claim:
    """F-LS, F-STL and SAM on the mean stay below F-IMTL."""

    def judge(setting: str) -> tuple[str, str]:
        values = values_of(setting, "test")
        rivals = ("F-LS", "F-STL", "SAM on the mean loss")
        parts = {rival: paired(values["F-IMTL-G"], values[rival]) for rival in rivals}
        words = ", ".join(f"over {rival} {part.words()}" for rival, part in parts.items())
        return f"F-IMTL-G {words} points", verdict(parts.values())

    return Claim(
        "The gain is not merely SAM: F-LS and F-STL cannot surpass F-IMTL",
        f"{PAPER}, Table 7 and the rebuttal",
        **over(comparison.NOISY, judge),
        certainty="F-STL trains one network per task. SAM on the mean loss is our addition. In the authors' "
        "figures F-LS has 81 to 94 % of F-IMTL's gain over LS on Multi-MNIST. On NYUv2 its Δm is 6.4 points "
        "worse.",
        decides=PAPER_RUN + "f-mean f-imtl_g f-stl sam-mean",
    )


def gaps_narrow() -> Claim:
    """Methods differ less from each other with the F-method."""

    def judge(setting: str) -> tuple[str, str]:
        values = values_of(setting, "test")

        def ranges(names: Sequence[str]) -> list[float]:
            return [max(row) - min(row) for row in zip(*(values[name] for name in names), strict=True)]

        base = ranges(BASES)
        mean, change = statistics.mean(base), paired(ranges([f"F-{name}" for name in BASES]), base)
        words = f"the range over methods is {mean:.1f} points; the F-method changes it by {change.words()}"
        return words, verdict([change.opposite()], matters=0.1 * mean)

    return Claim(
        "Gaps between methods narrow",
        f"our reading of {PAPER}, Table 1",
        **over(comparison.NOISY, judge),
        certainty="A range over eight methods: one outlier decides it. A tenth matters.",
        decides=PAPER_RUN + "mgda f-mgda cagrad f-cagrad imtl_g f-imtl_g",
    )


def calibration() -> Claim:
    """Calibration is better."""
    pairs = [(f"F-{base}", base) for base in ("LS", "CAGrad", "IMTL-G")]
    ece = by_place(pairs, "points of ECE", "ece", falls=True, matters=1.0)
    nll = by_place(pairs, "nats of NLL", "nll", falls=True, matters=0.05, form="{:+.3f}")
    return Claim(
        "Networks are better calibrated",
        f"{PAPER}, appendix D.2, {UNSEEN}; the NLL is our addition",
        evidence=(*ece["evidence"], *nll["evidence"]),
        verdict=f"ECE: {ece['verdict']}. NLL: {nll['verdict']}",
        records=ece["records"],
        certainty="One point of ECE matters, or 0.05 nats of NLL. Less is better. With wrong labels a flat "
        "network is right more often than it says, which is a high ECE.",
        decides=PAPER_RUN + "cagrad f-cagrad",
    )


def flat_generalises() -> Claim:
    """Flat minima generalise, sharp ones do not."""

    def judge(setting: str) -> tuple[str, str]:
        pair = [("LS + weight decay", "LS")]
        (accuracy,) = differences(setting, pair).values()
        (sharpness,) = differences(setting, pair, "sharpness").values()
        tests, rises = values_of(setting, "test"), values_of(setting, "sharpness")
        labels = [label for label in tests if ":" not in label]
        order = rank_correlation(
            *([statistics.mean(values[label]) for label in labels] for values in (tests, rises))
        )
        words = (
            f"over {len(labels)} methods accuracy and sharpness have the rank correlation {order:.2f}; "
            f"weight decay gains {accuracy.words()} points while its sharpness changes by "
            f"{sharpness.words('{:+.3f}')}"
        )
        stays_sharp = verdict([sharpness.opposite()], 0.1 * statistics.mean(rises["LS"])) == FAILS
        is_counterexample = accuracy.low > 0 and stays_sharp
        return words, FAILS if is_counterexample or order > -0.3 else HOLDS if order < -0.7 else OPEN

    return Claim(
        "Flat minima generalise",
        f"{PAPER}, introduction",
        **over(comparison.NOISY, judge),
        certainty="It holds at a rank correlation below -0.7. It fails above -0.3, or if weight decay gains "
        "while its sharpness falls by less than a tenth. Where methods differ less than seeds do, a weak "
        "correlation says little.",
        decides=PAPER_RUN + "mean f-mean --grid weight_decay=0,0.0005",
    )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's correlation of two quantities without ties.

    Example:
        >>> rank_correlation([1.0, 2.0, 4.0], [30.0, 20.0, 10.0])
        -1.0
    """
    ranks = torch.tensor([one, other], dtype=torch.float64).argsort(1).argsort(1)
    return round(torch.corrcoef(ranks.double())[0, 1].item(), 6)
