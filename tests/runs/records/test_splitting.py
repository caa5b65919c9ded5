"""How conflict is counted and recorded for notebook 03."""

import json
from dataclasses import replace
from functools import partial

import pytest

from flatmtl_lite.runs import Config, Run, fashion_and_mnist, mlp, multi_mnist, train
from flatmtl_lite.runs.records import splitting

SMALL = Config("f-mean", epochs=1, batch_size=16, measure_every=1)
NARROW = partial(mlp, width=16)


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=64, n_val=16, n_test=16)


def test_measuring_flat_parts_of_plain_descent_changes_nothing(data):
    plain = replace(SMALL, method="mean")
    one, other = train(data, plain, NARROW), train(data, replace(plain, measure_rho=0.1), NARROW)
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert a.equal(b)
    assert "flat" not in one.measured_steps[0]
    assert [step["loss"][0] for step in one.measured_steps] == pytest.approx(
        [step["loss"][0] for step in other.measured_steps], rel=2e-5
    )
    assert len(other.measured_steps[0]["flat"]) == 1
    assert len(other.measured_steps[0]["intra"]) == 2


def test_the_first_step_of_sam_has_the_parts_that_are_measured_on_plain_descent(data):
    sam = train(data, replace(SMALL, rho=0.1), NARROW).measured_steps[0]
    plain = train(data, replace(SMALL, method="mean", measure_rho=0.1), NARROW).measured_steps[0]
    for part in ("loss", "flat", "intra"):
        assert sam[part] == pytest.approx(plain[part], abs=1e-4)


def test_conflict_is_counted_by_thirds():
    run = Run(Config(epochs=3), mlp(width=1))
    steps = [(0, -1, 1, 1, -1), (0.5, 1, 1, -1, -1), (1, 1, -1, 1, 1), (2.9, 1, 1, 1, 1)]
    for epoch, loss, flat, first, second in steps:
        entry = {"epoch": epoch, "loss": [loss], "flat": [flat], "intra": [first, second]}
        run.log.append({"kind": "step", **entry})
    assert splitting.conflict_by_third(run) == {
        "loss parts": [0.5, 0, 0],
        "flat parts": [0, 1, 0],
        "within task 1": [0.5, 0, 0],
        "within task 2": [1, 0, 0],
    }


def test_a_run_without_flat_parts_or_two_tasks_is_refused(data):
    with pytest.raises(ValueError, match=r"Got 4 of 4 measured steps without flat parts \(method 'mean'"):
        splitting.conflict_by_third(train(data, replace(SMALL, method="mean"), NARROW))
    for tasks in (["digit"], ["digit", "parity", "group"]):
        asked = multi_mnist("fashion+mnist", 0, 64, 16, 16, tasks=tasks)
        with pytest.raises(ValueError, match=f"Got a run of {len(tasks)} tasks; expected two"):
            splitting.conflict_by_third(train(asked, SMALL, NARROW))


def test_the_record_is_written_whole(tmp_path, monkeypatch, data):
    small = replace(SMALL, epochs=3, measure_rho=0.1)
    configs = {"LS": replace(small, method="mean"), "F-LS": small}
    monkeypatch.setattr(splitting, "splitting_config", lambda label, seed: configs[label])
    monkeypatch.setattr(splitting, "teaching_data", lambda seed: data)
    monkeypatch.setattr(splitting, "train", lambda data, config: train(data, config, NARROW))
    splitting.record(tmp_path / "splitting.json", [7])
    assert [file.name for file in tmp_path.iterdir()] == ["splitting.json"]
    record = json.loads((tmp_path / "splitting.json").read_text())
    assert [run["label"] for run in record["runs"]] == ["LS", "F-LS"]
    assert all(set(run["conflict_by_third"]) == set(splitting.KINDS) for run in record["runs"])
    assert record["data"] == data.origin


def test_the_shipped_record_has_five_seeds_of_both():
    record = splitting.recorded()
    assert [run["seed"] for run in record["runs"] if run["label"] == "LS"] == [0, 1, 2, 3, 4]
    shares = splitting.recorded_conflict(record, "F-LS")
    assert list(shares) == list(splitting.KINDS)
    assert all(0 <= share <= 1 for third in shares.values() for share in third)
