"""The record of the rooms: made of finished runs only, each against the single-task networks of its seed."""

import json

import pytest

from flatmtl_lite.runs import HIGHER_IS_BETTER
from flatmtl_lite.runs.records.rooms import METHODS, SEEDS, SELECTION_SEED, SHOWN, by_method, record, table


def write_run(folder, method, seed, factor=1.0, **config):
    """A finished run whose every metric is ``factor`` (or its inverse) times better than 0.5."""
    folder.mkdir(parents=True)
    test = {name: 0.5 * (factor if up else 1 / factor) for name, up in HIGHER_IS_BETTER.items()}
    evaluation = {"epoch": 3, "val": test, "test": test, "score": {"val": 1.0, "test": 1.0}}
    config = {"method": method, "rho": 0.1, "seed": seed, "epochs": 3, "snapshot_every": 0, **config}
    result = {
        **dict(experiment="rooms", task_names=["label", "depth", "normal"], settings={"height": 48}),
        **dict(config=config, parameters=7, seconds=1.5, finished=True, last_snapshot=None),
        "about": {"command": "secret", "date": "2026-01-01", "machine": "a CPU", "data": "synthetic rooms"},
        **dict.fromkeys(("final", "picked", "best_test"), evaluation),
    }
    (folder / "result.json").write_text(json.dumps(result))
    log = [{"kind": "epoch", "epoch": e, "histograms": {"loss": [e] + [0] * 18 + [1]}} for e in (1, 2, 3)]
    if config["snapshot_every"]:
        log.append({"kind": "snapshot", "epoch": 3, "rho": [0.1]})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweep"
    for seed in SEEDS:
        for method in METHODS:
            write_run(folder / method / str(seed), method, seed, 1.25 if method == "f-mean" else 1 + seed)
    for method in SHOWN:
        write_run(folder / "snapshots" / method, method, SEEDS[0], snapshot_every=5)
    write_run(folder / "selection", "f-cagrad", SELECTION_SEED, rho=0.3)
    return folder


def test_the_record_says_where_it_comes_from_and_compares_seed_by_seed(sweep, tmp_path):
    record(sweep, tmp_path / "rooms.json")
    content = json.loads((tmp_path / "rooms.json").read_text())
    assert "nothing about NYUv2" in content["what"]
    assert (content["date"], content["machine"], len(content["commands"])) == ("2026-01-01", "a CPU", 4)
    assert len(content["runs"]) == len(METHODS) * len(SEEDS)
    changes = by_method(content, "delta_m")
    assert changes["stl"] == changes["cagrad"] == [0, 0, 0]
    # a quarter more of what should be high, a fifth less of what should be low
    assert changes["f-mean"][0] == pytest.approx(-100 * (5 * 0.25 + 4 * 0.2) / 9, abs=1e-3)
    assert changes["f-mean"][1] > 0
    assert by_method(content, "miou")["mean"] == [0.5, 1.0, 1.5]
    assert content["runs"][0]["rho"] is None
    assert content["runs"][-1]["rho"] == 0.1
    assert content["runs"][0]["conflict_by_third"] == {"loss": [0.5, 0.6667, 0.75]}
    assert content["snapshots"] == {method: [{"epoch": 3, "rho": [0.1]}] for method in SHOWN}
    assert content["selection"] == [{"method": "f-cagrad", "rho": 0.3, "seed": 100, "val_score": 1.0}]
    assert len(table(content)) == 1 + len(METHODS)
    assert "secret" not in json.dumps(content)


def test_a_missing_run_is_named(sweep, tmp_path):
    (sweep / "f-cagrad" / "1" / "result.json").unlink()
    with pytest.raises(ValueError, match=r"'f-cagrad', 1\)(.|\n)*sweep rooms"):
        record(sweep, tmp_path / "rooms.json")
    assert not (tmp_path / "rooms.json").exists()


def test_a_run_that_cannot_be_read_is_named(sweep, tmp_path):
    (sweep / "f-cagrad" / "1" / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"'f-cagrad', 1\).* Left out: f-cagrad/1: result.json is damaged"):
        record(sweep, tmp_path / "rooms.json")


def test_runs_of_other_settings_are_refused(sweep, tmp_path):
    path = sweep / "mean" / "0" / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"settings": {"height": 96}}))
    with pytest.raises(ValueError, match="different settings"):
        record(sweep, tmp_path / "rooms.json")
