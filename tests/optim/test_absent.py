"""A task may be absent from a batch: its loss is None, its row is left out, its head gets no gradient."""

import pytest
import torch

import flatmtl_lite as fm
from tests.methods import every_kind, every_method, rules_of
from tests.optim.nets import Net, close, everything


def without(net, *absent, part=slice(None)):
    features, losses = net.batch(part)
    return features, [(lambda z: None) if i in absent else loss for i, loss in enumerate(losses)]


def reduced(net, absent, **options):
    """Return the gradients of a step that knows only the other tasks."""
    kept = [i for i in range(len(net.heads)) if i not in absent]
    heads = [net.head_lists[i] for i in kept]
    parameters = [*net.shared, *(p for head in heads for p in head)]
    aggregate = options["aggregate"]
    optimizer = torch.optim.SGD([*parameters, *aggregate.parameters()], lr=0.1)
    features, losses = net.batch()
    step = fm.FlatMTL(optimizer, net.shared, heads, **options)
    report = step.backward([(features, [losses[i] for i in kept])])
    return report, [p.grad.clone() for p in parameters]


@every_method
def test_a_step_without_a_task_is_the_step_of_the_others(name, make):
    for rule in rules_of(name):
        for absent in [(1,), (0, 2)]:
            net = Net()
            learned = issubclass(fm.AGGREGATORS[name], fm.LearnedWeighting)
            aggregate = fm.AGGREGATORS[name](3 - len(absent)) if learned else make(name)
            expected_report, expected = reduced(net, absent, aggregate=aggregate, rho=0.3, combine=rule)
            net.zero_grad()
            report = net.step(aggregate=make(name), rho=0.3, combine=rule).backward([without(net, *absent)])
            present = [i for i in range(3) if i not in absent]
            close([p.grad for p in [*net.shared, *(p for i in present for p in net.head_lists[i])]], expected)
            assert all(p.grad is None for i in absent for p in net.head_lists[i])
            assert report.tasks == tuple(present)
            close(report.losses, expected_report.losses)


@every_kind
@pytest.mark.parametrize(
    "options",
    [
        {"perturb": "mean"},
        {"norm": "together", "adaptive": True},
        {"perturb": "mean", "combine": "direct"},
        {"perturb": fm.Polar(), "combine": "direct"},
        {"perturb": fm.SAMO()},
    ],
    ids=str,
)
def test_so_it_is_with_every_perturbation(name, make, options):
    net = Net()
    learned = issubclass(fm.AGGREGATORS[name], fm.LearnedWeighting)
    aggregate = fm.AGGREGATORS[name](2) if learned else make(name)
    options = {"rho": 0.3, **options}
    _, expected = reduced(net, (1,), aggregate=aggregate, **options)
    net.zero_grad()
    net.step(aggregate=make(name), **options).backward([without(net, 1)])
    close([p.grad for p in [*net.shared, *net.head_lists[0], *net.head_lists[2]]], expected)


@pytest.mark.parametrize("options", [{"combine": "erm"}, {}, {"perturb": "mean"}], ids=str)
def test_a_task_of_some_micro_batches_is_averaged_over_those(options):
    net, options = Net(), {"aggregate": fm.CAGrad(), "rho": 0.3, **options}
    first, second = slice(0, 4), slice(4, 8)
    batches = [without(net, 1, part=first), without(net, part=second)]
    report = net.step(**options).backward(batches)
    features, losses = net.batch(second)
    alone = net.step(**options).backward([(features, losses)])
    assert report.tasks == (0, 1, 2)
    close(report.losses[1], alone.losses[1])
    halves = [net.step(**options).backward([without(net, 1, part=part)]) for part in (first, second)]
    close(report.losses[0], (halves[0].losses[0] + halves[1].losses[0]) / 2)
    close(report.norms[1], alone.norms[1])


def test_one_backward_pass_gives_way_to_one_per_task_and_remembers():
    net = Net()
    step = net.step(aggregate=fm.Mean(), combine="erm")
    report = step(*without(net, 1))
    assert report.cosines.shape == (2, 2)
    assert step(*net.batch()).cosines.shape == (3, 3)


def test_memory_of_an_absent_task_stays_as_it_was():
    net = Net()
    step = net.step(aggregate=fm.GradVac(), rho=0.3)
    step(*net.batch())
    before = step.state_dict()["aggregate"]["_extra_state"]
    step(*without(net, 1))
    after = step.state_dict()["aggregate"]["_extra_state"]
    assert str(before) != str(after)
    step(*net.batch())
    assert torch.isfinite(next(net.parameters())).all()


def test_a_non_finite_gradient_is_named_by_the_number_of_its_task():
    net = Net()
    features, losses = without(net, 0)
    losses[2] = lambda z: net.loss(2, z) * torch.inf
    with pytest.raises(fm.NonFiniteGradient) as error:
        net.step(aggregate=fm.CAGrad()).backward([(features, losses)])
    assert error.value.tasks == [2]


def test_a_batch_without_any_task_is_an_error_that_changes_nothing():
    net = Net()
    step = net.step()
    before = everything(net, step)
    with pytest.raises(ValueError, match="All losses are None; expected at least one task"):
        step(*without(net, 0, 1, 2))
    assert everything(net, step) == before


def test_lists_cannot_be_found_from_a_batch_that_lacks_a_task():
    net = Net()
    step = fm.FlatMTL(torch.optim.SGD(net.parameters(), lr=0.1), rho=0.1)
    with pytest.raises(ValueError, match=r"Tasks \[1\] are absent from the first.*pass shared= and heads="):
        step(*without(net, 1))
    step(*net.batch())
    step(*without(net, 1))
    assert net.heads[1].weight.grad is None


def test_decompose_leaves_the_row_out():
    net = Net()
    d = fm.decompose(*without(net, 1), net.shared, net.head_lists, rho=0.3)
    whole = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3)
    assert d.tasks == (0, 2)
    close(d.loss, whole.loss[[0, 2]])
    close(d.flat, whole.flat[[0, 2]])
    close(d.head_grads, [whole.head_grads[0], whole.head_grads[2]])
