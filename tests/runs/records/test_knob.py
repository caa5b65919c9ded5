"""The record of the ρ knob: which runs it has, what it keeps of them, and how it is read."""

import json
from dataclasses import replace

import pytest
import torch

from flatmtl_lite.diagnostics import top_eigenvalue
from flatmtl_lite.runs import Config, fashion_and_mnist, train
from flatmtl_lite.runs.engine.trainer import TrainingDiverged
from flatmtl_lite.runs.measures.evaluation import accuracy, outputs, task_sharpness
from flatmtl_lite.runs.networks.images import task_closures
from flatmtl_lite.runs.records import knob, outcome


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(3, 128, 64, 64, 0.4, max_shift=0)


@pytest.fixture(scope="module")
def run(data):
    config = Config("f-cagrad", rho=0.1, norm="together", epochs=3, batch_size=32, measure_every=1)
    return train(data, config)


def test_plain_and_adaptive_share_their_runs_without_perturbation():
    places = list(knob.places([0, 1, 2]))
    assert len(places) == len(set(places)) == 3 * (2 + 4 * 11 + 4 * 11)
    assert {place.label for place in places if place.rho == 0} == {"F-LS", "F-CAGrad"}
    assert {place.rho for place in places if place.adaptive} == {10 * rho for rho in knob.RADII[1:]}


def test_a_network_is_portrayed_as_it_is(run, data):
    values = outcome.portrait(run.model, data, run.sharpness)
    assert values["test"] == accuracy(run.model, data.test_images, data.test_labels)
    rises = task_sharpness(run.model, data.train_images, data.train_labels)
    assert values["sharpness"] == pytest.approx(rises, rel=1e-3)
    logits = torch.stack(outputs(run.model, data.test_images[:8]), 1)
    assert outcome.shown_logits(run.model, data) == pytest.approx(logits)
    answers = torch.tensor(values["answers"])
    assert torch.equal(answers[..., 0], logits.argmax(-1))
    assert answers[..., 1] == pytest.approx(100 * logits.softmax(-1).amax(-1), abs=0.5)
    features, losses = task_closures(run.model, data.train_images, data.train_labels)
    middle = [loss(features()).item() for loss in losses]
    assert values["slice"][outcome.SLICE_POINTS // 2] == pytest.approx(middle, rel=1e-3)
    eigenvalue = top_eigenvalue(
        lambda: losses[1](features()), [*run.model.trunk.parameters(), *run.model.heads[1].parameters()]
    )
    assert outcome.curvature(run.model, data)["top_eigenvalue"][1] == pytest.approx(eigenvalue, rel=1e-3)


def test_angles_are_those_of_the_measured_steps(run):
    steps, values = run.measured_steps, outcome.angles(run)
    first, last = steps[:4], steps[8:]  # three epochs of four steps
    for part in ("loss", "flat"):
        cosines = [step[part][0] for step in first]
        assert values["cosine"][part][0] == pytest.approx(sum(cosines) / 4, abs=2e-3)
        assert values["conflict"][part][0] == sum(cosine < 0 for cosine in cosines) / 4
    norms = [step["norms"][1] for step in last]
    assert values["norms"]["loss"][1] == pytest.approx(sum(norms) / 4, rel=2e-3)
    assert outcome.mean_cosines(run, 2)["loss"] == pytest.approx(values["cosine"]["loss"][2], abs=2e-3)


def test_twins_have_no_angles(data):
    run = train(data, Config("f-stl", rho=0.1, epochs=1, batch_size=32))
    values = outcome.measured(run, data)
    assert (values["conflict"], values["cosine"]) == ({}, {})
    assert len(values["sharpness"]) == 2


def test_a_record_is_made_and_read(tmp_path, monkeypatch, data):
    monkeypatch.setattr(knob, "RADII", (0.0, 0.1))
    monkeypatch.setattr(knob, "EPOCHS", 3)
    monkeypatch.setattr(knob, "SHOWN_EPOCHS", (1, 3))
    monkeypatch.setattr(knob, "METHODS", {"F-LS": "f-mean", "SAM on the mean": "sam-mean"})
    monkeypatch.setattr(knob, "teaching_data", lambda seed, noise: data)

    def diverging(data, config, on_epoch):
        if config.adaptive:
            raise TrainingDiverged("a gradient is NaN")
        return train(data, replace(config, batch_size=32), on_epoch=on_epoch)

    monkeypatch.setattr(knob, "train", diverging)
    knob.record(tmp_path / "knob.json", [0, 1], "noise-0")
    record = json.loads((tmp_path / "knob.json").read_text())
    assert record["command"].endswith("--seeds 0 1 --setting noise-0")
    assert (record["label_noise"], len(record["runs"])) == (0.0, 2 * (1 + 2 + 2))
    assert knob.at_radii(record, "F-LS", adaptive=True)[0] == knob.at_radii(record, "F-LS")[0]
    assert len(knob.at_radii(record, "F-LS", adaptive=True)) == 1  # the others diverged
    zero, turned = knob.over_radii(record, "SAM on the mean")
    runs = knob.at_radii(record, "SAM on the mean")[1]
    assert zero["cosine"].keys() == {"loss"}
    assert turned["test"][0] == pytest.approx(sum(run["test"][0] for run in runs) / 2, rel=1e-2)
    answers = torch.tensor(runs[0]["logits"]).argmax(-1)
    assert torch.equal(torch.tensor(turned["answers"])[..., 0], answers)
    record["runs"].reverse()  # a record that was stopped may have its seeds in another order
    course = knob.over_epochs(record, "F-LS", 0.1)
    assert [row["epoch"] for row in course] == [1, 3]
    assert course[1]["slice"] == knob.over_radii(record, "F-LS")[1]["slice"]
    with pytest.raises(ValueError, match=r"Got rho=0.3 for F-LS; expected one of 0.0, 0.1"):
        knob.over_epochs(record, "F-LS", 0.3)
