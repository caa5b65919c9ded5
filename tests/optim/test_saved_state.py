"""A step restored from a file goes on identically."""

import io

import pytest
import torch

import flatmtl_lite as fm
from tests.methods import every_kind
from tests.optim.nets import Net, linear_tasks


def conflicting():
    """Three tasks whose PCGrad direction depends on the order; training does not change the gradients."""
    G = torch.tensor([[1.0, 0.2, 0.0], [-0.7, 1.0, 0.3], [-0.5, -0.9, 1.0]], dtype=torch.float64)
    return linear_tasks(G)


def pcgrad_step(w):
    return fm.FlatMTL(torch.optim.SGD([w], 0.1), [w], [[], [], []], aggregate=fm.PCGrad())


def directions(step, features, losses, count):
    gradients = []
    for _ in range(count):
        step.backward([(features, losses)])
        gradients.append(tuple(step.trunk_and_heads.shared[0].grad.tolist()))
    return gradients


def test_a_restored_step_goes_on_identically():
    w, features, losses = conflicting()
    step = pcgrad_step(w)
    directions(step, features, losses, 5)
    step.skipped = 3
    file = io.BytesIO()
    torch.save(step.state_dict(), file)
    expected = directions(step, features, losses, 20)
    assert len(set(expected)) > 1  # the order matters, or nothing is tested here

    other = pcgrad_step(w)
    assert directions(pcgrad_step(w), features, losses, 20) != expected
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert directions(other, features, losses, 20) == expected
    assert other.skipped == 3


def test_reading_the_state_changes_nothing():
    w, features, losses = conflicting()
    one, other = pcgrad_step(w), pcgrad_step(w)
    gradients = []
    for _ in range(10):
        one.state_dict()
        gradients += directions(one, features, losses, 1)
    assert gradients == directions(other, features, losses, 10)


def test_a_state_of_another_aggregator_is_refused(net):
    step = net.step(aggregate=fm.PCGrad())
    before = step.aggregate.generator.get_state()
    with pytest.raises(ValueError, match=r"Got the state of CAGrad; expected a state of PCGrad"):
        step.load_state_dict(net.step(aggregate=fm.CAGrad()).state_dict())
    state = net.step(aggregate=fm.PCGrad()).state_dict()
    del state["skipped"]
    with pytest.raises(ValueError, match=r"keys \['aggregate', 'aggregator', 'cheaper', 'steps'\]; expected"):
        step.load_state_dict(state)
    assert step.aggregate.generator.get_state().equal(before)


def test_only_the_aggregators_own_numbers_are_drawn_in_a_good_step():
    """A skipped step draws no PCGrad order: the next one goes on as if it had not been."""
    w, features, losses = conflicting()
    step, other = pcgrad_step(w), pcgrad_step(w)
    step.on_nonfinite = "skip"
    gradients = directions(step, features, losses, 3)
    step.backward([(features, [lambda z: z.sum() * float("nan")] * 3)])
    gradients += directions(step, features, losses, 10)
    assert gradients == directions(other, features, losses, 13)


@pytest.mark.parametrize("steps", [0, 3])
@every_kind
def test_training_goes_on_identically_from_a_file_in_a_fresh_object(name, steps, make):
    def prepare():
        net, A = Net(), make(name)
        if name == "dwa":
            A.window = 2
        optimizer = torch.optim.Adam([*net.parameters(), *A.parameters()], lr=0.05)
        return net, net.step(optimizer, aggregate=A, rho=0.3)

    def run(net, step, count):
        return [step(*net.batch()).losses.tolist() for _ in range(count)]

    net, step = prepare()
    run(net, step, steps)
    file = io.BytesIO()
    torch.save([net.state_dict(), step.optimizer.state_dict(), step.state_dict()], file)
    expected = run(net, step, 5)
    net, step = prepare()
    file.seek(0)
    states = torch.load(file, weights_only=True)
    for part, state in zip((net, step.optimizer, step), states, strict=True):
        part.load_state_dict(state)
    assert run(net, step, 5) == expected
