"""The teaching setting: its methods stay as they were recorded."""

from dataclasses import asdict

import pytest

from flatmtl_lite.runs.records import comparison, flatness, splitting, teaching

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


@pytest.mark.parametrize("label", teaching.METHODS)
def test_every_method_has_the_value_that_the_comparison_tuned(label):
    tuned = comparison.METHODS[label]
    values = {run["value"] for run in comparison.recorded()["runs"] if run["label"] == label}
    assert values == {getattr(teaching.METHODS[label], tuned.tunes) if tuned.tunes else None}
    assert tuned.options["method"] == teaching.METHODS[label].method


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


def test_the_mean_of_a_flatness_record_is_over_seeds():
    runs = [{"label": label, "trace": [seed, 10 * seed]} for label in flatness.LABELS for seed in (1, 3)]
    assert flatness.five_seed_means({"runs": runs}, "trace") == {key: [2.0, 20.0] for key in flatness.LABELS}
    assert flatness.of_task({"runs": runs}, "trace", 1)["LS"] == [10, 30]
