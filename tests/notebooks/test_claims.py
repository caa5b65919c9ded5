"""Every figure that notebook 07 quotes is what the recorded runs say."""

import re
from pathlib import Path
from statistics import mean, stdev

import nbformat
import pytest

from flatmtl_lite.runs import mlp
from flatmtl_lite.runs.records import teaching

RECORD = teaching.recorded()
NOISY, CLEAN = teaching.final_accuracy(RECORD, 0.4), teaching.final_accuracy(RECORD, 0.0)


def of_method(label: str, key: str, noise: float = 0.4) -> list:
    return [run[key] for run in RECORD["runs"] if run["label"] == label and run["label_noise"] == noise]


def columns(rows: list[list[float]]) -> list[float]:
    return [mean(column) for column in zip(*rows, strict=True)]


def listed(values: list[float], digits: int, separator: str) -> str:
    return separator.join(f"{value:.{digits}f}" for value in values)


def difference(one: str, other: str, digits: int = 1) -> str:
    average, sd, _ = teaching.paired_difference(NOISY, one, other)
    return f"{average:+.1f}", f"sd {sd:.1f}"


def sharpness(label: str) -> str:
    return listed(columns(of_method(label, "sharpness")), 3, " / ")


FLAT = ("SAM on the mean loss", "F-LS", "direct CAGrad", "F-CAGrad")
CLAIMS = {
    "final accuracy, weight decay": [f"reaches {mean(NOISY['LS + weight decay']):.1f} %"],
    "final accuracy, F-LS": [f"F-LS {mean(NOISY['F-LS']):.1f} %"],
    "final accuracy, SAM": [f"{mean(NOISY['SAM on the mean loss']):.1f} %"],
    "clean labels": [f"LS {mean(CLEAN['LS']):.1f} %, F-LS {mean(CLEAN['F-LS']):.1f} %"],
    "early stopping": [f"LS has {mean(mean(test) for test in of_method('LS', 'picked_test')):.1f} %"],
    "F-LS - LS": [f"by {mean(NOISY['F-LS']) - mean(NOISY['LS']):.1f} points", difference("F-LS", "LS")[1]],
    "F-LS - weight decay": difference("F-LS", "LS + weight decay"),
    "F-CAGrad - direct": difference("F-CAGrad", "direct CAGrad"),
    "F-LS - SAM": difference("F-LS", "SAM on the mean loss"),
    "F-CAGrad - F-LS": difference("F-CAGrad", "F-LS"),
    "sharpness of LS and weight decay": [sharpness("LS"), sharpness("LS + weight decay")],
    "conflict, LS": [listed(columns(of_method("LS", "loss_conflict_by_third")), 2, ", ")],
    "conflict, F-LS": [listed(columns(of_method("F-LS", "loss_conflict_by_third")), 2, ", ")],
    "conflict of flat parts": [listed(columns(of_method("F-LS", "flat_conflict_by_third")), 2, ", ")],
}


@pytest.fixture(scope="module")
def prose() -> str:
    path = Path(__file__).parents[2] / "notebooks" / "instructor" / "07_multimnist.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return re.sub(r"[*\s]+", " ", " ".join(cell.source for cell in cells if cell.cell_type == "markdown"))


@pytest.mark.parametrize("claim", CLAIMS)
def test_quoted_figures_are_the_recorded_ones(claim, prose):
    assert [figure for figure in CLAIMS[claim] if figure not in prose] == []


def test_claims_in_words():
    assert 98 <= min(of_method("LS", "train")[0]) <= max(map(max, of_method("LS", "train"))) < 99.5
    assert all(54 < share < 61 for label in FLAT for share in columns(of_method(label, "train")))
    for label in FLAT:  # "0.012 / 0.011", "about five times flatter"
        assert columns(of_method(label, "sharpness")) == pytest.approx([0.012, 0.011], abs=0.001)
        ratio = sum(columns(of_method("LS", "sharpness"))) / sum(columns(of_method(label, "sharpness")))
        assert 4.5 < ratio < 6.5
    agreement = of_method("F-CAGrad", "decomposed_vs_direct_cosine") + of_method(
        "direct CAGrad", "decomposed_vs_direct_cosine"
    )
    assert len(agreement) == 10
    assert all(0.995 <= cosine <= 0.997 for cosine in agreement)


def test_the_gain_has_one_source(prose):
    assert "Each of them changes the mean by less than half a point" in prose
    for one, other in (("F-CAGrad", "direct CAGrad"), ("F-CAGrad", "F-LS"), ("F-LS", "SAM on the mean loss")):
        assert abs(teaching.paired_difference(NOISY, one, other)[0]) < 0.5
    assert "Over five seeds it beats LS by about 15 points" in prose
    assert 14.5 < teaching.paired_difference(NOISY, "F-CAGrad", "LS")[0] < 15.5


def test_a_large_radius_learns_nothing(prose):
    assert "At ρ = 0.05 F-LS is far below its best, and at ρ = 0.4 it has not learnt anything" in prose
    test = {e["rho"]: mean(e["test"]) for e in RECORD["selection"] if e["label"] == "F-LS"}
    assert 69 < test[0.14] < 71
    assert test[0.05] < test[0.14] - 5
    assert 9 < test[0.4] < 11.5


def test_examples_in_numbers(prose):
    assert "F-LS has 70, 72 and 68, and LS has 55, 58 and 52. The differences are 15, 14 and 16" in prose
    assert (
        "their mean is 15, and their standard deviation is 1. The methods themselves spread by 2 and 3"
        in prose
    )
    one, other = (70, 72, 68), (55, 58, 52)
    differences = [a - b for a, b in zip(one, other, strict=True)]
    assert (mean(differences), stdev(differences), stdev(one), stdev(other)) == (15, 1, 2, 3)
    assert "30 · 0.4 / 9 = 1.3 more agree by luck. Together that is about 43 %" in prose
    assert round(70 * 0.6 + 30 * 0.4 / 9) == 43
    assert "1/\\sqrt{P}$, which is 0.0016 for this trunk" in prose
    weights = sum(weight.numel() for weight in mlp().trunk.parameters())
    assert f"{weights**-0.5:.4f}" == "0.0016"
    assert f"{1.645 * weights**-0.5:.3f}" == "0.003"  # nine in ten lie within 1.645 standard deviations


def test_radius_and_decay_are_what_validation_picked():
    for label, (name, _) in teaching.SELECTION.items():
        tried = [entry for entry in RECORD["selection"] if entry["label"] == label]
        best = max(tried, key=lambda entry: sum(entry["val"]))
        assert best[name] == getattr(teaching.METHODS[label], name)
