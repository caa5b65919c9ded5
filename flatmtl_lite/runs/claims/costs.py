"""Claims about costs, about the lighter methods, and what independent users report."""

from ..records import cost, frontier
from ..records.intervals import FAILS, HOLDS, OPEN, paired, verdict
from ..records.tuning import by_seed
from .claim import PAPER, SAGE, SAMO, Claim


def twice_the_cost() -> Claim:
    """The F-method costs about twice its base."""
    costs = cost.costs_of(cost.recorded(), "mlp")
    passes, ms = (costs["F-CAGrad"][unit] / costs["CAGrad"][unit] for unit in ("passes", "ms"))
    return Claim(
        "The F-method costs about twice its base",
        f"{PAPER}, appendix",
        (f"MLP: F-CAGrad takes {passes:.2f} times the passes of CAGrad and {ms:.2f} times its time",),
        HOLDS if 1.8 <= passes <= 2.3 else FAILS,
        "Passes are counted. The time depends on the network and on the machine.",
        "flatmtl-lite gpu-check",
        ("cost",),
    )


def samo_is_cheap() -> Claim:
    """SAMO costs 2-6 % over its base and beats the F-method."""
    costs = cost.costs_of(cost.recorded(), "mlp")
    evidence, parts = [], []
    for setting, record in ((name, frontier.recorded(name)) for name in frontier.SETTINGS):
        tests = by_seed(record, "test")
        parts.append(paired(*(list(tests[label].values()) for label in ("SAMO", "F-LS"))))
        evidence.append(f"{setting}: SAMO over F-LS {parts[-1].words()} points")
    over, f_method = (costs[label]["passes"] / costs["LS"]["passes"] for label in ("SAMO", "F-LS"))
    evidence.append(f"MLP: {over:.2f} times the passes of LS; the F-method takes {f_method:.2f} times")
    return Claim(
        "SAMO costs 2-6 % over its base and beats the F-method",
        SAMO,
        tuple(evidence),
        f"cost: {FAILS}; accuracy: {verdict(parts)}",
        "Passes are counted. A base with K backward passes hides more of it.",
        "flatmtl-lite sweep nyuv2 --preset paper --methods cagrad f-cagrad samo-cagrad --seeds 0 1 2",
        ("cost", *(f"frontier_{setting}" for setting in frontier.SETTINGS)),
    )


def sage_terms() -> Claim:
    """SAGE needs both of its terms."""
    panels = {
        measure: frontier.benefits(frontier.recorded("mlp-40"), measure) for measure in frontier.MEASURES
    }
    evidence = tuple(
        f"{measure}: SAGE {panel['SAGE'].words('{:.0f}')}, its polar factor alone "
        f"{panel['polar alone'].words('{:.0f}')}, its noise alone {panel['noise alone'].words('{:.0f}')} % "
        "of the benefit of F-LS"
        for measure, panel in panels.items()
    )
    polar, noise = ([panel[f"{term} alone"] for panel in panels.values()] for term in ("polar", "noise"))
    return Claim(
        "SAGE: the polar factor and the noise both help",
        SAGE,
        evidence,
        f"polar factor: {verdict(polar, matters=20)}; noise: {verdict(noise, matters=20)}",
        "One setting, the noise of the released code.",
        "flatmtl-lite sweep nyuv2 --preset paper --methods polar-mean sage-mean noise-mean",
        ("frontier_mlp-40",),
    )


def independent_users() -> Claim:
    """What others report."""
    return Claim(
        "Independent users see a gain",
        "SharpSeq, NAACL 2024 (2024.naacl-long.200)",
        ("reported: SAM with Nash-MTL +5.8 F1 on MAVEN and -0.6 on ACE; direct, not decomposed",),
        OPEN,
        "Not measured here: continual event detection, a language model.",
        "their code with fm.FlatMTL in its training loop",
        (),
    )
