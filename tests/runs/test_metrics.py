"""Calibration against its definition, and the record that notebook 06 quotes."""

import json
import math

import pytest
import torch

from flatmtl_lite.diagnostics import hessian_trace, sharpness, top_eigenvalue
from flatmtl_lite.runs import Config, fashion_and_mnist, flatness, mlp, task_closures
from flatmtl_lite.runs.metrics import ece, log_probabilities, nll, reliability


def said(n=4000, sure=3.0, seed=0):
    """Log-probabilities (n, 10) and labels that follow other ones."""
    generator = torch.Generator().manual_seed(seed)
    logits = sure * torch.randn(n, 10, generator=generator)
    labels = torch.multinomial((logits / 2).softmax(-1), 1, generator=generator).squeeze(1)
    return logits.log_softmax(-1), labels


@pytest.mark.parametrize("bins", [5, 10, 15])
@pytest.mark.parametrize("sure", [0.5, 3.0, 30.0])
def test_the_bins_give_torchmetrics_ece(bins, sure):
    log_p, labels = said(sure=sure)
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


def test_log_probabilities_are_those_of_the_network_in_evaluation_mode():
    model, images = mlp((10, 2)), torch.randint(256, (1500, 36, 36), dtype=torch.uint8)
    model.trunk.append(torch.nn.Dropout(0.5))
    found = log_probabilities(model, images)
    assert [tuple(task.shape) for task in found] == [(1500, 10), (1500, 2)]
    assert model.training
    for task, again in zip(found, log_probabilities(model, images), strict=True):
        torch.testing.assert_close(task.exp().sum(-1), torch.ones(1500))
        assert torch.equal(task, again)


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=96, n_val=40, n_test=40, label_noise=0.4, max_shift=0)


def test_what_is_recorded_is_measured_by_the_core(data):
    torch.manual_seed(0)
    model = mlp(width=16)
    found = flatness.measured(model, data, images=64)
    features, losses = task_closures(model, data.train_images[:64], data.train_labels[:64])
    parameters = [*model.trunk.parameters(), *model.heads[1].parameters()]
    task = (lambda: losses[1](features()), parameters)
    assert found["sharpness"][1][1] == pytest.approx(sharpness(*task, 0.05), rel=1e-3)
    assert found["adaptive_sharpness"][1][2] == pytest.approx(sharpness(*task, 1.0, adaptive=True), rel=1e-3)
    assert found["top_eigenvalue"][1] == pytest.approx(top_eigenvalue(*task), rel=1e-3)
    assert found["trace"][1] == pytest.approx(hessian_trace(*task), rel=1e-3)
    assert found["train_loss"][1] == pytest.approx(task[0]().item(), rel=1e-3)
    norm_squared = sum(p.square().sum().item() for p in parameters)
    assert found["norm_squared"][1] == pytest.approx(norm_squared, rel=1e-3)
    noisy = log_probabilities(model, data.val_images)[1]
    assert found["ece_noisy"][1] == pytest.approx(ece(noisy, data.val_labels[:, 1]), rel=1e-3)
    clean = log_probabilities(model, data.test_images)[1]
    assert found["nll"][1] == pytest.approx(nll(clean, data.test_labels[:, 1]), rel=1e-3)


def test_the_record_is_written_and_averaged(tmp_path, monkeypatch, data):
    monkeypatch.setattr(flatness, "teaching_data", lambda seed: data)
    monkeypatch.setattr(flatness, "teaching_config", lambda label, seed: Config("mean", epochs=1, seed=seed))
    found = {"test": [50.0, 60.0], "trace": [1.0, 192.0]}
    monkeypatch.setattr(flatness, "measured", lambda model, data: found)
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
