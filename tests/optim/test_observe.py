"""The losses after a step, for an aggregator that learns from them: the same batch, masks and buffers."""

import itertools
import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.decomposition import RULES
from tests.methods import rules_of
from tests.optim.nets import Net, breaks, close, halves


class Watcher(fm.FAMO):
    """FAMO that keeps the losses it is shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def observe(self, losses):
        self.shown.append(losses.clone())
        super().observe(losses)


@pytest.fixture
def watcher():
    return Watcher()


@pytest.mark.parametrize("rule", rules_of("famo"))
def test_it_sees_the_losses_of_the_same_batch_at_the_new_weights(watcher, rule):
    net = Net()
    report = net.step(aggregate=watcher, combine=rule)(*net.batch())
    features, losses = net.batch()
    close(watcher.shown, [torch.stack([loss(features()).detach() for loss in losses])])
    assert (watcher.shown[0] < report.losses).all()


@pytest.mark.parametrize("rule", ["erm", "decomposed"])
def test_dropout_draws_the_same_masks_and_nothing_else_is_left_behind(watcher, rule):
    """With learning rate 0 the losses are the same; buffers and generator are as after one clean pass."""
    net, twin, generators = Net(noisy=True), Net(noisy=True), []
    for model, aggregate in ((net, watcher), (twin, fm.SI())):
        torch.manual_seed(5)
        step = model.step(torch.optim.SGD(model.parameters(), lr=0.0), aggregate=aggregate, combine=rule)
        for _ in range(3):
            losses = step(*model.batch()).losses
            if model is net:
                close(watcher.shown[-1], losses)
        generators.append(torch.get_rng_state())
    assert not watcher.shown[0].equal(watcher.shown[1])  # each step has masks of its own
    assert generators[0].equal(generators[1])
    assert [b.tolist() for b in net.buffers()] == [b.tolist() for b in twin.buffers()]


def test_it_costs_one_forward_pass_without_a_graph(watcher):
    net = Net()
    passes = []
    net.trunk.register_forward_hook(lambda module, args, z: passes.append(z.requires_grad))
    step = net.step(aggregate=watcher, combine="erm")
    step(*net.batch())  # the first step also checks that the losses repeat
    passes.clear()
    step(*net.batch())
    assert passes == [True, False]


def test_micro_batches_are_one_batch(watcher):
    net, aggregates = Net(), [watcher, Watcher(), Watcher()]
    unequal = [(*net.batch(slice(0, 2)), 2), (*net.batch(slice(2, 8)), 6)]
    for aggregate, batches in zip(aggregates, ([net.batch()], halves(net), unequal), strict=True):
        step = net.step(aggregate=aggregate)
        step.backward(batches)
        step.observe()
    for aggregate in aggregates[1:]:
        close(aggregate.shown, watcher.shown)
        close(aggregate.memory, watcher.memory)


def test_an_absent_task_learns_nothing(watcher):
    net = Net()
    features, losses = net.batch()
    net.step(aggregate=watcher)(features, [losses[0], lambda z: None, losses[2]])
    assert watcher.memory["steps"].isnan().tolist() == [False, True, False]
    assert watcher.shown[0].shape == (2,)


def test_backward_waits_for_observe(watcher):
    net = Net()
    step = net.step(aggregate=watcher)
    step.backward([net.batch()])
    with pytest.raises(ValueError, match=r"expected step.observe\(\) after optimizer.step"):
        step.backward([net.batch()])
    step.optimizer.step()
    step.observe()
    step.observe()  # nothing waits any more
    step.backward([net.batch()])
    assert len(watcher.shown) == 1


def test_nothing_waits_for_the_other_aggregators():
    net = Net()
    step = net.step()
    for _ in range(2):
        step.backward([net.batch()])
    step.observe()


def test_a_skipped_step_shows_nothing(watcher):
    net = Net()
    step = net.step(aggregate=watcher, on_nonfinite="skip")
    assert step(*breaks(net, 1, "trunk")).skipped
    step(*net.batch())
    assert len(watcher.shown) == 1


def test_a_loss_that_is_not_finite_after_the_step_is_named(watcher):
    net = Net()
    step = net.step(torch.optim.SGD(net.parameters(), lr=1e200), aggregate=watcher)
    with pytest.raises(fm.NonFiniteGradient, match="loss of task 0, 1, 2 holds NaN or infinity"):
        step(*net.batch())
    assert watcher.memory == {}


def test_it_names_the_task_and_not_the_row(watcher):
    """Task 0 is absent, and task 2 is NaN at the new weights."""
    net = Net()
    features, losses = net.batch()
    before = net.trunk[0].weight.detach().clone()
    later = lambda z: net.loss(2, z) * (1.0 if net.trunk[0].weight.equal(before) else math.nan)  # noqa: E731
    with pytest.raises(fm.NonFiniteGradient, match="The loss of task 2 holds NaN") as caught:
        net.step(aggregate=watcher, combine="erm")(features, [lambda z: None, losses[1], later])
    assert caught.value.tasks == [2]


def test_skipping_also_holds_after_the_step(watcher):
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e200)
    step = net.step(optimizer, aggregate=watcher, on_nonfinite="skip")
    assert not step(*net.batch()).skipped
    assert watcher.memory == {}
    assert step(*net.batch()).skipped


def test_a_step_that_fails_in_the_optimizer_blocks_no_later_one(watcher):
    net = Net()
    step = net.step(aggregate=watcher)
    works, step.optimizer.step = step.optimizer.step, lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        step(*net.batch())
    step.optimizer.step = works
    step(*net.batch())
    assert len(watcher.shown) == 1


def test_another_aggregator_or_a_loaded_state_waits_for_nothing(watcher):
    net = Net()
    step = net.step(aggregate=watcher)
    step.backward([net.batch()])
    step.aggregate = fm.Mean()
    step.backward([net.batch()])
    step.observe()
    assert watcher.shown == []
    step.aggregate = watcher
    step.backward([net.batch()])
    step.load_state_dict(step.state_dict())
    step.backward([net.batch()])


def test_a_loss_that_is_none_only_after_the_step_is_an_error(watcher):
    net = Net()
    features, losses = net.batch()
    before = net.trunk[0].weight.detach().clone()
    losses[1] = lambda z: net.loss(1, z) if net.trunk[0].weight.equal(before) else None
    with pytest.raises(ValueError, match=r"losses of tasks \[1\] were None after the step and not in it"):
        net.step(aggregate=watcher, combine="erm")(features, losses)


def test_losses_of_a_half_precision_trunk_keep_their_digits(watcher):
    """Nothing moves, so nothing fell."""
    net = Net(dtype=torch.bfloat16)
    features, _ = net.batch()
    fine = [lambda z, i=i: net.loss(i, z).float() * 1.001 for i in range(3)]
    step = net.step(torch.optim.SGD(net.parameters(), lr=0.0), aggregate=watcher, combine="erm")
    for _ in range(5):
        report = step(features, fine)
    assert watcher.shown[-1].tolist() == report.losses.tolist()
    assert watcher.memory["logits"].abs().max() == 0


@pytest.mark.parametrize("rule", ["erm", "decomposed"])
def test_famo_is_its_loop_written_out(rule):
    """Ten steps of FlatMTL, and the same by hand on the Decomposition of each step."""
    net, twin = Net(), Net()
    step = net.step(aggregate=fm.FAMO(lr=0.1), combine=rule, rho=0.1)
    A, sgd = fm.FAMO(lr=0.1), torch.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(10):
        step(*net.batch())
        features, losses = twin.batch()
        d = fm.decompose(features, losses, twin.shared, twin.head_lists, rho=0.1)
        direction = A.loss_weights(d.losses) @ (d.loss if rule == "erm" else d.sam)
        head_grads = d.head_loss_grads if rule == "erm" else d.head_grads
        rest = direction
        for p in twin.shared:
            p.grad, rest = rest[: p.numel()].view(p.shape), rest[p.numel() :]
        for p, grad in zip(itertools.chain(*twin.head_lists), itertools.chain(*head_grads), strict=True):
            p.grad = grad
        sgd.step()
        A.observe(torch.stack([loss(features()).detach() for loss in losses]))
    close([*net.parameters()], [*twin.parameters()])
    assert A.memory["logits"].abs().max() > 0.1


def test_priorities_of_weighted_losses_need_both_parts():
    """One backward pass of weighted losses is not enough for a rule that projects."""
    for rule in RULES:
        step = Net().step(combine=rule, perturb="mean", rho=0.5)
        assert step.needs_task_gradients == (rule in ("loss_first", "flat_first"))
