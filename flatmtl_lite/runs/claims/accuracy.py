"""Claims about accuracy, calibration and flatness."""

import statistics
from collections.abc import Mapping, Sequence

import torch

from ..records import comparison
from ..records.intervals import FAILS, HOLDS, OPEN, joined, paired, verdict
from .claim import BASES, NON_LINEAR, PAPER, PAPER_RUN, PLACES, Claim, by_place, differences, values_of


def improves() -> Claim:
    """Every base method is better with the F-method."""
    evidence, word, records = by_place([(f"F-{base}", base) for base in (*BASES, "STL")])
    return Claim(
        "The F-method improves every base method",
        f"{PAPER}, Tables 1-3",
        evidence,
        word,
        "High for these small networks: five seeds, tuned by one rule. It says little of large networks.",
        PAPER_RUN + "cagrad f-cagrad pcgrad f-pcgrad",
        records,
    )


def decomposed_beats_direct() -> Claim:
    """The decomposition is better than SAM aggregated whole."""
    evidence, word, records = by_place([(f"F-{name}", f"direct {name}") for name in NON_LINEAR])
    return Claim(
        "Decomposed beats direct",
        f"{PAPER}, section 4.4 and the rebuttal",
        evidence,
        word,
        "High here, where the two directions have a cosine above .99. Open where tasks conflict more.",
        PAPER_RUN + "direct-cagrad f-cagrad",
        records,
    )


def not_merely_sam() -> Claim:
    """F-LS, F-STL and SAM on the mean stay below F-IMTL."""
    evidence, verdicts = [], {}
    for setting in comparison.NOISY:
        values = values_of(setting, "test")
        rivals = ("F-LS", "F-STL", "SAM on the mean loss")
        parts = {rival: paired(values["F-IMTL-G"], values[rival]) for rival in rivals}
        verdicts[PLACES[setting]] = verdict(parts.values())
        words = ", ".join(f"over {rival} {part.words()}" for rival, part in parts.items())
        evidence.append(f"{PLACES[setting]}: F-IMTL-G {words} points")
    return Claim(
        "The gain is not merely SAM: F-LS and F-STL cannot surpass F-IMTL",
        f"{PAPER}, rebuttal",
        tuple(evidence),
        joined(verdicts),
        "High here. In the authors' own logs F-LS has nearly all of the gain.",
        PAPER_RUN + "f-mean f-imtl_g f-stl sam-mean",
        tuple(f"comparison_{setting}" for setting in comparison.NOISY),
    )


def gaps_narrow() -> Claim:
    """Methods differ less from each other with the F-method."""
    evidence, verdicts = [], {}
    for setting in comparison.NOISY:
        values = values_of(setting, "test")

        def spreads(names: Sequence[str], values: Mapping[str, list[float]] = values) -> list[float]:
            return [max(row) - min(row) for row in zip(*(values[name] for name in names), strict=True)]

        narrower = paired(spreads(BASES), spreads([f"F-{base}" for base in BASES]))
        verdicts[PLACES[setting]] = verdict([narrower])
        evidence.append(f"{PLACES[setting]}: the range over methods shrinks by {narrower.words()} points")
    return Claim(
        "Gaps between methods narrow",
        f"{PAPER}, Table 1",
        tuple(evidence),
        joined(verdicts),
        "Medium: a range over eight methods, five seeds.",
        PAPER_RUN + "mgda f-mgda cagrad f-cagrad imtl_g f-imtl_g",
        tuple(f"comparison_{setting}" for setting in comparison.NOISY),
    )


def calibration() -> Claim:
    """Calibration is better."""
    pairs = [(f"F-{base}", base) for base in ("LS", "CAGrad", "IMTL-G")]
    evidence, word, records = by_place(pairs, "points less ECE", "ece", falls=True, matters=1.0)
    nll, nll_word, _ = by_place(pairs, "nats less NLL", "nll", falls=True, matters=0.05)
    return Claim(
        "Networks are better calibrated",
        f"{PAPER}, section 4.3",
        (*evidence, *nll),
        f"ECE: {word}. NLL: {nll_word}",
        "High for the NLL. With wrong labels a network is rightly unsure, which raises its ECE.",
        PAPER_RUN + "cagrad f-cagrad",
        records,
    )


def flat_generalises() -> Claim:
    """Flat minima generalise, sharp ones do not."""
    evidence, verdicts = [], {}
    for setting in comparison.NOISY:
        pair = [("LS + weight decay", "LS")]
        (accuracy,) = differences(setting, pair).values()
        (sharpness,) = differences(setting, pair, "sharpness").values()
        tests, rises = values_of(setting, "test"), values_of(setting, "sharpness")
        labels = [label for label in tests if ":" not in label]
        order = rank_correlation(
            *([statistics.mean(values[label]) for label in labels] for values in (tests, rises))
        )
        evidence.append(
            f"{PLACES[setting]}: over {len(labels)} methods accuracy and sharpness have the rank correlation "
            f"{order:.2f}; weight decay gains {accuracy.words()} points while its sharpness changes by "
            f"{sharpness.words('{:+.3f}')}"
        )
        is_sharp = accuracy.low > 0 and sharpness.high >= 0
        verdicts[PLACES[setting]] = FAILS if is_sharp or order > -0.3 else HOLDS if order < -0.7 else OPEN
    return Claim(
        "Flat minima generalise",
        f"{PAPER}, introduction",
        tuple(evidence),
        joined(verdicts),
        "High as a counterexample: weight decay generalises without being flat. Sharpness depends on scale.",
        PAPER_RUN + "mean f-mean --grid weight_decay=0,0.0005",
        tuple(f"comparison_{setting}" for setting in comparison.NOISY),
    )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's correlation of two quantities without ties.

    Example:
        >>> rank_correlation([1.0, 2.0, 4.0], [30.0, 20.0, 10.0])
        -1.0
    """
    ranks = torch.tensor([one, other], dtype=torch.float64).argsort(1).argsort(1)
    return round(torch.corrcoef(ranks.double())[0, 1].item(), 6)
