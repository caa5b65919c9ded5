"""Calibration against its definition, and the record that notebook 06 quotes."""

import copy
import json
import math

import pytest
import torch

from flatmtl_lite.diagnostics import hessian_trace, sharpness, top_eigenvalue
from flatmtl_lite.runs import Config, fashion_and_mnist, mlp, task_closures, train
from flatmtl_lite.runs.engine.experiment import NonFiniteOutput
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.measures.calibration import (
    brier,
    calibration_metrics,
    ece,
    evaluate,
    log_probabilities,
    nll,
    reliability,
    reliability_lists,
)
from flatmtl_lite.runs.measures.entropy import entropy_histograms
from flatmtl_lite.runs.measures.evaluation import accuracy, percent_right
from flatmtl_lite.runs.records import flatness


def random_task(n=4000, sure=3.0, seed=0):
    """Log-probabilities (n, 10) and labels that follow other ones."""
    generator = torch.Generator().manual_seed(seed)
    logits = sure * torch.randn(n, 10, generator=generator)
    labels = torch.multinomial((logits / 2).softmax(-1), 1, generator=generator).squeeze(1)
    return logits.log_softmax(-1), labels


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=96, n_val=40, n_test=40, label_noise=0.4, max_shift=0)


@pytest.mark.parametrize(("bins", "sure"), [(5, 0.5), (10, 3.0), (15, 30.0)])
def test_the_bins_give_torchmetrics_ece(bins, sure):
    log_p, labels = random_task(sure=sure)
    count, confidence, accuracy = reliability(log_p, labels, bins)
    assert count.sum() == len(labels)
    by_hand = 100 * (count * (accuracy - confidence).abs()).sum() / count.sum()
    assert ece(log_p, labels, bins) == pytest.approx(by_hand.item(), abs=1e-3)
    right = (log_p.argmax(-1) == labels).float().mean()
    assert (count * accuracy).sum() / count.sum() == pytest.approx(right.item(), abs=1e-6)
    inside = count > 0
    edges = torch.arange(bins) / bins
    assert (confidence[inside] >= edges[inside] - 1e-6).all()
    assert (confidence[inside] <= edges[inside] + 1 / bins + 1e-6).all()


def test_a_network_that_knows_and_says_so_is_calibrated():
    labels = torch.arange(10).repeat(3)
    certain = torch.full((30, 10), -200.0).scatter(1, labels[:, None], 0.0)
    assert ece(certain, labels) == pytest.approx(0, abs=1e-4)
    assert ece(certain, (labels + 1) % 10) == pytest.approx(100, abs=1e-4)
    assert nll(certain, labels) == 0


def test_nll_of_a_guess_at_random_is_log_10():
    labels = torch.arange(10)
    assert nll(torch.full((10, 10), -math.log(10)), labels) == pytest.approx(math.log(10))


def test_brier_is_the_papers_formula():
    log_p, labels = random_task(n=500)
    p = log_p.exp()
    papers = 1 + (p.square().sum() - 2 * p[torch.arange(500), labels].sum()) / 500
    assert brier(log_p, labels) == pytest.approx(papers.item(), abs=1e-5)


def test_brier_of_the_sure_and_of_a_guess_at_random():
    labels = torch.arange(10)
    certain = torch.full((10, 10), -200.0).scatter(1, labels[:, None], 0.0)
    assert (brier(certain, labels), brier(certain, (labels + 1) % 10)) == (0, 2)
    assert brier(torch.full((10, 10), -math.log(10)), labels) == pytest.approx(0.9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_calibration_is_each_metric_in_one_go(dtype):
    log_p, labels = random_task(n=1000)
    metrics = calibration_metrics(log_p.to(dtype), labels)
    assert list(metrics) == ["accuracy", "nll", "ece", "brier"]
    right = (log_p.argmax(-1) == labels).double().mean().item()
    assert metrics["accuracy"] == pytest.approx(100 * right, abs=0.01)
    for key, metric in (("nll", nll), ("ece", ece), ("brier", brier)):
        assert metrics[key] == pytest.approx(metric(log_p, labels), rel=1e-4)


def test_reliability_is_written_with_whole_counts():
    log_p, labels = random_task(n=25_437, sure=30.0)  # most of them in one bin: a count of five digits
    lists = json.loads(json.dumps(reliability_lists(log_p, labels)))
    assert sum(lists["count"]) == 25_437
    assert [len(values) for values in lists.values()] == [10, 10, 10]
    for values, exact in zip(lists.values(), reliability(log_p, labels), strict=True):
        torch.testing.assert_close(torch.tensor(values).float(), exact, rtol=1e-3, atol=1e-4)


GUESS = torch.full((4, 10), -math.log(10))


REFUSED = [
    (GUESS, torch.zeros(4, 2).long(), r"\(4, 2\).*labels\[:, i\]"),
    (torch.zeros(0, 10), torch.zeros(0).long(), "N >= 1"),
    (GUESS, torch.tensor([0, 3, 10, 1]), "labels from 0 to 10; expected 0 to 9"),
    (GUESS.exp(), torch.zeros(4).long(), "do not sum to 1"),
    (GUESS * math.nan, torch.zeros(4).long(), "training diverged"),
    (GUESS.index_fill(0, torch.tensor(2), math.nan), torch.zeros(4).long(), "nan .* training diverged"),
    (GUESS.index_fill(0, torch.tensor(2), math.inf), torch.zeros(4).long(), "inf .* training diverged"),
    (GUESS, torch.tensor([0, 3, 255, 1]), "labels from 0 to 255; expected 0 to 9"),
    (GUESS, torch.tensor([0, 3, -100, 1]), "labels from -100 to 3; expected 0 to 9"),
]


@pytest.mark.parametrize("metric", [calibration_metrics, nll, ece, brier, reliability])
def test_what_is_not_of_one_task_is_refused(metric):
    for log_p, labels, message in REFUSED:
        with pytest.raises(ValueError, match=message):
            metric(log_p, labels)


def test_an_accuracy_is_refused_where_the_calibration_is():
    for log_p, labels, message in REFUSED:
        if "sum to 1" not in message:  # any scores will do
            with pytest.raises(ValueError, match=message):
                percent_right(log_p, labels)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_network_that_returns_no_numbers_is_refused_by_every_measure(data, value):
    model = mlp(width=16)
    torch.nn.init.constant_(model.heads[1].bias, value)
    for measure in (accuracy, evaluate):
        with pytest.raises(NonFiniteOutput, match="training diverged"):
            measure(model, data.test_images, data.test_labels)
    with pytest.raises(NonFiniteOutput, match="training diverged"):
        entropy_histograms({"test": log_probabilities(model, data.test_images)})
    with pytest.raises(NonFiniteOutput, match="training diverged"):
        ImageTasks(data, mlp).evaluate(model)


@pytest.fixture(scope="module")
def trained(data):
    return train(data, Config("f-mean", epochs=4, batch_size=32, measure_every=4)).model


def test_every_task_is_evaluated_from_one_pass(data, trained):
    calls = []
    hook = trained.trunk.register_forward_hook(lambda *_: calls.append(1))
    metrics = evaluate(trained, data.test_images, data.test_labels)
    hook.remove()
    assert len(calls) == 1
    assert metrics["accuracy"] == accuracy(trained, data.test_images, data.test_labels)
    log_ps = log_probabilities(trained, data.test_images)
    for task, (log_p, labels) in enumerate(zip(log_ps, data.test_labels.unbind(1), strict=True)):
        assert {key: values[task] for key, values in metrics.items()} == calibration_metrics(log_p, labels)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_of_any_dtype_is_evaluated(data, trained, dtype):
    single = evaluate(trained, data.test_images, data.test_labels)
    other = evaluate(copy.deepcopy(trained).to(dtype), data.test_images, data.test_labels)
    for key, tolerance in (("nll", 0.02), ("brier", 0.02), ("accuracy", 5.1)):
        assert other[key] == pytest.approx(single[key], abs=tolerance)


def test_log_probabilities_are_those_of_the_network_in_evaluation_mode():
    model, images = mlp((10, 2)), torch.randint(256, (1500, 36, 36), dtype=torch.uint8)
    model.trunk.append(torch.nn.Dropout(0.5))
    log_ps = log_probabilities(model, images)
    assert [tuple(task.shape) for task in log_ps] == [(1500, 10), (1500, 2)]
    assert model.training
    for task, again in zip(log_ps, log_probabilities(model, images), strict=True):
        torch.testing.assert_close(task.exp().sum(-1), torch.ones(1500))
        assert torch.equal(task, again)


def test_what_is_recorded_is_measured_by_the_core(data):
    torch.manual_seed(0)
    model = mlp(width=16)
    metrics = flatness.measured(model, data, images=64)
    features, losses = task_closures(model, data.train_images[:64], data.train_labels[:64])
    parameters = [*model.trunk.parameters(), *model.heads[1].parameters()]
    task = (lambda: losses[1](features()), parameters)
    assert metrics["sharpness"][1][1] == pytest.approx(sharpness(*task, 0.05), rel=1e-3)
    assert metrics["adaptive_sharpness"][1][2] == pytest.approx(
        sharpness(*task, 1.0, adaptive=True), rel=1e-3
    )
    assert metrics["top_eigenvalue"][1] == pytest.approx(top_eigenvalue(*task), rel=1e-3)
    assert metrics["trace"][1] == pytest.approx(hessian_trace(*task), rel=1e-3)
    assert metrics["train_loss"][1] == pytest.approx(task[0]().item(), rel=1e-3)
    norm_squared = sum(p.square().sum().item() for p in parameters)
    assert metrics["norm_squared"][1] == pytest.approx(norm_squared, rel=1e-3)
    noisy = log_probabilities(model, data.val_images)[1]
    assert metrics["ece_noisy"][1] == pytest.approx(ece(noisy, data.val_labels[:, 1]), rel=1e-3)
    clean = log_probabilities(model, data.test_images)[1]
    assert metrics["nll"][1] == pytest.approx(nll(clean, data.test_labels[:, 1]), rel=1e-3)


def test_the_record_is_written_and_averaged(tmp_path, monkeypatch, data):
    monkeypatch.setattr(flatness, "teaching_data", lambda seed: data)
    monkeypatch.setattr(flatness, "teaching_config", lambda label, seed: Config("mean", epochs=1, seed=seed))
    metrics = {"test": [50.0, 60.0], "trace": [1.0, 192.0]}
    monkeypatch.setattr(flatness, "measured", lambda model, data: metrics)
    flatness.record(tmp_path / "flatness.json", [3, 4])
    assert [file.name for file in tmp_path.iterdir()] == ["flatness.json"]
    record = json.loads((tmp_path / "flatness.json").read_text())
    assert [(run["label"], run["seed"]) for run in record["runs"]] == [
        (label, seed) for seed in (3, 4) for label in flatness.LABELS
    ]
    assert flatness.five_seed_means(record, "trace") == {label: [1.0, 192.0] for label in flatness.LABELS}
    assert {"command", "date", "machine", "data"} <= record.keys()


def test_what_ships_are_five_seeds_of_the_teaching_runs():
    record = flatness.recorded()
    for label in flatness.LABELS:
        assert [run["seed"] for run in record["runs"] if run["label"] == label] == [0, 1, 2, 3, 4]
    assert tuple(record["radii"]) == flatness.RADII
    assert tuple(record["adaptive_radii"]) == flatness.ADAPTIVE_RADII


def test_the_tables_hold_the_means():
    record = flatness.recorded()
    head, *lines = flatness.table(record)
    assert head.split("  ")[-1].strip() == "trace"
    means = flatness.five_seed_means(record, "trace")
    for label, line in zip(flatness.LABELS, lines, strict=True):
        digit, garment = means[label]
        assert line.startswith(label)
        assert line.endswith(f"{digit:.0f} / {garment:.0f}")
        values = flatness.of_task(record, "trace", 1)[label]
        assert sum(values) / 5 == pytest.approx(garment)
    assert f"{flatness.five_seed_means(record, 'nll')['LS'][0]:.2f}" in flatness.calibration_table(record)[1]
