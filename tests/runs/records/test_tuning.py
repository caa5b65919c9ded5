"""Tuning goes on until the best value is not an end, and a record goes on where it stopped."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from flatmtl_lite.runs.measures.evaluation import accuracy
from flatmtl_lite.runs.records import frontier, tuning
from flatmtl_lite.runs.records.record_file import RecordFile
from flatmtl_lite.runs.records.tuning import Method, Setting

SMALL = Setting("mlp", 0.4, (0.1, 0.14), (0.01, 0.02), epochs=2, n_train=64)


@pytest.mark.parametrize(
    ("peak", "tried"), [(2, [2, 3, 1]), (3, [2, 3, 4]), (5, [2, 3, 4, 5, 6]), (9, [2, 3, 4, 5, 6])]
)
def test_tuning_goes_on_until_the_best_value_is_not_an_end(peak, tried):
    seen = []

    def score(value):
        seen.append(value)
        return -abs(value - peak)

    best = tuning.best_of([1, 2, 3, 4, 5, 6], [2, 3], score)
    assert best == min(peak, 6)
    assert sorted(seen) == sorted(tried)


def test_a_record_goes_on_and_drops_runs_of_values_no_longer_chosen(monkeypatch, tmp_path):
    """Resume a record whose ladder was shorter: one more value is tried, wins, and replaces the old runs."""
    trained = []

    def train(data, config, network, stops_early):
        trained.append((config.seed, config.rho))
        return config

    monkeypatch.setattr(frontier, "METHODS", {"SAM on the mean": frontier.METHODS["SAM on the mean"]})
    monkeypatch.setattr(Setting, "data", lambda self, seed: SimpleNamespace(origin="none"))

    def final_accuracies(data, config, network):
        return {"val": [-abs(train(data, config, network, False).rho - 0.28)]}

    monkeypatch.setattr(tuning, "trained", train)
    monkeypatch.setattr(tuning, "final_accuracies", final_accuracies)
    monkeypatch.setattr(frontier, "measured", lambda config, data: {"test": [0.0]})
    old = {"label": "SAM on the mean", "value": 0.2, "test": [0.0]}
    selection = [old | {"seed": 100, "value": rho, "val": [rho - 0.28]} for rho in (0.1, 0.14, 0.2)]
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"selection": selection, "runs": [old | {"seed": 0, "val": [0.2]}]}))
    frontier.record(path, [0, 1])
    assert trained == [(100, 0.28), (100, 0.4), (0, 0.28), (1, 0.28)]
    assert [(run["seed"], run["value"]) for run in json.loads(path.read_text())["runs"]] == [
        (0, 0.28),
        (1, 0.28),
    ]


def test_a_method_takes_the_radius_of_another(monkeypatch, tmp_path):
    methods = {
        "one": Method(dict(method="sam-mean")),
        "other": Method(dict(method="f-mean"), tuned_as="one"),
        "decayed": Method(dict(method="mean"), "weight_decay"),
        "elsewhere": Method(dict(method="mean"), None, settings=("there",)),
    }
    monkeypatch.setattr(tuning, "best_of", lambda ladder, first, score: first[1])
    monkeypatch.setattr(tuning, "trained", lambda data, config, network, stops_early: config)
    file = RecordFile("comparison", tmp_path / "x.json", [3], ("selection", "runs"))
    here = tuning.methods_of(methods, "here")
    assert list(here) == ["one", "other", "decayed"]

    def measured(config, data):
        assert (config.epochs, config.evaluate_every, config.seed) == (2, 2, 3)
        return {"rho": config.rho, "weight_decay": config.weight_decay}

    tuning.tune_and_train(file, here, SMALL, [3], measured)
    runs = {run["label"]: run for run in file.content["runs"]}
    assert [runs[label]["rho"] for label in ("one", "other")] == [0.14, 0.14]
    assert (runs["decayed"]["weight_decay"], runs["decayed"]["value"]) == (0.02, 0.02)
    assert "sha256 checked" in file.content["data"]


def test_a_setting_may_have_one_radius_for_all_methods(monkeypatch, tmp_path):
    methods = {
        "plain": Method(dict(method="mean"), None),
        "first": Method(dict(method="f-mean")),
        "second": Method(dict(method="f-cagrad")),
        "decayed": Method(dict(method="mean"), "weight_decay"),
    }
    tried = []

    def final_accuracies(data, config, network):
        tried.append((config.method, config.rho, config.weight_decay))
        return {"val": [config.rho == 0.1, config.weight_decay == 0.01]}

    monkeypatch.setattr(tuning, "final_accuracies", final_accuracies)
    monkeypatch.setattr(tuning, "trained", lambda data, config, network, stops_early: config)
    file = RecordFile("comparison", tmp_path / "x.json", [3], ("selection", "runs"))
    setting = replace(SMALL, tuned_as="first")
    tuning.tune_and_train(file, methods, setting, [3], lambda config, data: {"rho": config.rho})
    values = {run["label"]: run["value"] for run in file.content["runs"]}
    assert values == {"plain": None, "first": 0.1, "second": 0.1, "decayed": 0.01}
    assert {method for method, *_ in tried} == {"f-mean", "mean"}


def test_the_options_of_a_setting_and_of_a_method_win():
    setting = replace(SMALL, options=dict(optimizer="adam", evaluate_every=1))
    config = tuning.config_of(Method(dict(method="f-mean", optimizer="sgd")), setting, 7, 0.2)
    assert (config.optimizer, config.evaluate_every, config.rho) == ("sgd", 1, 0.2)


def test_a_run_that_is_only_judged_trains_as_any_other_and_measures_nothing_else():
    config = tuning.config_of(Method(dict(method="f-mean")), SMALL, 0, 0.1)
    config = replace(config, evaluate_every=1, measure_every=4)
    data = SMALL.data(0)
    run, found = tuning.trained(data, config, "mlp", False), tuning.final_accuracies(data, config, "mlp")
    assert {split: found[split] for split in ("train", "val", "test")} == {
        split: run.accuracies[-1][split] for split in ("train", "val", "test")
    }
    assert len(found["course"]) == 2  # before training, and after it


def test_early_stopping_gives_the_weights_of_the_epoch_that_validation_picks():
    data = SMALL.data(0)
    config = tuning.config_of(Method(dict(method="mean", lr=1.0), None, stops_early=True), SMALL, 0)
    config = replace(config, epochs=6, evaluate_every=1)
    run = tuning.trained(data, config, "mlp", stops_early=True)
    best = max(run.accuracies, key=lambda entry: sum(entry["val"]))
    assert accuracy(run.model, data.val_images, data.val_labels) == best["val"]
    assert best["val"] != run.accuracies[-1]["val"]
