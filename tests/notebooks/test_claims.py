"""Every figure that notebook 07 quotes is what the recorded runs say."""

import re
from pathlib import Path
from statistics import mean, stdev

import nbformat
import pytest

from flatmtl_lite.runs import mlp
from flatmtl_lite.runs.records import comparison, knob
from flatmtl_lite.runs.records.intervals import paired

NOISY, CLEAN = comparison.recorded("noise-40"), comparison.recorded("noise-0")
ACCURACY = comparison.accuracy(NOISY)
ERRORS = comparison.errors(NOISY)
FLAT = ("SAM on the mean loss", "F-LS", "direct CAGrad", "F-CAGrad")
KNOB = {
    row["rho"]: {key: mean(row[key]) for key in ("test", "sharpness")}
    for row in knob.over_radii(knob.recorded("noise-40"), "F-LS")
}


def gain(one: str, other: str) -> float:
    return paired(ACCURACY[one], ACCURACY[other]).mean


@pytest.fixture(scope="module")
def says():
    path = Path(__file__).parents[2] / "notebooks" / "instructor" / "07_multimnist.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    prose = re.sub(r"[*\s]+", " ", " ".join(cell.source for cell in cells if cell.cell_type == "markdown"))

    def check(words: str) -> None:
        assert words in prose

    return check


def test_the_knob(says):
    says("Too small a ρ changes little. From ρ = 0.25 on, learning breaks down")
    says("At ρ = 0.4 the network only guesses")
    best = max(KNOB, key=lambda rho: KNOB[rho]["test"])
    assert 0.05 <= best < 0.25
    assert KNOB[0.01]["test"] < KNOB[0]["test"] + 2
    assert KNOB[0.25]["test"] < KNOB[best]["test"] - 30
    assert all(KNOB[rho]["test"] < 15 for rho in KNOB if rho >= 0.4)
    says("It falls as long as the network learns. The networks that only guess are flatter still")
    learning = [KNOB[rho]["sharpness"] for rho in sorted(KNOB) if rho <= best]
    assert learning == sorted(learning, reverse=True)
    assert all(KNOB[rho]["sharpness"] < learning[-1] for rho in KNOB if rho >= 0.4)


def test_training_goes_past_the_best_point_without_flatness(says):
    says("LS names the test images best after a few epochs")
    says("With the best ρ the accuracy does not fall")
    record = knob.recorded("noise-40")
    plain, flat = (
        [mean(row["test"]) for row in knob.over_epochs(record, "F-LS", rho)] for rho in (0.0, 0.16)
    )
    epochs = [row["epoch"] for row in knob.over_epochs(record, "F-LS", 0.0)]
    assert epochs[plain.index(max(plain))] <= 8
    assert plain[-1] < max(plain) - 5
    assert flat[-1] > max(flat) - 1
    says("Its minimum gets sharper meanwhile")
    rises = [mean(row["sharpness"]) for row in knob.over_epochs(record, "F-LS", 0.0)]
    assert rises[-1] > 2 * rises[epochs.index(8)]


def test_what_is_learnt_by_heart(says):
    says("LS ends with nearly all of its training labels learnt (98 to 99 %, lower row)")
    runs = [run["train"] for run in NOISY["runs"] if run["label"] == "LS"]
    assert all(98 <= share < 99.5 for share in runs[0])
    says("then falls to about 55 %")
    assert 54 < mean(ACCURACY["LS"]) < 57
    says("stops near 60 % of the training labels")
    assert all(54 < share < 61 for label in FLAT for share in comparison.by_task(NOISY, label, "train"))
    says("On test images it keeps about 70 %")
    assert 69 < mean(ACCURACY["F-LS"]) < 72


def test_sharpness(says):
    says("By the five seeds F-LS is about five times flatter than LS")
    rises = {label: mean(comparison.by_task(NOISY, label, "sharpness")) for label in (*FLAT, "LS")}
    assert 4.5 < rises["LS"] / rises["F-LS"] < 6.5
    says("LS with weight decay is at least as sharp as LS")
    decayed, plain = (comparison.by_task(NOISY, label, "sharpness") for label in ("LS + weight decay", "LS"))
    assert all(one > other for one, other in zip(decayed, plain, strict=True))


def test_where_the_gain_comes_from(says):
    says("Each of them changes the mean by less than half a point, and every interval holds 0")
    for one, other in (("F-CAGrad", "direct CAGrad"), ("F-CAGrad", "F-LS"), ("F-LS", "SAM on the mean loss")):
        difference = paired(ACCURACY[one], ACCURACY[other])
        assert abs(difference.mean) < 0.5
        assert difference.low < 0 < difference.high
    says("Over five seeds it beats LS by about 15 points")
    assert 14.5 < gain("F-CAGrad", "LS") < 15.5
    says("F-LS beats LS by about 15 points")
    assert 14.5 < gain("F-LS", "LS") < 15.5
    says("it would have won 11 of these points")
    assert round(gain("LS, early stopping", "LS")) == 11
    says("Weight decay alone comes within a point of F-LS")
    assert 0 < gain("F-LS", "LS + weight decay") < 1
    says("F-LS minus LS is +0.0 points, with a ρ that was tuned on clean labels")
    clean = comparison.accuracy(CLEAN)
    assert f"{paired(clean['F-LS'], clean['LS']).mean:+.1f}" == "+0.0"
    says("Every method gains about the same, 14 to 19 points. The most gains F-STL")
    gains = {name: gain(f"F-{name}", name) for name in ("LS", "STL", *comparison.NAMES.values())}
    assert (round(min(gains.values())), round(max(gains.values()))) == (14, 19)
    assert max(gains, key=gains.__getitem__) == "STL"


def test_conflict(says):
    says("In the middle it is rarer than by chance (0.5), and at the end about half of the steps conflict")
    for name in ("CAGrad", "F-CAGrad"):
        loss = comparison.conflict_by_third(NOISY, name)["loss"]
        assert loss[1] < 0.4
        assert 0.45 < loss[2] < 0.6
    says("Flat parts conflict less often than loss parts")
    thirds = comparison.conflict_by_third(NOISY, "F-CAGrad")
    assert all(flat < loss for flat, loss in zip(thirds["flat"], thirds["loss"], strict=True))
    says("Here the two rules give nearly the same update")
    assert min(run["same"] for run in NOISY["runs"] if run["label"] == "F-CAGrad") > 0.99


def test_the_front(says):
    fronts = {name: comparison.front_of(NOISY, name) for name in ("LS", "F-LS")}
    base = {name: ERRORS[name] for name in ("RLW", *comparison.NAMES.values())}
    flat = {f"F-{name}": ERRORS[f"F-{name}"] for name in base}
    says("Only RLW ends beyond its front")
    assert comparison.beyond(fronts["LS"], base, by=1) == ["RLW"]
    assert comparison.beyond(fronts["F-LS"], flat, by=1) == []
    says("It is one of fourteen, RLW")
    assert len(base | flat) == 14
    says("F-STL, one network per task, ends beyond both")
    for front in fronts.values():
        assert comparison.beyond(front, {"F-STL": ERRORS["F-STL"]}, by=1)
    says(
        "With a tenth of the weight, 34 % of the digits are named wrongly. With half of the weight it is 42 %"
    )
    assert [round(fronts["LS"][weights][0]) for weights in ("10:90", "50:50")] == [34, 42]
    says("At a tenth of the weight the network knows 56 % of the given digit labels, at half of it 99 %")
    assert [round(comparison.by_task(NOISY, name, "train")[0]) for name in ("LS 10:90", "LS")] == [56, 99]


def test_examples_in_numbers(says):
    says("F-LS has 70, 72 and 68, and LS has 55, 58 and 52. The differences are 15, 14 and 16")
    says("their mean is 15, and their standard deviation is 1. The methods themselves spread by 2 and 3")
    one, other = (70, 72, 68), (55, 58, 52)
    differences = [a - b for a, b in zip(one, other, strict=True)]
    assert (mean(differences), stdev(differences), stdev(one), stdev(other)) == (15, 1, 2, 3)
    says("30 · 0.4 / 9 = 1.3 more agree by luck. Together that is about 43 %")
    assert round(70 * 0.6 + 30 * 0.4 / 9) == 43
    says("1/\\sqrt{P}$, which is 0.0016 for this trunk")
    weights = sum(weight.numel() for weight in mlp().trunk.parameters())
    assert f"{weights**-0.5:.4f}" == "0.0016"
    assert f"{1.645 * weights**-0.5:.3f}" == "0.003"  # nine in ten lie within 1.645 standard deviations


def test_tuning_went_on_while_the_best_value_was_an_end():
    for label in {entry["label"] for entry in NOISY["selection"]}:
        tried = {e["value"]: sum(e["val"]) for e in NOISY["selection"] if e["label"] == label}
        best = max(tried, key=tried.__getitem__)
        assert min(tried) < best < max(tried)
        assert {run["value"] for run in NOISY["runs"] if run["label"] == label} == {best}
