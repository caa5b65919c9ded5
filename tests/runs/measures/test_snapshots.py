"""Snapshots: what the core measures, no trace left, and enough in the file to turn ρ without the network."""

import copy
import json
import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.diagnostics import rule_cosine, sharpness
from flatmtl_lite.runs import Config, lenet, mlp, multi_mnist, task_closures, train
from flatmtl_lite.runs.measures.snapshots import RADII, snapshot

TASKS = ["digit", "parity", "garment"]


@pytest.fixture(scope="module")
def data():
    return multi_mnist("fashion+mnist", 0, 320, 16, 16, label_noise=0.4, tasks=TASKS, sample=True)


@pytest.fixture(scope="module")
def trained(data):
    config = Config("f-cagrad", rho=0.05, norm="together", epochs=8, batch_size=32, measure_every=8)
    return train(data, config, network=lambda classes: mlp(classes, width=32)).model


def parts(model, data, images=64):
    """The arguments of a snapshot of the model on the first training images."""
    features, losses = task_closures(model, data.train_images[:images], data.train_labels[:images])
    return features, losses, model.trunk.parameters(), [head.parameters() for head in model.heads]


def noisy(model):
    """A copy with BatchNorm and dropout, in training mode."""
    model = copy.deepcopy(model)
    model.trunk.extend([torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3)])
    for task, head in enumerate(model.heads):
        model.heads[task] = torch.nn.Sequential(torch.nn.Dropout(0.3), head)
    return model.train()


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_as_before(model, before, generator):
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in model.parameters())


def close(written, exact):
    torch.testing.assert_close(torch.tensor(written), exact.float(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("norm", "adaptive"), [("together", True), ("separate", False)])
def test_it_is_what_the_core_measures(norm, adaptive, data, trained):
    record = snapshot(*parts(trained, data), [0.05, 0.2], adaptive, norm)
    features, losses, shared, heads = parts(trained, data)
    task = (lambda: losses[2](features())), [*shared, *heads[2]]
    assert record["rho"] == [0.05, 0.2]
    for k, rho in enumerate(record["rho"]):
        d = fm.decompose(*parts(trained, data), rho, adaptive=adaptive, norm=norm)
        close(record["losses"], d.losses)
        close(record["perturbed_losses"][k], d.perturbed_losses)
        close(record["gramians"][k], d.gramian)
        assert record["sharpness"][k][2] == pytest.approx(sharpness(*task, rho, adaptive=adaptive), rel=1e-4)


def test_a_snapshot_of_three_tasks_at_eight_radii_is_a_line_of_a_few_kilobytes(data, trained):
    line = json.dumps(snapshot(*parts(trained, data)), allow_nan=False)
    assert len(line) < 5000
    record = json.loads(line)
    assert list(record) == ["rho", "losses", "perturbed_losses", "gramians", "sharpness"]
    assert tuple(record["rho"]) == RADII
    shapes = {key: tuple(torch.tensor(values).shape) for key, values in record.items()}
    assert shapes == {
        "rho": (8,),
        "losses": (3,),
        "perturbed_losses": (8, 3),
        "gramians": (8, 6, 6),
        "sharpness": (8, 3),
    }


def test_what_is_written_suffices_for_angles_and_directions(data, trained):
    written = torch.tensor(snapshot(*parts(trained, data), radii=[0.1])["gramians"][0])
    exact = fm.decompose(*parts(trained, data), 0.1, norm="together").gramian
    for method in (fm.CAGrad(), fm.MGDA(), fm.UPGrad()):
        of_written, of_exact = (rule_cosine(M, method, "decomposed", "direct") for M in (written, exact))
        assert of_written == pytest.approx(of_exact, abs=1e-4)


@pytest.mark.parametrize("change", [lambda model: model, noisy], ids=["plain", "batch norm and dropout"])
def test_ten_steps_begin_with_the_one_of_the_flat_part(change, data, trained):
    """Near the weights they find hardly more: the loss is linear, and its random numbers are the same."""
    record = snapshot(*parts(change(trained), data), radii=[0.0003, 0.1])
    one_step = torch.tensor(record["perturbed_losses"]) - torch.tensor(record["losses"])
    rise = torch.tensor(record["sharpness"])
    assert (rise >= one_step - 1e-5).all()
    torch.testing.assert_close(rise[0], one_step[0], rtol=0.02, atol=1e-5)
    assert (rise[1] > 1.02 * one_step[1]).all()


@pytest.mark.parametrize("network", [lenet, lambda classes: noisy(mlp(classes, width=32))])
def test_it_leaves_no_trace(network, data):
    model = network(data.classes)
    before, generator = state(model), torch.get_rng_state()
    first = snapshot(*parts(model, data, 16), radii=[0.01, 0.1])
    assert_as_before(model, before, generator)
    assert snapshot(*parts(model, data, 16), radii=[0.01, 0.1]) == first


@pytest.mark.parametrize("runs_before", [1, 12])
def test_it_leaves_no_trace_after_an_error(runs_before, data, trained):
    model = noisy(trained)
    features, losses, *rest = parts(model, data, 16)
    left = iter(range(runs_before))

    def failing(z):
        if next(left, None) is None:
            raise RuntimeError("out of memory")
        return losses[1](z)

    before, generator = state(model), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="out of memory"):
        snapshot(features, [losses[0], failing, losses[2]], *rest, radii=[0.01, 0.1])
    assert_as_before(model, before, generator)


def test_its_cost_is_as_said(data, trained):
    forward = []
    features, *rest = parts(trained, data)
    snapshot(lambda: forward.append(1) or features(), *rest, radii=[0.01, 0.1])
    tasks, radii = 3, 2
    assert len(forward) == (1 + 12 * tasks) * radii + 1


def test_radii_that_no_axis_can_show_are_refused(data, trained):
    for radii in ([], [0.0, 1.0], [0.1, 0.05], [1, 1], [math.nan], [1, math.inf]):
        with pytest.raises(ValueError, match=r"Got radii=.*; expected positive, increasing numbers"):
            snapshot(*parts(trained, data), radii=radii)


def test_a_loss_too_many_is_refused(data, trained):
    features, losses, shared, heads = parts(trained, data)
    with pytest.raises(ValueError, match="Got 3 losses but 2 heads"):
        snapshot(features, losses, shared, heads[:2])


def test_one_task_and_a_head_without_parameters():
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    record = snapshot(lambda: w, [lambda z: (z**2).sum() / 2], [w], [[]], radii=[0.5, 1])
    assert record["gramians"] == [[[25.0, 2.5], [2.5, 0.25]], [[25.0, 5.0], [5.0, 1.0]]]
    assert record["sharpness"] == [[2.625], [5.5]]
