"""The frontier: benefits in per cent of the full method, paired by seed, against costs."""

import math
import statistics

import pytest

from flatmtl_lite.runs.records import frontier

# label -> one value of both tasks per seed
VALUES = {
    "LS": [2.0, 4.0, 8.0],
    "F-LS": [1.0, 2.0, 4.0],
    "half": [1.5, 3.0, 6.0],
    "varies": [1.0, 3.0, 8.0],
    "worse": [3.0, 6.0, 12.0],
}
COSTS = {"LS": 3.0, "F-LS": 12.0, "half": 6.0, "varies": 6.0, "worse": 4.5}


@pytest.fixture
def record():
    """A record whose tasks lie 0.5 below and above their mean."""
    runs = [
        {"label": label, "seed": seed, "nll": [value - 0.5, value + 0.5], "sharpness": [value, value]}
        for label, values in VALUES.items()
        for seed, value in enumerate(values)
    ]
    return {"runs": runs[::-1]}


@pytest.mark.parametrize("measure", frontier.MEASURES)
def test_the_benefit_is_a_share_of_the_full_drop_paired_by_seed(record, measure):
    found = frontier.benefits(record, measure)
    assert found["LS"] == (0, 0, 0)
    assert found["F-LS"] == pytest.approx((100, 100, 100))
    assert found["half"] == pytest.approx((50, 50, 50))  # with every seed, so there is no doubt
    assert found["worse"].mean == pytest.approx(-100)
    drops, full = [0.5, 0.25, 0.0], [0.5, 0.5, 0.5]
    half = 4.303 * statistics.stdev(drops) / math.sqrt(3) / statistics.mean(full)
    assert found["varies"] == pytest.approx((50, 50 - 100 * half, 50 + 100 * half))


def test_the_interval_is_smaller_where_the_drops_of_a_seed_go_together(record):
    """A drop that is twice as large with one seed for both methods leaves no doubt about their ratio."""
    for run in record["runs"]:
        if run["label"] in ("F-LS", "half") and run["seed"] == 2:
            run["nll"] = [4.8] * 2 if run["label"] == "F-LS" else [6.4] * 2  # drops of 0.4 and 0.2
    assert frontier.benefits(record, "nll")["half"] == pytest.approx((50, 50, 50))


def test_costs_are_relative_and_the_front_holds_what_nothing_beats(record):
    costs = frontier.relative_costs({label: {"ms": 7 * c} for label, c in COSTS.items()}, "ms")
    assert costs == pytest.approx({"LS": 1, "F-LS": 4, "half": 2, "varies": 2, "worse": 1.5})
    gains = frontier.benefits(record, "nll")
    gains["half"] = gains["half"]._replace(mean=49.0)
    assert frontier.pareto_front(costs, gains) == ["LS", "varies", "F-LS"]
    del gains["varies"]
    assert frontier.pareto_front(costs, gains) == ["LS", "half", "F-LS"]


def test_the_cheapest_is_good_in_every_panel(record):
    gains, costs = frontier.benefits(record, "nll"), COSTS | {"half": 5.0}
    assert frontier.cheapest(costs, [gains], at_least=45) == "half"
    doubtful = gains | {"half": gains["half"]._replace(mean=40.0)}
    assert frontier.cheapest(costs, [gains, doubtful], at_least=45) == "varies"
    assert frontier.cheapest(costs, [gains]) == "F-LS"
    assert frontier.cheapest(costs, [gains], at_least=101) is None


def test_a_record_that_cannot_be_compared_is_named(record):
    with pytest.raises(ValueError, match=r"mean drop of -0.5 in nll for worse; expected it to be above 0"):
        frontier.benefits(record, "nll", full="worse")
    record["runs"] = [run for run in record["runs"] if (run["label"], run["seed"]) != ("half", 1)]
    with pytest.raises(ValueError, match=r"other seeds for \['half'\] than for LS; expected \[0, 1, 2\]"):
        frontier.benefits(record, "nll")
    record["runs"] = [run for run in record["runs"] if run["seed"] == 0]
    with pytest.raises(ValueError, match="Got 1 seeds; expected 2 to 10"):
        frontier.benefits(record, "nll")
    with pytest.raises(ValueError, match="Got setting 'mlp'; expected one of mlp-40, mlp-20, lenet-40"):
        frontier.recorded("mlp")


def test_a_record_is_read_by_name(monkeypatch):
    monkeypatch.setattr(frontier, "load_record", lambda name: {"name": name})
    assert frontier.recorded("mlp-20") == {"name": "frontier_mlp-20"}
