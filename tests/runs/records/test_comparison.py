"""The comparison: which methods a setting has, and how its errors are read."""

import json

import pytest

from flatmtl_lite.runs import parse_method
from flatmtl_lite.runs.records import comparison, tuning


def test_every_setting_has_its_methods():
    noisy, clean = (tuning.methods_of(comparison.METHODS, name) for name in ("noise-20", "clean-mixed"))
    keys = {method.options["method"] for method in noisy.values()}
    base = {"mean", "rlw", "mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "fairgrad"}
    assert keys >= base | {f"f-{key}" for key in base} | {f"direct-{key}" for key in base - {"mean", "rlw"}}
    assert keys >= {"second-cagrad", "each-cagrad", "stl", "f-stl", "sam-mean"}
    assert {method.options["method"] for method in clean.values()} == {
        *("mean", "f-mean", "cagrad", "direct-cagrad", "f-cagrad", "stl", "f-stl"),
    }
    fronts = tuning.methods_of(comparison.METHODS, "noise-40")
    assert sum(":" in label for label in fronts) == 20
    for label, method in comparison.METHODS.items():
        uses_rho = parse_method(method.options["method"]).uses_rho
        assert (method.tunes == "rho") == uses_rho, label  # one budget: whatever has a radius is tuned


def test_a_random_direction_is_sam_with_a_coin_for_a_gradient():
    options = comparison.METHODS["random direction"].options
    assert (options["alpha"], options["local"]) == (0.0, "coin")


def run(label: str, seed: int, *test: float) -> dict:
    return {"label": label, "seed": seed, "test": list(test)}


def test_errors_are_means_over_seeds_and_fronts_go_from_one_task_to_the_other():
    runs = [run("LS", 0, 60, 50), run("LS", 1, 70, 40)]
    runs += [run(f"LS {name}", 0, 50, 50) for name in comparison.WEIGHTS]
    assert comparison.errors({"runs": runs})["LS"] == [35, 55]
    front = comparison.front_of({"runs": runs}, "LS")
    assert list(front)[:2] == ["0:100", "10:90"]
    assert (list(front)[5], front["50:50"]) == ("50:50", [35, 55])
    assert list(front)[-1] == "100:0"


def test_conflicts_are_means_over_seeds():
    runs = [
        {"label": label, "seed": seed, "conflict": {"loss": [0.1 * seed, 0.2, 0.3], "flat": [0, 0, 0.5]}}
        for label in ("CAGrad", "F-CAGrad")
        for seed in (1, 3)
    ]
    found = comparison.conflict_by_third({"runs": runs}, "F-CAGrad")
    assert found == {"loss": pytest.approx([0.2, 0.2, 0.3]), "flat": [0, 0, 0.5]}


def test_a_method_is_beyond_a_front_that_no_point_of_it_matches():
    front = {"0:100": [60.0, 20.0], "50:50": [40.0, 40.0], "100:0": [20.0, 60.0]}
    methods = {"on it": [50.0, 30.0], "near": [39.6, 39.6], "beyond": [39.0, 39.0], "worse": [70.0, 70.0]}
    assert comparison.beyond(front, methods, by=0.5) == ["beyond"]
    assert comparison.beyond(front, methods, by=0.1) == ["near", "beyond"]


def test_a_record_names_its_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison.tuning, "tune_and_train", lambda file, *rest: file.write())
    comparison.record(tmp_path / "c.json", [0, 1], "clean-mnist")
    record = json.loads((tmp_path / "c.json").read_text())
    assert record["command"].endswith("--seeds 0 1 --setting clean-mnist")
    assert (record["variant"], record["network"], record["options"]["optimizer"]) == (
        "mnist",
        "lenet",
        "adam",
    )
    with pytest.raises(ValueError, match=r"Got setting 'mlp'.*; expected one of noise-40"):
        comparison.recorded("mlp")
