"""Slices: known ones, what filter normalisation is for, and no trace left."""

import copy
import json

import pytest
import torch
from torch import nn

from flatmtl_lite.gradients import flatten, unflatten
from flatmtl_lite.runs import Config, fashion_and_mnist, lenet, mlp, task_closures, train
from flatmtl_lite.runs.measures.landscape import filter_normalised, line, plane


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=320, n_val=16, n_test=16, label_noise=0, sample=True)


@pytest.fixture(scope="module")
def trained(data):
    config = Config("mean", epochs=30, batch_size=32, measure_every=30)
    return train(data, config, network=lambda classes: mlp(classes, width=32)).model


def closures(model, data):
    return task_closures(model, data.train_images[:64], data.train_labels[:64])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def with_batch_norm(model):
    model = copy.deepcopy(model)
    model.trunk.extend([nn.BatchNorm1d(32), nn.Dropout()])
    model.trunk[-2].running_mean += 0.1
    return model.train()


def test_the_middle_is_the_loss(data, trained):
    features, losses = closures(trained, data)
    with torch.no_grad():
        here = [loss(features()).item() for loss in losses]
    for curve in (line(trained, features, losses), plane(trained, features, losses, points=3)):
        middle = len(curve["alpha"]) // 2
        assert curve["alpha"][middle] == 0
        assert curve["alpha"] == [-alpha for alpha in reversed(curve["alpha"])]
        values = curve["losses"][middle]
        assert (values if len(curve["alpha"]) == 21 else values[middle]) == pytest.approx(here, rel=1e-4)


def test_the_line_is_the_middle_of_the_plane_and_both_can_be_written(data, trained):
    one, two = (measure(trained, *closures(trained, data), points=5) for measure in (line, plane))
    assert one["alpha"] == two["alpha"] == [-1, -0.5, 0, 0.5, 1]
    assert [row[2] for row in two["losses"]] == one["losses"]
    assert torch.tensor(json.loads(json.dumps(two))["losses"]).shape == (5, 5, 2)


def test_a_trained_network_lies_in_a_valley(data, trained):
    losses = torch.tensor(line(trained, *closures(trained, data))["losses"])
    assert losses[10].sum() == losses.sum(1).min()
    assert (losses[[0, -1]] > 1.5 * losses[10]).all()


def test_of_a_linear_model_the_slice_is_the_known_parabola():
    x, y = torch.randn(20, 5, generator=seeded(1)), torch.randn(20, 3, generator=seeded(2))
    model = nn.Linear(5, 3)
    losses = [lambda z: (z - y).square().mean(), lambda z: z.sum()]
    curve = line(model, lambda: model(x), losses, seed=7, points=9, reach=2.0)
    moved = x @ unflatten(filter_normalised(model.parameters(), seeded(7)), list(model.parameters()))[0].T
    with torch.no_grad():
        error = model(x) - y
        for alpha, (parabola, straight) in zip(curve["alpha"], curve["losses"], strict=True):
            expected = error.square() + 2 * alpha * error * moved + alpha**2 * moved.square()
            assert parabola == pytest.approx(expected.mean().item(), rel=1e-4)
            total = (model(x).sum() + alpha * moved.sum()).item()
            assert straight == pytest.approx(total, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("network", [mlp, lenet])
def test_every_filter_of_the_direction_is_as_long_as_that_of_the_weights(network):
    model = network()
    model.trunk.append(nn.BatchNorm1d(model.heads[0].in_features))
    with torch.no_grad():
        model.heads[0].weight[3] = 0
    parameters = list(model.parameters())
    direction = unflatten(filter_normalised(parameters, seeded(0)), parameters)
    for p, d in zip(parameters, direction, strict=True):
        lengths = torch.zeros_like(p) if p.ndim < 2 else p.detach().flatten(1).norm(dim=1)
        torch.testing.assert_close(d.flatten(1).norm(dim=1) if p.ndim > 1 else d, lengths)


def rescaled(model, layers, s):
    """The same function: a layer multiplied by s, the next one's weights divided by it."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.trunk[layers[0]].weight *= s
        model.trunk[layers[0]].bias *= s
        model.trunk[layers[1]].weight /= s
    return model


def raw_slice(model, features, losses):
    """The slice along a Gaussian direction as long as the weights, without normalisation by filters."""
    parameters = list(model.parameters())
    theta = flatten(parameters)
    d = torch.randn(theta.shape, generator=seeded(0))
    d *= theta.norm() / d.norm()
    values = []
    for alpha in (-1.0, -0.5, 0.5, 1.0):
        torch.nn.utils.vector_to_parameters(theta + alpha * d, parameters)
        with torch.no_grad():
            values.append([loss(features()).item() for loss in losses])
    return torch.tensor(values)


@pytest.mark.parametrize(("network", "layers"), [(mlp, (1, 3)), (lenet, (0, 3))])
def test_rescaling_layers_leaves_the_slice_as_it_is(network, layers, data):
    """The reason for the normalisation: the function is the same, so its picture has to be."""
    torch.manual_seed(0)
    model = network()
    other = rescaled(model, layers, 16.0)
    for measure in (line, plane):
        one, two = (torch.tensor(measure(m, *closures(m, data), points=5)["losses"]) for m in (model, other))
        torch.testing.assert_close(one, two, rtol=1e-4, atol=0)
    raw, raw_again = (raw_slice(m, *closures(m, data)) for m in (model, other))
    assert ((raw - raw_again).abs() > 0.1 * raw).any()


def test_directions_follow_the_seed_and_not_the_dtype(data, trained):
    one = line(trained, *closures(trained, data), seed=1, points=5)
    assert line(trained, *closures(trained, data), seed=1, points=5) == one
    assert line(trained, *closures(trained, data), seed=2, points=5) != one
    double = copy.deepcopy(trained).double()
    two = line(double, *closures(double, data), seed=1, points=5)
    torch.testing.assert_close(*(torch.tensor(curve["losses"]) for curve in (one, two)), rtol=1e-4, atol=1e-5)


def test_two_directions_of_a_network_are_nearly_orthogonal():
    generator, model = seeded(0), lenet()
    d, e = (filter_normalised(model.parameters(), generator) for _ in range(2))
    assert abs(torch.cosine_similarity(d, e, dim=0)) < 0.05


def test_the_trunk_runs_once_a_point_in_evaluation_mode(data, trained):
    model = with_batch_norm(trained)
    features, losses = closures(model, data)
    modes = []

    def watched():
        modes.extend([model.trunk.training, torch.is_grad_enabled()])
        return features()

    line(model, watched, losses, points=5)
    plane(model, watched, losses, points=3)
    assert modes == [False] * 2 * (5 + 3 * 3)


@pytest.mark.parametrize("fails_at", [None, 4])
def test_no_trace_is_left_also_after_an_error(fails_at, data, trained):
    model = with_batch_norm(trained)
    model.heads[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, generator = [module.training for module in model.modules()], torch.get_rng_state()
    features, losses = closures(model, data)
    runs = []

    def failing(z):
        runs.append(1)
        if len(runs) == fails_at:
            raise RuntimeError("out of memory")
        return losses[1](z)

    if fails_at is None:
        line(model, features, [losses[0], failing], points=5)
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            plane(model, features, [losses[0], failing], points=5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("measure", [line, plane])
def test_bad_grids_are_refused(measure, data, trained):
    for name, value in (("points", 20), ("points", 1), ("reach", 0.0), ("reach", float("nan"))):
        with pytest.raises(ValueError, match=f"Got {name}={value}; expected"):
            measure(trained, *closures(trained, data), **{name: value})


@pytest.mark.parametrize("losses", [[], [lambda z: z.mean(), lambda z: z]])
def test_what_is_no_loss_is_refused(losses, data, trained):
    features, _ = closures(trained, data)
    before = flatten(list(trained.parameters()))
    with pytest.raises(ValueError, match="expected one scalar per task"):
        line(trained, features, losses)
    assert torch.equal(flatten(list(trained.parameters())), before)
