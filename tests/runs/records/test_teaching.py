"""The teaching setting: its methods stay as they were recorded, and its record is written and read right."""

import json
from dataclasses import asdict, replace

import pytest

from flatmtl_lite.runs import Config, fashion_and_mnist
from flatmtl_lite.runs.records import flatness, splitting, teaching

COMMON = dict(
    **dict(rho=0.14, adaptive=False, norm="together", epochs=40, batch_size=64, micro_batches=1),
    **dict(optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=0.0, schedule="cosine", seed=0),
    **dict(evaluate_every=4, measure_every=4, measure_rho=0.0, log_every=1, snapshot_every=0),
    **dict(alpha=0.5, mu=0.01, local="forward", one_draw=False, evaluate_forwards=False, noise=1e-4),
    **dict(flat_every=1, flat_tasks=1.0, flat_batch=1.0, sam_share=1.0, weights=""),
    **dict(tf32=False, deterministic=False, channels_last=True, workers=-1),
)
CHANGES = {
    "LS": dict(method="mean"),
    "LS + weight decay": dict(method="mean", weight_decay=0.01),
    "SAM on the mean loss": dict(method="sam-mean", rho=0.2),
    "F-LS": dict(method="f-mean"),
    "direct CAGrad": dict(method="direct-cagrad"),
    "F-CAGrad": dict(method="f-cagrad"),
}


def test_every_method_has_the_settings_of_its_recorded_runs():
    assert {label: asdict(config) for label, config in teaching.METHODS.items()} == {
        label: COMMON | changes for label, changes in CHANGES.items()
    }
    for run in teaching.recorded()["runs"]:
        config = asdict(replace(teaching.METHODS[run["label"]], seed=run["seed"]))
        assert {k: run[k] for k in config if k in run} == {k: v for k, v in config.items() if k in run}
        assert {"method", "rho", "weight_decay"} <= run.keys()


@pytest.mark.parametrize("label", ["LS", "F-LS"])
def test_the_runs_of_notebook_03_have_the_settings_of_their_record(label, monkeypatch):
    monkeypatch.delenv("FLATMTL_FAST", raising=False)
    assert asdict(splitting.splitting_config(label, 3)) == COMMON | CHANGES[label] | dict(
        seed=3, measure_rho=0.14
    )
    for run in splitting.recorded()["runs"]:
        if run["label"] == label:
            config = asdict(splitting.splitting_config(label, run["seed"]))
            assert {k: run[k] for k in config if k in run} == {k: v for k, v in config.items() if k in run}
            assert {"method", "rho", "measure_rho"} <= run.keys()


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="Got method 'F-LSS'; expected one of LS, "):
        teaching.teaching_config("F-LSS", 0)


def test_the_record_is_written_whole_and_a_changed_record_is_refused(tmp_path, monkeypatch):
    small = Config(epochs=2, batch_size=32, measure_every=2)
    monkeypatch.setattr(teaching, "METHODS", dict.fromkeys(("LS", "F-LS"), small))
    monkeypatch.setattr(teaching, "SELECTION", {})
    runs = []
    train = teaching.train
    monkeypatch.setattr(teaching, "train", lambda *a: runs.append(train(*a)) or runs[-1])
    monkeypatch.setattr(
        teaching, "teaching_data", lambda seed, noise: fashion_and_mnist(seed, 64, 32, 32, noise)
    )
    teaching.record(tmp_path / "teaching.json", [7])
    assert [file.name for file in tmp_path.iterdir()] == ["teaching.json"]
    record = json.loads((tmp_path / "teaching.json").read_text())
    assert [(run["label"], run["label_noise"]) for run in record["runs"]] == [
        *(("LS", 0.4), ("F-LS", 0.4), ("LS", 0.0), ("F-LS", 0.0)),
    ]
    for entry, run in zip(record["runs"], runs, strict=True):
        assert {name: entry[name] for name in ("train", "val", "test")} == {
            name: run.accuracies[-1][name] for name in ("train", "val", "test")
        }
    shipped = tmp_path / "data" / "results"
    shipped.mkdir(parents=True)
    (shipped / "teaching.json").write_text((tmp_path / "teaching.json").read_text())
    (tmp_path / "data" / "SHA256SUMS").write_text(f"{'0' * 64}  results/teaching.json\n")
    monkeypatch.setattr("flatmtl_lite.runs.data.sources.SAMPLE_FOLDER", tmp_path / "data")
    with pytest.raises(ValueError, match=r"teaching.json: expected content of sha256 000.*git checkout data"):
        teaching.recorded()


def test_differences_are_one_minus_the_other_seed_by_seed():
    mean, sd, each = teaching.paired_difference({"a": [3.0, 5.0], "b": [1.0, 2.0]}, "a", "b")
    assert (mean, each) == (2.5, [2.0, 3.0])
    assert sd == pytest.approx(0.5**0.5)
    assert teaching.mean_and_sd({"a": [3.0, 5.0]}) == {"a": (4.0, pytest.approx(2**0.5), 2)}


def test_the_mean_of_a_flatness_record_is_over_seeds():
    runs = [{"label": label, "trace": [seed, 10 * seed]} for label in flatness.LABELS for seed in (1, 3)]
    assert flatness.five_seed_means({"runs": runs}, "trace") == {key: [2.0, 20.0] for key in flatness.LABELS}
    assert flatness.of_task({"runs": runs}, "trace", 1)["LS"] == [10, 30]
