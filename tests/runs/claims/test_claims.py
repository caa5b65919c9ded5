"""The verdicts follow from the records: other figures give other words."""

import random
from pathlib import Path

import pytest

from flatmtl_lite.__main__ import main
from flatmtl_lite.commands import COMMANDS
from flatmtl_lite.runs.claims import accuracy, claim, costs, table, training
from flatmtl_lite.runs.records import comparison, cost, frontier, knob
from flatmtl_lite.runs.records.intervals import FAILS, HOLDS, OPEN
from flatmtl_lite.runs.records.tuning import methods_of

SEEDS = range(5)


def run(label: str, seed: int, test: float, **more) -> dict:
    """A run like any other, except for what is given."""
    usual = dict(nll=[1.0, 1.0], ece=[9.0, 9.0], sharpness=[0.05, 0.05])
    usual |= dict(conflict={"loss": [0.3, 0.3, 0.5]}, norms={"loss": [2.0, 2.0]})
    return dict(label=label, seed=seed, test=[test - 1, test + 1]) | usual | more


def noise(*place) -> float:
    return random.Random(repr(place)).uniform(-0.1, 0.1)


def knob_runs(reached: dict[float, float]) -> list[dict]:
    """Runs of the knob that reach 50 % at every radius, except for those given."""
    return [
        {"label": label, "adaptive": False, "rho": rho, "seed": seed, "test": [reached.get(rho, 50.0)] * 2}
        for label in ("F-LS", "F-CAGrad")
        for rho in knob.RADII
        for seed in SEEDS
    ]


@pytest.fixture
def world(monkeypatch):
    """Records in which a function of the label and the setting decides what a method reaches."""
    claim.values_of.cache_clear()
    rules = {"test": lambda label, setting: 80 if label.startswith(("F-", "direct", "SAM")) else 70}
    more = {}

    def recorded(setting: str) -> dict:
        labels = methods_of(comparison.METHODS, setting)
        runs = [
            run(
                label,
                seed,
                rules["test"](label, setting) + noise(label, seed, setting),
                **{key: rule(label) for key, rule in more.items()},
            )
            for label in labels
            for seed in SEEDS
        ]
        return {"runs": runs}

    monkeypatch.setattr(comparison, "recorded", recorded)
    yield rules, more
    claim.values_of.cache_clear()


def test_the_f_method_must_improve_every_base_method_in_every_setting(world):
    rules, _ = world
    assert accuracy.improves().verdict == HOLDS
    assert len(accuracy.improves().evidence) == len(claim.PLACES)
    claim.values_of.cache_clear()
    rules["test"] = lambda label, setting: 80 if label.startswith("F-") and setting != "noise-0" else 70
    assert accuracy.improves().verdict.endswith(f"{FAILS} (no wrong labels)")
    claim.values_of.cache_clear()
    rules["test"] = lambda label, setting: 80 if label.startswith("F-") and label != "F-MGDA" else 70
    assert accuracy.improves().verdict.startswith(
        f"{FAILS} (40 % wrong labels, 20 % wrong labels, no wrong labels); "
    )


def test_decomposed_must_beat_direct(world):
    rules, _ = world
    assert accuracy.decomposed_beats_direct().verdict == FAILS
    claim.values_of.cache_clear()
    rules["test"] = lambda label, setting: 81 if label.startswith("F-") else 80
    assert accuracy.decomposed_beats_direct().verdict == HOLDS


def test_sam_alone_must_not_do_as_well(world):
    rules, _ = world
    assert accuracy.not_merely_sam().verdict == FAILS
    claim.values_of.cache_clear()
    rules["test"] = lambda label, setting: 81 if label == "F-IMTL-G" else 80
    assert accuracy.not_merely_sam().verdict == HOLDS


def test_conflicts_must_nearly_vanish_and_norms_must_fall(world):
    _, more = world
    assert training.conflict_vanishes().verdict == FAILS
    assert training.norms_fall().verdict == FAILS
    flat = lambda label: label == "F-CAGrad"  # noqa: E731
    more["conflict"] = lambda label: {"loss": [0.3, 0.3, 0.01 if flat(label) else 0.5]}
    more["norms"] = lambda label: {"loss": [1.0, 1.0] if flat(label) else [2.0, 2.0]}
    assert training.conflict_vanishes().verdict == HOLDS
    assert "0.50 with CAGrad, 0.01 with F-CAGrad" in training.conflict_vanishes().evidence[0]
    assert training.norms_fall().verdict == HOLDS


def test_gaps_must_narrow(world):
    rules, _ = world
    rules["test"] = lambda label, setting: 70 + len(label)
    assert accuracy.gaps_narrow().verdict == FAILS
    claim.values_of.cache_clear()
    rules["test"] = lambda label, setting: 80 if label.startswith("F-") else 70 + len(label)
    assert accuracy.gaps_narrow().verdict == HOLDS


def test_calibration_has_two_measures(world):
    _, more = world
    more["nll"] = lambda label: [0.5, 0.5] if label.startswith("F-") else [1.0, 1.0]
    more["ece"] = lambda label: [12.0, 12.0] if label.startswith("F-") else [9.0, 9.0]
    found = accuracy.calibration()
    assert found.verdict == f"ECE: {FAILS}. NLL: {HOLDS}"
    assert "F-LS +3.0 (+3.0..+3.0)" in found.evidence[0]
    assert "F-LS -0.500 (-0.500..-0.500)" in found.evidence[-1]


def test_a_sharp_minimum_that_generalises_is_a_counterexample(world):
    rules, more = world
    more["sharpness"] = lambda label: (
        [0.01, 0.01] if label.startswith(("F-", "direct", "SAM")) else [0.05, 0.05]
    )
    rules["test"] = lambda label, setting: 80 if label.startswith(("F-", "direct", "SAM", "LS +")) else 70
    assert accuracy.flat_generalises().verdict == FAILS
    claim.values_of.cache_clear()
    more["sharpness"] = lambda label: [0.01 * len(label)] * 2
    rules["test"] = lambda label, setting: 80 - len(label) + (0 if label != "LS + weight decay" else 0.001)
    assert accuracy.flat_generalises().verdict == HOLDS
    claim.values_of.cache_clear()
    more["sharpness"] = lambda label: [0.01 * (len(label) % 5 + 1)] * 2  # unrelated to the accuracy
    assert accuracy.flat_generalises().verdict == FAILS
    assert accuracy.rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)


DECADE = {rho: 70.0 for rho in knob.RADII if 0.016 <= rho <= 0.16}


@pytest.mark.parametrize(
    ("reached", "word"),
    [
        (DECADE, HOLDS),
        ({}, OPEN),  # without SAM it is as good
        ({0.4: 20.0, 0.16: 70.0, 0.1: 60.0}, FAILS),
        (DECADE | {0.04: 60.0, 1.0: 70.5}, FAILS),  # a gap between the radii that are close
    ],
)
def test_a_decade_of_radii_must_do_as_well(reached, word, monkeypatch):
    monkeypatch.setattr(knob, "recorded", lambda setting: {"runs": knob_runs(reached)})
    assert training.insensitive_to_rho().verdict == word


def test_costs_are_those_of_the_records():
    costs_of = cost.costs_of(cost.recorded(), "mlp")
    assert costs.twice_the_cost().verdict == f"{FAILS} (LS); {HOLDS} (CAGrad)"
    ratio = costs_of["F-CAGrad"]["passes"] / costs_of["CAGrad"]["passes"]
    assert f"{ratio:.2f} times the passes of CAGrad" in costs.twice_the_cost().evidence[1]
    samo = costs.samo_is_cheap()
    assert samo.verdict.startswith(f"cost: {FAILS}; accuracy: ")
    assert samo.evidence[-1].endswith(
        f"F-LS {costs_of['F-LS']['passes']:g}, SAMO {costs_of['SAMO']['passes']:g}"
    )
    benefits = frontier.benefits(frontier.recorded("mlp-40"), "nll")
    assert f"noise alone {benefits['noise alone'].words('{:.0f}')}" in costs.sage_terms().evidence[1]
    assert costs.independent_users().verdict == OPEN


def test_cheap_steps_give_other_verdicts_on_costs(monkeypatch):
    passes = {"LS": 5, "F-LS": 10, "CAGrad": 5, "F-CAGrad": 15, "SAMO": 5.2}
    found = {label: dict(passes=count, ms=1.0) for label, count in passes.items()}
    monkeypatch.setattr(cost, "costs_of", lambda record, network: found)
    assert costs.twice_the_cost().verdict == f"{HOLDS} (LS); {FAILS} (CAGrad)"
    assert costs.samo_is_cheap().verdict.startswith(f"cost: {HOLDS}; accuracy: ")


def test_the_page_has_a_row_and_the_evidence_of_every_claim(world, monkeypatch, tmp_path):
    monkeypatch.setattr(table, "CLAIMS", [accuracy.improves, costs.independent_users])
    table.record(tmp_path / "CLAIMS.md")
    page = (tmp_path / "CLAIMS.md").read_text()
    assert "| 1 | The F-method improves every base method (arXiv 2211.13723, Tables 1-4; " in page
    assert "| **holds here** |" in page
    assert "## 2. Independent users see a gain" in page
    assert "`comparison_noise-40.json`" in page
    rows = table.claims()
    assert f"<summary>2. Independent users see a gain</summary>\n\n{table.evidence(rows[1])}" in table.folded(
        rows
    )
    assert all(f"{place}, {len(SEEDS)} seeds: F-LS +" in page for place in claim.PLACES.values())
    assert f"How sure: {rows[1].certainty}" in table.folded(rows)
    with pytest.raises(FileNotFoundError, match="expected a file in a folder that exists"):
        table.record(tmp_path / "missing" / "CLAIMS.md")


def test_the_page_that_ships_is_what_its_records_say():
    claim.values_of.cache_clear()
    page = Path(__file__).parents[3] / "data" / "results" / "CLAIMS.md"
    assert page.read_text(encoding="utf-8") == table.markdown(table.claims())


@pytest.mark.parametrize("make", table.CLAIMS)
def test_the_run_that_would_decide_a_claim_can_be_started(make, world, monkeypatch, tmp_path):
    monkeypatch.setattr(knob, "recorded", lambda setting: {"runs": knob_runs({})})
    program, *words = make().decides.split()
    if program != "flatmtl-lite":
        assert make().records == ()  # others' code
        return
    assert words[0] in COMMANDS
    if words[0] == "sweep":
        words[words.index("--out") + 1] = str(tmp_path)
        assert main([*words, "--status"]) == 0  # checks every run, starts none
