"""FlatMTL: one step against the update by hand, reports, state, skipped steps, processes, host syncs."""

import copy
import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import flatmtl_lite as fm
from flatmtl_lite.decomposition import RULES, combine
from flatmtl_lite.gradients import flatten

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-13)
# every method with every rule that takes it: "second" and "each" aggregate rows that are no tasks
METHODS_AND_RULES = [
    (name, rule)
    for name, method in fm.AGGREGATORS.items()
    for rule in RULES
    if not (method.needs_tasks and rule in ("second", "each"))
]
every_method_and_rule = pytest.mark.parametrize(("name", "rule"), METHODS_AND_RULES)


class Net(nn.Module):
    """A smooth trunk and T heads on fixed data; ``noisy`` adds BatchNorm and dropout."""

    def __init__(self, tasks=3, noisy=False, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        noise = [nn.BatchNorm1d(5), nn.Dropout(0.3)] if noisy else []
        self.trunk = nn.Sequential(nn.Linear(4, 5), *noise, nn.Tanh(), nn.Linear(5, 3), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(3, 2) for _ in range(tasks))
        self.x, self.y = torch.randn(8, 4).to(dtype), torch.randn(tasks, 8, 2).to(dtype)
        self.to(dtype)

    def loss(self, i, z, part=slice(None)):
        return nn.functional.mse_loss(self.heads[i](z), self.y[i, part])

    def batch(self, part=slice(None)):
        """(features, losses) of some of the samples."""
        losses = [partial(self.loss, i, part=part) for i in range(len(self.heads))]
        return (lambda: self.trunk(self.x[part])), losses

    @property
    def shared(self):
        return list(self.trunk.parameters())

    @property
    def head_lists(self):
        return [[p for p in head.parameters() if p.requires_grad] for head in self.heads]

    def step(self, optimizer=None, **options):
        if optimizer is None:
            aggregate = options.get("aggregate")
            learnt = aggregate.parameters() if isinstance(aggregate, fm.Aggregator) else []
            optimizer = torch.optim.SGD([*self.parameters(), *learnt], lr=0.1)
        return fm.FlatMTL(optimizer, shared=self.shared, heads=self.head_lists, **options)

    def gradients(self):
        """.grad of all parameters, copied: further steps replace it."""
        return [None if p.grad is None else p.grad.clone() for p in self.parameters()]


@pytest.fixture
def net():
    return Net()


def everything(net, step=None):
    """Weights and buffers bit for bit, gradients, the generator, and the optimizer's state."""
    tensors = [*net.parameters(), *net.buffers()]
    tensors += [p.grad for p in net.parameters() if p.grad is not None]
    stored = [t.detach().reshape(-1).view(torch.uint8).tolist() for t in tensors]
    optimizer = None if step is None else str(step.optimizer.state_dict())
    return stored, torch.get_rng_state().tolist(), optimizer


# one step by hand -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("perturb", ["task", "mean"])
@every_method_and_rule
def test_a_step_of_sgd_is_the_update_by_hand(net, name, rule, perturb, make):
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb=perturb)
    direction = combine(d, make(name), rule)
    heads = d.head_loss_grads if rule == "erm" else d.head_grads
    update = torch.cat([direction, *(flatten(head) for head in heads)])
    before = flatten([*net.shared, *(p for head in net.head_lists for p in head)])

    step = net.step(aggregate=make(name), rho=0.3, combine=rule, perturb=perturb)
    report = step(*net.batch())
    after = flatten([*net.shared, *(p for head in net.head_lists for p in head)])
    close(after, before - 0.1 * update)
    close(report.losses, d.losses)
    assert not report.skipped


@pytest.mark.parametrize("device", ["cpu", "meta"])
@every_method_and_rule
def test_a_step_does_not_depend_on_the_default_device(name, rule, device, make):
    net = Net(noisy=True)
    step = net.step(aggregate=make(name), rho=0.3, combine=rule)
    with torch.device(device):
        reports = [step(*net.batch()) for _ in range(2)]
    twin = Net(noisy=True)
    step = twin.step(aggregate=make(name), rho=0.3, combine=rule)
    for report in reports:
        assert step(*twin.batch()).losses.equal(report.losses)
    assert all(p.equal(q) for p, q in zip(net.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("make", [torch.optim.Adam, partial(torch.optim.SGD, lr=0.1, momentum=0.9)])
def test_three_steps_with_a_stateful_optimizer(net, make):
    twin = copy.deepcopy(net)
    step, by_hand = net.step(make(net.parameters()), aggregate=fm.CAGrad(), rho=0.3), make(twin.parameters())
    for _ in range(3):
        step(*net.batch())
        d = fm.decompose(*twin.batch(), twin.shared, twin.head_lists, rho=0.3)
        direction = fm.decomposed(d, fm.CAGrad())
        sizes = [p.numel() for p in twin.shared]
        for p, grad in zip(twin.shared, direction.split(sizes), strict=True):
            p.grad = grad.view(p.shape)
        for head, grads in zip(twin.head_lists, d.head_grads, strict=True):
            for p, grad in zip(head, grads, strict=True):
                p.grad = grad
        by_hand.step()
    close(list(net.parameters()), list(twin.parameters()))


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_options_of_the_perturbation_arrive(net, norm, adaptive):
    options = {"rho": 0.3, "norm": norm, "adaptive": adaptive}
    options |= {"rho_heads": 0.7} if norm == "separate" else {}
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, **options)
    net.step(aggregate=fm.MGDA(), **options).backward([net.batch()])
    close(flatten([p.grad for p in net.shared]), fm.decomposed(d, fm.MGDA()))
    close([[p.grad for p in head] for head in net.head_lists], d.head_grads)


def test_the_defaults_are_those_of_the_design(net):
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.05)
    report = net.step().backward([net.batch()])
    close(flatten([p.grad for p in net.shared]), d.sam.mean(0))
    close(report.perturbed_losses, d.perturbed_losses)


def test_backward_fills_gradients_and_steps_nothing_so_that_one_may_clip(net):
    step = net.step(rho=0.3)
    weights = flatten(list(net.parameters()))
    for p in net.parameters():
        p.grad = torch.full_like(p, 100.0)  # replaced, not added to
    step.backward([net.batch()])
    assert flatten(list(net.parameters())).equal(weights)
    gradient = flatten(net.gradients())
    assert gradient.abs().max() < 100
    length = nn.utils.clip_grad_norm_(net.parameters(), 0.01)
    close(length, gradient.norm())
    step.optimizer.step()
    close(flatten(list(net.parameters())), weights - 0.1 * 0.01 * gradient / (gradient.norm() + 1e-6))


def test_zero_grad_makes_no_difference(net):
    step = net.step(rho=0.3, aggregate=fm.MGDA())
    step.backward([net.batch()])
    first = net.gradients()
    for set_to_none in (True, False):
        step.optimizer.zero_grad(set_to_none=set_to_none)
        step.backward([net.batch()])
        assert all(a.equal(b) for a, b in zip(net.gradients(), first, strict=True))


@pytest.mark.parametrize("name", fm.AGGREGATORS)
def test_with_rho_zero_direct_and_decomposed_are_erm_bit_for_bit(net, name, make):
    found = {}
    for rule in ("erm", "direct", "decomposed"):
        rho = 0.3 if rule == "erm" else 0.0
        net.step(aggregate=make(name), rho=rho, combine=rule).backward([net.batch()])
        found[rule] = net.gradients()
    for rule in ("direct", "decomposed"):
        assert all(a.equal(b) for a, b in zip(found[rule], found["erm"], strict=True))


def test_the_mean_of_all_flat_rules_is_one_vector(net):
    found = []
    for rule in ("direct", "decomposed", "second", "each"):
        net.step(rho=0.3, combine=rule).backward([net.batch()])
        found.append(net.gradients())
    for other in found[1:]:
        close(other, found[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@every_method_and_rule
def test_every_method_trains_in_every_dtype(name, rule, dtype, make):
    net = Net(dtype=dtype)
    for optimizer in (torch.optim.Adam, torch.optim.SGD):
        before = flatten(list(net.parameters()))
        A = make(name)
        step = net.step(
            optimizer([*net.parameters(), *A.parameters()], lr=0.1), aggregate=A, rho=0.1, combine=rule
        )
        report = step(*net.batch())
        assert all(p.grad.dtype == dtype and p.grad.isfinite().all() for p in net.parameters())
        after = flatten(list(net.parameters()))
        assert bool(after.isfinite().all())
        assert not after.equal(before)
        assert report.losses.dtype == dtype


def test_bfloat16_goes_where_float64_goes():
    found = {}
    for dtype in (torch.bfloat16, torch.float64):
        net = Net(dtype=torch.float64).to(dtype)
        net.x, net.y = net.x.to(dtype), net.y.to(dtype)
        net.step(aggregate=fm.CAGrad(), rho=0.3).backward([net.batch()])
        found[dtype] = flatten(net.gradients()).double()
    cosine = torch.cosine_similarity(found[torch.bfloat16], found[torch.float64], dim=0)
    assert cosine > 0.99


def test_training_lowers_the_losses(net):
    step = net.step(torch.optim.Adam(net.parameters(), lr=0.01), aggregate=fm.CAGrad())
    losses = torch.stack([step(*net.batch()).losses for _ in range(60)])
    assert bool((losses[-1] < 0.8 * losses[0]).all())


# one task ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", fm.AGGREGATORS)
@pytest.mark.parametrize("rule", ["direct", "decomposed"])
def test_one_task_is_sam(name, rule, make):
    net = Net(tasks=1)
    features, losses = net.batch()
    parameters = net.shared + net.head_lists[0]
    grads = torch.autograd.grad(losses[0](features()), parameters)
    length = sum(g.square().sum() for g in grads).sqrt()
    moved = copy.deepcopy(net)
    with torch.no_grad():
        for p, g in zip(moved.parameters(), grads, strict=True):
            p += 0.3 * g / length
    features, losses = moved.batch()
    expected = torch.autograd.grad(losses[0](features()), list(moved.parameters()))

    step = net.step(rho=0.3, norm="together", combine=rule, aggregate=make(name, 1))
    report = step.backward([net.batch()])
    close(net.gradients(), list(expected))
    assert report.conflict_ratio == 0
    assert report.cosines.tolist() == [[pytest.approx(1)]]


# passes -----------------------------------------------------------------------------------------------------


def count_passes(net, monkeypatch, **options):
    """What ran, how often autograd was called, and how often a backward went through the trunk."""
    ran, calls, through_trunk = [], [], []
    grad, (features, losses) = torch.autograd.grad, net.batch()
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))

    def watched():
        ran.append("trunk")
        z = features()
        z.register_hook(lambda gradient: through_trunk.append(1))
        return z

    step = net.step(**{"rho": 0.3, **options})
    report = step(watched, [lambda z, i=i: ran.append(i) or losses[i](z) for i in range(3)])
    return report, "".join(map(str, ran)).replace("trunk", "t"), len(calls), len(through_trunk)


PER_TASK = "t012" + "t0t1t2"


@pytest.mark.parametrize(
    ("options", "passes", "backwards"),
    [
        ({"aggregate": fm.Mean(), "combine": "erm"}, "t012", 1),
        ({"aggregate": fm.Mean(), "combine": "direct", "perturb": "mean"}, "t012t012", 2),
        ({"aggregate": fm.Mean(), "combine": "each", "perturb": "mean"}, "t012t012", 2),
        ({"aggregate": fm.Mean()}, PER_TASK, 6),
        ({"aggregate": fm.SI(), "combine": "erm"}, "t012", 1),
        ({"aggregate": fm.UW(3), "rho": 0.0}, "t012", 1),
        ({"aggregate": fm.RLW(), "combine": "direct", "perturb": "mean"}, "t012t012", 2),
        ({"aggregate": fm.DWA(), "combine": "decomposed", "perturb": "mean"}, "t012t012", 2),
        ({"aggregate": fm.SI()}, PER_TASK, 6),
        ({"aggregate": fm.GradVac(), "combine": "erm"}, "t012", 3),
        ({"aggregate": fm.GradDrop()}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "combine": "erm"}, "t012", 3),
        ({"aggregate": fm.CAGrad()}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "combine": "each"}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "perturb": "mean"}, "t012t012", 6),
    ],
)
def test_no_pass_runs_that_is_not_needed(net, monkeypatch, options, passes, backwards):
    _, ran, calls, through_trunk = count_passes(net, monkeypatch, **options)
    assert (ran, calls, through_trunk) == (passes, backwards, backwards)


@pytest.mark.parametrize("rule", ["direct", "decomposed"])
def test_with_rho_zero_no_perturbed_pass_runs(net, monkeypatch, rule):
    ran = []
    features, losses = net.batch()
    step = net.step(aggregate=fm.CAGrad(), rho=0.0, combine=rule)
    report = step(lambda: ran.append(1) or features(), losses)
    assert ran == [1]
    assert report.perturbed_losses is None


@pytest.mark.parametrize("options", [{"combine": "erm"}, {"perturb": "mean"}])
def test_with_one_single_backward_the_heads_still_follow_their_own_loss_unweighted(net, options):
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb="mean")
    report = net.step(rho=0.3, **options).backward([net.batch()])
    erm = "combine" in options
    close([[p.grad for p in head] for head in net.head_lists], d.head_loss_grads if erm else d.head_grads)
    close(flatten([p.grad for p in net.shared]), (d.loss if erm else d.sam).mean(0))
    close(report.losses, d.losses)
    assert report.losses.shape == (3,)


@pytest.mark.parametrize("perturb", ["task", "mean"])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_leaves_the_state_of_one_clean_pass(rule, perturb):
    net = Net(noisy=True)
    twin = copy.deepcopy(net)
    torch.manual_seed(5)
    features, losses = twin.batch()
    z = features()
    for loss in losses:
        loss(z)
    generator = torch.get_rng_state()

    torch.manual_seed(5)
    net.step(aggregate=fm.CAGrad(), rho=0.3, combine=rule, perturb=perturb)(*net.batch())
    assert torch.get_rng_state().equal(generator)
    assert [b.tolist() for b in net.buffers()] == [b.tolist() for b in twin.buffers()]


# aggregators that read losses, remember or learn ------------------------------------------------------------

WEIGHTINGS = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.LossWeighting)]
WAYS = [
    {"combine": "erm"},
    {"combine": "direct", "perturb": "mean"},
    {"combine": "direct"},
    {"combine": "decomposed"},
]


def noted_weights(aggregate):
    """The weights that every call of ``loss_weights`` returns from now on."""
    found, method = [], aggregate.loss_weights

    def loss_weights(losses):
        found.append(method(losses))
        return found[-1]

    aggregate.loss_weights = loss_weights
    return found


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_are_found_once_a_step_on_the_clean_losses_and_serve_both_parts(
    net, name, parts, options, make
):
    A, twin = make(name), make(name)
    step = net.step(aggregate=A, rho=0.3, **options)
    found = noted_weights(A)
    for count in (1, 2, 3):
        perturb = options.get("perturb", "task")
        d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb=perturb)
        weights = twin.loss_weights(d.losses)
        report = step.backward([net.batch()] if parts == 1 else halves(net))
        close(found[-1], weights)
        assert len(found) == count
        rows = d.loss if options["combine"] == "erm" else d.sam
        close(flatten([p.grad for p in net.shared]), weights @ rows)
        close(report.losses, d.losses)
        step.optimizer.step()
        for learnt, own in zip(A.parameters(), twin.parameters(), strict=True):
            own.data.copy_(learnt.data)


@pytest.mark.parametrize("options", WAYS)
def test_random_weights_cost_one_draw_a_step(net, options):
    A, generator = fm.RLW(), torch.Generator().manual_seed(0)
    step = net.step(aggregate=A, rho=0.3, **options)
    for batches in ([net.batch()], halves(net), [net.batch()]):
        step.backward(batches)
        torch.randn(3, generator=generator, dtype=torch.float64)
        assert A.generator.get_state().equal(generator.get_state())


class FirstTask(fm.LossWeighting):
    """All weight on the first task; of the others, one has a weight that float32 barely knows."""

    def solve(self, losses):
        return torch.tensor([1.0, 0.0, 1e-43], dtype=torch.float64)


@pytest.mark.parametrize("options", WAYS[:2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_heads_follow_their_own_loss_though_their_task_has_no_weight(options, dtype):
    """One single backward gives a head its weight times its gradient, which may be nothing."""
    net = Net(dtype=dtype)
    perturb = options.get("perturb", "task")
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb=perturb)
    report = net.step(aggregate=FirstTask(), rho=0.3, **options).backward([net.batch()])
    assert report.gramian is None  # it was one backward, and not a second try with one for each task
    erm = options["combine"] == "erm"
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-12}
    found = [[p.grad for p in head] for head in net.head_lists]
    torch.testing.assert_close(found, d.head_loss_grads if erm else d.head_grads, **tolerance)
    trunk = flatten([p.grad for p in net.shared])
    torch.testing.assert_close(trunk, (d.loss if erm else d.sam)[0], **tolerance)


@pytest.mark.parametrize("options", WAYS)
def test_what_gradvac_remembers_moves_on_once_a_step_for_each_part(net, options):
    A, twin = fm.GradVac(0.3), fm.GradVac(0.3)
    step = net.step(aggregate=A, rho=0.3, **options)
    for _ in range(4):
        perturb = options.get("perturb", "task")
        d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb=perturb)
        direction = combine(d, twin, options["combine"])
        step.backward([net.batch()])
        close(flatten([p.grad for p in net.shared]), direction)
        close(A.usual, twin.usual)
        step.optimizer.step()
    parts = {"erm": ["loss"], "direct": ["sam"], "decomposed": ["flat", "loss"]}
    assert sorted(A.usual) == parts[options["combine"]]


OBJECTIVES = {
    "uw": lambda s, losses: (0.5 * (torch.exp(-s) * losses + s)).sum(),
    "imtl_l": lambda s, losses: (torch.exp(s) * losses - s).sum(),
}


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_learnt_scales_get_the_gradient_of_their_own_objective_and_are_trained(net, name, parts, options):
    A = fm.aggregator(name, tasks=3)
    optimizer = torch.optim.SGD([*net.parameters(), *A.parameters()], lr=0.1)
    step = net.step(optimizer, aggregate=A, rho=0.3, **options)
    for _ in range(4):
        s = A.s.detach().clone().requires_grad_()
        report = step.backward([net.batch()] if parts == 1 else halves(net))
        (expected,) = torch.autograd.grad(OBJECTIVES[name](s, report.losses), s)
        torch.testing.assert_close(A.s.grad, expected, rtol=1e-6, atol=1e-7)
        before = A.s.detach().clone()
        step.optimizer.step()
        torch.testing.assert_close(A.s.detach(), before - 0.1 * expected)
    assert A.s.detach().unique().numel() == 3


def test_learnt_scales_that_the_optimizer_does_not_have_are_an_error(prepared):
    step = prepared.step(torch.optim.SGD(prepared.parameters(), lr=0.1))
    step.aggregate = fm.UW(tasks=3)
    before = everything(prepared, step)
    with pytest.raises(ValueError, match="Got UW, which learns, and an optimizer without its parameters"):
        step(*prepared.batch())
    assert everything(prepared, step) == before
    step.backward([prepared.batch()])  # for an optimizer of their own
    assert step.aggregate.s.grad.count_nonzero() > 0
    step.aggregate.requires_grad_(False)
    step(*prepared.batch())


def test_an_aggregator_replaced_by_a_name_is_an_error(prepared):
    step = prepared.step(torch.optim.SGD(prepared.parameters(), lr=0.1))
    step.aggregate = "cagrad"
    before = everything(prepared, step)
    for call in (lambda: step(*prepared.batch()), lambda: step.backward([prepared.batch()])):
        with pytest.raises(ValueError, match="Got aggregate='cagrad'; expected an aggregator"):
            call()
    assert everything(prepared, step) == before


def test_learnt_scales_are_told_from_the_parameters_to_find_in_the_graph(net):
    A = fm.UW(tasks=3)
    step = fm.FlatMTL(torch.optim.Adam([*net.parameters(), *A.parameters()]), aggregate=A)
    step(*net.batch())
    assert len(step.trunk_and_heads.shared) == len(net.shared)
    assert A.s.grad is not None


@pytest.mark.parametrize("rule", ["second", "each"])
@pytest.mark.parametrize("name", [*WEIGHTINGS, "gradvac"])
def test_second_and_each_refuse_what_needs_tasks_before_anything_runs(net, name, rule, make):
    message = rf'with the rule "{rule}", which aggregates rows that are no tasks; expected an aggregator that'
    with pytest.raises(ValueError, match=message):
        net.step(aggregate=make(name), combine=rule)
    for change in ({"combine": rule}, {"aggregate": make(name)}):
        step = net.step(aggregate=make(name)) if "combine" in change else net.step(combine=rule)
        for key, value in change.items():
            setattr(step, key, value)
        ran = []
        with pytest.raises(ValueError, match=message):
            step(lambda ran=ran: ran.append(1), net.batch()[1])
        assert ran == []


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("name", fm.AGGREGATORS)
def test_a_skipped_step_leaves_the_aggregator_as_it_was(name, options, make):
    """A gradient that is not finite, at once or only when perturbed, and a loss that is not."""
    net = Net()
    A, twin = make(name), make(name)
    optimizer = torch.optim.SGD([*net.parameters(), *A.parameters()], lr=0.0)
    step = net.step(optimizer, aggregate=A, rho=0.3, on_nonfinite="skip", **options)
    other = net.step(aggregate=twin, rho=0.3, **options)
    for report in (step.backward([net.batch()]), other.backward([net.batch()])):
        assert not report.skipped
    learnt = [p.grad.clone() for p in A.parameters()]
    features, losses = net.batch()
    bad = [breaks(net, 1, "trunk"), breaks(net, 1, "head")]
    if options["combine"] != "erm":
        bad.append(breaks(net, 1, "trunk", moved_only=True))
    if name in WEIGHTINGS:
        bad.append((features, [losses[0], lambda z: losses[1](z) + float("nan"), losses[2]]))
    for batch in bad:
        assert step.backward([batch]).skipped
    assert [p.grad.tolist() for p in A.parameters()] == [grad.tolist() for grad in learnt]
    for _ in range(2):
        step.backward([net.batch()])
        found = net.gradients()
        other.backward([net.batch()])
        assert all(a.equal(b) for a, b in zip(found, net.gradients(), strict=True))


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_loss_that_is_not_finite_though_its_gradient_is_names_the_task(prepared, name, options, make):
    A = make(name)
    optimizer = torch.optim.Adam([*prepared.parameters(), *A.parameters()])
    step = prepared.step(optimizer, aggregate=A, rho=0.3, **options)
    features, losses = prepared.batch()
    broken = [losses[0], lambda z: losses[1](z) + float("inf"), losses[2]]
    before = everything(prepared, step)
    with pytest.raises(fm.NonFiniteGradient, match="The loss of task 1 holds NaN or infinity") as caught:
        step(features, broken)
    assert caught.value.tasks == [1]
    assert everything(prepared, step) == before


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize(
    ("aggregate", "message"),
    [
        (fm.SI(), "Got a loss of -.* for task 1; expected losses > 0"),
        (fm.DWA(), "Got a loss of -.* for task 1; expected losses > 0"),
        (fm.UW(2), r"Got 3 losses for UW\(tasks=2\)"),
    ],
)
def test_losses_that_a_weighting_cannot_take_change_nothing(prepared, options, aggregate, message):
    optimizer = torch.optim.Adam([*prepared.parameters(), *aggregate.parameters()])
    step = prepared.step(optimizer, aggregate=aggregate, on_nonfinite="skip", **options)
    features, losses = prepared.batch()
    before = everything(prepared, step)
    with pytest.raises(ValueError, match=message):
        step(features, [losses[0], lambda z: losses[1](z) - 10, losses[2]])
    assert everything(prepared, step) == before
    assert step.skipped == 0


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", fm.AGGREGATORS)
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


# micro-batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("perturb", ["task", "mean"])
@pytest.mark.parametrize("rule", RULES)
def test_micro_batches_are_one_batch(net, rule, perturb, norm, make):
    options = {"rho": 0.3, "combine": rule, "perturb": perturb, "norm": norm}
    for name in [name for name, other in METHODS_AND_RULES if other == rule]:
        found = []
        for size in (8, 4, 2):
            batches = [net.batch(slice(k, k + size)) for k in range(0, 8, size)]
            report = net.step(aggregate=make(name), **options).backward(batches)
            # one single backward, which takes no angles, may be possible for the whole batch alone
            gramian = None if issubclass(fm.AGGREGATORS[name], fm.LossWeighting) else report.gramian
            found.append((net.gradients(), report.losses, report.perturbed_losses, gramian))
        torch.testing.assert_close(found[1], found[0], rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(found[2], found[0], rtol=1e-8, atol=1e-12)


# reports ----------------------------------------------------------------------------------------------------


def test_the_report_is_what_a_direct_computation_gives(net):
    features, losses = net.batch()
    z = features()
    rows = [flatten(torch.autograd.grad(loss(z), net.shared, retain_graph=True)) for loss in losses]
    expected_losses = torch.stack([loss(z).detach() for loss in losses])
    flat = fm.decompose(features, losses, net.shared, net.head_lists, rho=0.3).flat
    report = net.step(aggregate=fm.CAGrad(), rho=0.3)(features, losses)

    def cosine(a, b):
        return (a @ b / a.norm() / b.norm()).item()

    close(report.losses, expected_losses)
    for i in range(3):
        assert report.norms[i].item() == pytest.approx(rows[i].norm().item())
        assert report.flat_norms[i].item() == pytest.approx(flat[i].norm().item())
        assert report.intra_cosines[i].item() == pytest.approx(cosine(rows[i], flat[i]))
        for j in range(3):
            assert report.cosines[i, j].item() == pytest.approx(cosine(rows[i], rows[j]))
            assert report.flat_cosines[i, j].item() == pytest.approx(cosine(flat[i], flat[j]))
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert report.conflict_ratio == sum(cosine(rows[i], rows[j]) < 0 for i, j in pairs) / 3
    assert report.flat_conflict_ratio == sum(cosine(flat[i], flat[j]) < 0 for i, j in pairs) / 3
    shapes = {"norms": (3,), "flat_norms": (3,), "intra_cosines": (3,), "cosines": (3, 3)}
    shapes |= {"flat_cosines": (3, 3), "gramian": (6, 6), "losses": (3,), "perturbed_losses": (3,)}
    assert {name: tuple(getattr(report, name).shape) for name in shapes} == shapes
    assert bool((report.perturbed_losses > report.losses).all())
    assert not report.losses.requires_grad
    assert not report.perturbed_losses.requires_grad


def linear_tasks(G):
    """Parameters, features and losses whose gradients are the rows of G, whatever the weights."""
    w = nn.Parameter(torch.zeros(G.shape[1], dtype=G.dtype))
    return w, lambda: w * 1, [lambda z, g=g: z @ g for g in G]


def test_the_conflict_ratio_is_the_share_of_conflicting_pairs():
    G = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])  # 1 and 3 conflict; 1 and 2 are at right angles
    w, features, losses = linear_tasks(G)
    step = fm.FlatMTL(torch.optim.SGD([w], 0.1), [w], [[], [], []], aggregate=fm.CAGrad())
    report = step(features, losses)
    assert report.conflict_ratio == pytest.approx(1 / 3)
    assert report.flat_conflict_ratio == 0
    assert report.flat_norms.tolist() == [0, 0, 0]
    assert report.flat_cosines[0, 1] == report.intra_cosines[0] == 0
    torch.testing.assert_close(report.norms, torch.tensor([1, 2, 2**0.5], dtype=torch.float64))


ANGLES = ["gramian", "cosines", "flat_cosines", "intra_cosines", "conflict_ratio", "flat_conflict_ratio"]
ANGLES += ["norms", "flat_norms"]


@pytest.mark.parametrize(
    ("options", "angles", "perturbed"),
    [
        ({"aggregate": fm.Mean(), "combine": "erm"}, False, False),
        ({"aggregate": fm.Mean(), "rho": 0.0}, False, False),
        ({"aggregate": fm.Mean(), "perturb": "mean"}, False, True),
        ({"aggregate": fm.Mean()}, True, True),
        ({"aggregate": fm.MGDA(), "combine": "erm"}, True, False),
        ({"aggregate": fm.MGDA(), "rho": 0.0}, True, False),
        ({"aggregate": fm.MGDA(), "rho": 0.0, "combine": "second"}, True, False),
        ({"aggregate": fm.MGDA(), "perturb": "mean"}, True, True),
        ({"aggregate": fm.MGDA()}, True, True),
    ],
)
def test_a_report_says_none_for_what_the_step_did_not_need(net, options, angles, perturbed):
    report = net.step(**options)(*net.batch())
    assert [getattr(report, name) is not None for name in ANGLES] == [angles] * len(ANGLES)
    assert (report.perturbed_losses is not None) == perturbed
    assert report.losses.shape == (3,)
    if angles and not perturbed:
        assert report.flat_norms.tolist() == [0, 0, 0]


# state ------------------------------------------------------------------------------------------------------


def conflicting():
    """Three tasks whose PCGrad direction depends on the order; training does not change the gradients."""
    G = torch.tensor([[1.0, 0.2, 0.0], [-0.7, 1.0, 0.3], [-0.5, -0.9, 1.0]], dtype=torch.float64)
    return linear_tasks(G)


def pcgrad_step(w):
    return fm.FlatMTL(torch.optim.SGD([w], 0.1), [w], [[], [], []], aggregate=fm.PCGrad())


def directions(step, features, losses, count):
    found = []
    for _ in range(count):
        step.backward([(features, losses)])
        found.append(tuple(step.trunk_and_heads.shared[0].grad.tolist()))
    return found


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
    found = []
    for _ in range(10):
        one.state_dict()
        found += directions(one, features, losses, 1)
    assert found == directions(other, features, losses, 10)


def test_a_state_of_another_aggregator_is_refused(net):
    step = net.step(aggregate=fm.PCGrad())
    before = step.aggregate.generator.get_state()
    with pytest.raises(ValueError, match=r"Got the state of CAGrad; expected a state of PCGrad"):
        step.load_state_dict(net.step(aggregate=fm.CAGrad()).state_dict())
    state = net.step(aggregate=fm.PCGrad()).state_dict()
    del state["skipped"]
    with pytest.raises(ValueError, match=r"Got a state with keys \['aggregate', 'aggregator'\]; expected"):
        step.load_state_dict(state)
    assert step.aggregate.generator.get_state().equal(before)


# gradients that are not finite ------------------------------------------------------------------------------


def breaks(net, i, where, value=float("nan"), moved_only=False):
    """Losses, that of task i with a gradient that is not finite at one place; perhaps only when perturbed."""
    features, losses = net.batch()
    weight = net.trunk[0].weight if where == "trunk" else net.heads[i].weight
    before = weight.detach().clone()

    def broken(z):
        now = not (moved_only and weight.detach().equal(before))
        return net.loss(i, z) + (value * weight.sum() if now else 0)

    losses[i] = broken
    return features, losses


METHODS = [
    {"aggregate": fm.CAGrad()},
    {"aggregate": fm.PCGrad(), "combine": "each"},
    {"aggregate": fm.MGDA(), "perturb": "mean"},
    {"aggregate": fm.Mean()},
    {"aggregate": fm.Mean(), "perturb": "mean"},
]


@pytest.fixture
def prepared():
    """A noisy net and a maker of steps, one step already done: there are gradients and momenta to spoil."""
    net = Net(noisy=True)
    net.step(torch.optim.SGD(net.parameters(), lr=0.1))(*net.batch())
    return net


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize(
    "options", [*METHODS, {"combine": "erm", "aggregate": fm.CAGrad()}, {"combine": "erm"}]
)
def test_a_clean_gradient_that_is_not_finite_is_an_error_and_changes_nothing(prepared, options, where, value):
    step = prepared.step(torch.optim.Adam(prepared.parameters()), rho=0.3, **options)
    before = everything(prepared, step)
    with pytest.raises(fm.NonFiniteGradient, match=r"gradient of task 1 holds NaN or infinity.*on_nonfinite"):
        step(*breaks(prepared, 1, where, value))
    assert everything(prepared, step) == before


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize("options", METHODS)
def test_a_perturbed_gradient_that_is_not_finite_does_so_too(prepared, options, where):
    step = prepared.step(torch.optim.Adam(prepared.parameters()), rho=0.3, **options)
    before = everything(prepared, step)
    with pytest.raises(fm.NonFiniteGradient, match=r"gradient of task 1 holds NaN or infinity"):
        step(*breaks(prepared, 1, where, moved_only=True))
    assert everything(prepared, step) == before


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize("moved_only", [False, True])
@pytest.mark.parametrize("options", METHODS)
def test_such_a_step_can_be_skipped_and_counted(prepared, options, moved_only, where):
    optimizer = torch.optim.Adam(prepared.parameters(), weight_decay=0.1)
    step = prepared.step(optimizer, rho=0.3, on_nonfinite="skip", **options)
    before = everything(prepared, step)
    for count in (1, 2):
        report = step(*breaks(prepared, 1, where, moved_only=moved_only))
        assert (report.skipped, step.skipped) == (True, count)
        assert report.losses is report.perturbed_losses is report.gramian is None
        assert report.cosines is report.norms is report.conflict_ratio is None
        assert everything(prepared, step) == before
    report = step(*prepared.batch())
    assert (report.skipped, step.skipped) == (False, 2)
    assert everything(prepared, step) != before
    assert step.state_dict()["skipped"] == 2


def test_only_the_aggregators_own_numbers_are_drawn_in_a_good_step():
    """A skipped step draws no PCGrad order: the next one goes on as if it had not been."""
    w, features, losses = conflicting()
    step, other = pcgrad_step(w), pcgrad_step(w)
    step.on_nonfinite = "skip"
    found = directions(step, features, losses, 3)
    step.backward([(features, [lambda z: z.sum() * float("nan")] * 3)])
    found += directions(step, features, losses, 10)
    assert found == directions(other, features, losses, 13)


def test_a_loss_that_raises_changes_nothing_even_when_steps_may_be_skipped(prepared):
    step = prepared.step(torch.optim.Adam(prepared.parameters()), on_nonfinite="skip")
    before = everything(prepared, step)
    features, losses = prepared.batch()
    losses[2] = lambda z: z
    with pytest.raises(ValueError, match="loss of task 2 is"):
        step(features, losses)
    assert everything(prepared, step) == before
    assert step.skipped == 0


# which parameters -------------------------------------------------------------------------------------------


def test_lists_left_out_are_found_at_the_first_step(net):
    found, given = [], []
    for lists, results in (({}, found), ({"shared": net.shared, "heads": net.head_lists}, given)):
        step = fm.FlatMTL(torch.optim.SGD(net.parameters(), 0.1), aggregate=fm.CAGrad(), rho=0.3, **lists)
        for _ in range(2):
            step.backward([net.batch()])
            results += net.gradients()
    close(found, given)


def unreached(net):
    """The net and one parameter more, all named, in an optimizer."""
    extra = nn.Parameter(torch.ones(7, dtype=torch.float64))
    return torch.optim.SGD([*net.named_parameters(), ("aux.scale", extra)], lr=0.1), extra


def test_a_parameter_of_the_optimizer_in_neither_list_is_an_error_at_once(net):
    optimizer, extra = unreached(net)
    with pytest.raises(ValueError, match=r"optimizer's parameter 'aux.scale' is in neither shared nor heads"):
        net.step(optimizer)
    extra.requires_grad_(False)
    net.step(optimizer)  # frozen, it may stay


def test_a_parameter_of_the_optimizer_that_no_loss_reaches_is_an_error_every_time():
    net = Net(noisy=True)
    optimizer, extra = unreached(net)
    step = fm.FlatMTL(optimizer)
    before = everything(net, step)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'aux.scale' is in neither.*no loss reaches it"):
            step(*net.batch())
        assert everything(net, step) == before
    extra.requires_grad_(False)
    step(*net.batch())


def test_without_names_the_optimizers_place_and_shape_are_named(net):
    extra = nn.Parameter(torch.ones(7, dtype=torch.float64))
    optimizer = torch.optim.SGD([{"params": net.parameters()}, {"params": [extra]}], lr=0.1)
    with pytest.raises(ValueError, match=r"parameter 0 of group 1 \(shape \(7,\)\) is in neither"):
        net.step(optimizer)


@pytest.mark.parametrize("named", [True, False])
def test_the_graph_search_names_parameters_as_the_optimizer_does(named):
    net = Net(noisy=True)
    features, losses = net.batch()
    losses[2] = lambda z: net.loss(2, z) + net.heads[0](z).mean()
    step = fm.FlatMTL(torch.optim.SGD(net.named_parameters() if named else net.parameters(), lr=0.1))
    name = "'heads.0.weight'" if named else r"6 of group 0 \(shape \(2, 3\)\)"
    before = everything(net)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"parameter {name} is in neither.*tasks \[0, 2\] of 3"):
            step(features, losses)
        assert everything(net) == before
    step(*net.batch())  # and the proper losses do


def test_a_listed_parameter_that_is_frozen_later_is_an_error(net):
    step = net.step()
    step(*net.batch())
    net.heads[1].weight.requires_grad_(False)
    before = everything(net, step)
    with pytest.raises(ValueError, match=r"entry of the head of task 1 is a.*Leave frozen ones out"):
        step(*net.batch())
    assert everything(net, step) == before


def test_a_parameter_that_is_unfrozen_later_is_not_silently_left_untrained(net):
    net.heads[1].requires_grad_(False)
    step = fm.FlatMTL(torch.optim.SGD(net.named_parameters(), lr=0.1))
    step(*net.batch())
    net.heads[1].requires_grad_(True)
    with pytest.raises(ValueError, match=r"'heads.1.(weight|bias)' is in neither shared nor heads"):
        step(*net.batch())


def test_a_shared_parameter_that_no_loss_reaches_gets_a_zero_gradient(net):
    extra = nn.Parameter(torch.ones(7, dtype=torch.float64))
    optimizer = torch.optim.SGD([*net.parameters(), extra], lr=0.1)
    fm.FlatMTL(optimizer, [*net.shared, extra], net.head_lists)(*net.batch())
    assert extra.grad.tolist() == [0] * 7


# bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -1.0}, "Got rho=-1.0; expected a finite radius >= 0"),
        ({"rho": float("nan")}, "Got rho=nan"),
        ({"rho": float("inf")}, "Got rho=inf"),
        ({"rho_heads": -1.0}, "Got rho_heads=-1.0"),
        ({"rho_heads": 0.2, "norm": "together"}, 'Got rho_heads=0.2 with norm="together"'),
        ({"norm": "l2"}, 'Got norm=\'l2\'; expected "separate" or "together"'),
        ({"combine": "sum"}, "Got combine='sum'; expected one of erm, direct, decomposed, second, each"),
        ({"perturb": "each"}, "Got perturb='each'; expected \"task\""),
        ({"on_nonfinite": "ignore"}, 'Got on_nonfinite=\'ignore\'; expected "raise" or "skip"'),
        ({"aggregate": "cagrad"}, r"Got aggregate='cagrad'; expected an aggregator, such as CAGrad\(c=0.4\)"),
        ({"aggregate": fm.CAGrad}, r"Got aggregate=<class .*CAGrad'>; expected an aggregator"),
        ({"aggregate": nn.Linear(2, 2)}, r"Got aggregate=Linear.*; expected an aggregator"),
    ],
)
def test_bad_options_are_errors_when_the_step_is_made(net, options, message):
    with pytest.raises(ValueError, match=message):
        net.step(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda losses: losses[:2], "Got 2 losses but 3 heads"),
        (lambda losses: [], "empty list of losses"),
        (lambda losses: [*losses[:2], 1.0], "Got float as the loss of task 2; expected a callable"),
        (lambda losses: [lambda z: z, *losses[1:]], r"loss of task 0 is \(8, 3\); expected one floating"),
        (lambda losses: [lambda z: z.detach().sum(), *losses[1:]], "loss of task 0 does not depend on"),
    ],
)
def test_bad_losses_are_errors_and_change_nothing(prepared, change, message):
    step = prepared.step(torch.optim.Adam(prepared.parameters()))
    features, losses = prepared.batch()
    before = everything(prepared, step)
    with pytest.raises(ValueError, match=message):
        step(features, change(losses))
    assert everything(prepared, step) == before


def test_bad_micro_batches_are_errors(net):
    step = net.step()
    with pytest.raises(ValueError, match=r"Got 0 micro-batches.*expected at least one"):
        step.backward([])
    features, losses = net.batch()
    with pytest.raises(ValueError, match=r"Got 2 micro-batches with \[2, 3\] losses.*same number"):
        step.backward([(features, losses), (features, losses[:2])])


# several processes ------------------------------------------------------------------------------------------

SETTINGS = [
    {"aggregate": name, "combine": rule, "perturb": perturb, "norm": norm, "adaptive": norm == "together"}
    for name, rule, perturb, norm in [
        ("cagrad", "decomposed", "task", "separate"),
        ("mgda", "each", "task", "together"),
        ("cagrad", "direct", "mean", "together"),
        ("mean", "erm", "task", "separate"),
        ("mean", "direct", "mean", "separate"),
        ("pcgrad", "second", "task", "separate"),
        ("si", "erm", "task", "separate"),
        ("si", "direct", "mean", "separate"),
        ("bmtl", "decomposed", "task", "separate"),
        ("rlw", "erm", "task", "separate"),
        ("uw", "direct", "mean", "together"),
        ("imtl_l", "erm", "task", "separate"),
        ("gradvac", "decomposed", "task", "separate"),
        ("graddrop", "direct", "task", "separate"),
    ]
]


def gradients_by_setting(net, batches, process_group=None):
    results = []
    for setting in SETTINGS:
        method = fm.AGGREGATORS[setting["aggregate"]]
        aggregate = method(3) if issubclass(method, fm.LearnedWeighting) else method()
        options = {**setting, "aggregate": aggregate}
        report = net.step(rho=0.3, process_group=process_group, **options).backward(batches)
        learnt = [p.grad for p in aggregate.parameters()]
        results.append((net.gradients(), report.losses, report.perturbed_losses, report.gramian, learnt))
    return results


def halves(net):
    return [net.batch(slice(0, 4)), net.batch(slice(4, 8))]


def worker(rank, folder):
    """One of two processes, with one half of the batch; the second task has no head."""
    from torch import distributed

    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    net = headless()
    results = gradients_by_setting(net, [halves(net)[rank]], distributed.group.WORLD)
    nan = net.step(process_group=distributed.group.WORLD, on_nonfinite="skip")
    report = nan(*(breaks(net, 1, "trunk") if rank == 0 else net.batch()))
    torch.save((results, report.skipped), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def headless():
    net = Net()
    net.heads[1].requires_grad_(False)
    return net


def test_two_processes_are_one_process_with_two_micro_batches(tmp_path):
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    commands = [[sys.executable, str(Path(__file__)), str(rank), str(tmp_path)] for rank in range(2)]
    processes = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], "".join(errors)

    net = headless()
    expected = gradients_by_setting(net, halves(net))
    alone = gradients_by_setting(net, halves(net)[:1])
    for rank in range(2):
        found, skipped = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-13)
        assert skipped  # NaN in one process is NaN in both: they stay in step
    for (gradients, *_), (other, *_) in zip(expected, alone, strict=True):
        assert not gradients[0].allclose(other[0])  # half a batch alone gives something else


# waiting for the device -------------------------------------------------------------------------------------


class OnDevice(torch.Tensor):
    """A tensor that claims to live on a device ("meta"), its values kept on the host; see `Device`."""

    @staticmethod
    def __new__(cls, values):
        options = {"strides": values.stride(), "storage_offset": values.storage_offset()}
        options |= {"dtype": values.dtype, "device": "meta"}
        tensor = torch.Tensor._make_wrapper_subclass(cls, values.shape, **options)
        tensor.values_on_host = values
        return tensor

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function} outside of `with Device()`")


class Device(TorchDispatchMode):
    """Plays a device beside the CPU: refuses to mix the two, and notes each time the host would wait.

    Waits: copies to the host (`.cpu()`, `.to("cpu")`, `.tolist()`, `host.copy_(device)`), reading one
    number (`.item()`, `bool()`, `float()`), results whose shape depends on values (`nonzero`, boolean
    masks, ...), and linear algebra other than norms, which on CUDA checks its success on the host.
    Host tensors (there the aggregators solve) wait for nobody. This is what a GPU would have to do by
    the operations' meaning; on CUDA itself it is unproven until someone runs it there.
    """

    READS = ("_local_scalar_dense", "is_nonzero", "equal")
    SHAPES = ("nonzero", "masked_select", "unique_consecutive", "_unique2", "unique_dim", "repeat_interleave")
    NORMS = ("linalg_vector_norm", "linalg_matrix_norm")

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, target = function._schema.name.split("::")[1], kwargs.get("device")
        tensors = [a for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        on_device = [t for t in tensors if isinstance(t, OnDevice)]
        on_host = [t for t in tensors if not isinstance(t, OnDevice) and t.ndim]
        copies = name in ("_to_copy", "copy_")
        if on_device and on_host and not copies:
            raise RuntimeError(f"{name}: device and host tensors mixed, {[tuple(t.shape) for t in on_host]}")
        if on_device:
            self.note(name, args, target)
        result_on_device = bool(on_device) if target is None else torch.device(target).type == "meta"
        if target is not None:
            kwargs = {**kwargs, "device": "cpu"}
        args_, kwargs_ = tree_map(lambda a: getattr(a, "values_on_host", a), (args, kwargs))
        result = function(*args_, **kwargs_)
        if result is None or (name.endswith("_") and not name.startswith("_")):
            return result if result is None else args[0]
        wrap = result_on_device and name not in self.READS
        return tree_map(lambda r: OnDevice(r) if wrap and isinstance(r, torch.Tensor) else r, result)

    def note(self, name, args, target):
        to_host = target is not None and torch.device(target).type == "cpu"
        to_host |= name == "copy_" and not isinstance(args[0], OnDevice)
        masks = name.startswith("index") and any(
            isinstance(a, torch.Tensor) and a.dtype == torch.bool for a in tree_leaves(args[1:2])
        )
        algebra = name.lstrip("_").startswith("linalg") and name not in self.NORMS
        if to_host or masks or algebra or name in self.READS + self.SHAPES:
            self.waits.append("copy to the host" if to_host else name)


def put_on_device(module):
    for m in module.modules():
        for name, p in m._parameters.items():
            m._parameters[name] = nn.Parameter(OnDevice(p.detach()), requires_grad=p.requires_grad)
        for name, b in m._buffers.items():
            m._buffers[name] = OnDevice(b)


@pytest.fixture
def device():
    return Device()


def net_on_device(device, **options):
    net = Net(**options)
    with device:
        put_on_device(net)
    net.x, net.y = OnDevice(net.x), OnDevice(net.y)
    return net


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: float(x[0]),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", torch.float64),
        lambda x: x.tolist(),
        lambda x: torch.zeros(3).copy_(x),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: torch.equal(x, x),
        lambda x: torch.linalg.eigvalsh(x.outer(x)),
        lambda x: torch.linalg.solve(x.outer(x) + x.diag(), x),
        lambda x: torch.linalg.pinv(x.outer(x), hermitian=True),
    ],
)
def test_the_counter_counts_what_waits(device, wait):
    with device:
        wait(OnDevice(torch.tensor([1.0, 2.0, 3.0])))
        assert device.waits
        count = len(device.waits)
        wait(OnDevice(torch.tensor([1.0, 2.0, 3.0])))
        assert len(device.waits) == 2 * count


@pytest.mark.parametrize(
    "work",
    [
        lambda x: torch.linalg.vector_norm(x * 2 + 1),
        lambda x: torch.where(x > 0, x, 0.0).to(x.device, torch.float64).add_(1).amax(),
        lambda x: torch.zeros(3).to(x.device) + x,
        lambda x: torch.cat([x, x.new_zeros(2)])[1:].view(2, 2) @ x[:2],
    ],
)
def test_the_counter_lets_the_rest_pass(device, work):
    with device:
        assert isinstance(work(OnDevice(torch.tensor([1.0, 2.0, 3.0]))), OnDevice)
    assert device.waits == []


def test_the_device_does_not_mix_with_the_host_and_computes_right(device):
    x = torch.tensor([1.0, 2.0])
    with device:
        assert (OnDevice(x) * 2 + 1).tolist() == [3, 5]
        with pytest.raises(RuntimeError, match="device and host tensors mixed"):
            OnDevice(x) + x
        with pytest.raises(RuntimeError, match="device and host tensors mixed"):
            torch.cat([OnDevice(x), torch.zeros(0)])


@pytest.mark.parametrize("options", [{}, {"perturb": "mean"}, {"adaptive": True}, {"norm": "together"}])
@every_method_and_rule
def test_a_step_waits_for_the_device_at_most_twice(device, name, rule, options, make):
    """A T=3 step with BatchNorm on a played device; CUDA itself is unproven until someone runs it there."""
    net = net_on_device(device, noisy=True)
    with device:
        step = net.step(aggregate=make(name), rho=0.3, combine=rule, **options)
        report = step(*net.batch())
        assert 1 <= len(device.waits) <= 2, device.waits
        assert not report.skipped
        count = len(device.waits)
        _ = report.cosines, report.norms, report.conflict_ratio  # all on the host by now
        assert len(device.waits) == count


def test_micro_batches_add_no_waits(device):
    net = net_on_device(device)
    with device:
        net.step(aggregate=fm.CAGrad()).backward(halves(net) * 3)
    assert len(device.waits) == 1


def test_a_zero_gradient_costs_at_most_two_waits_more(device):
    """The rare way: the Gramian is looked at again on rescaled rows."""
    net = net_on_device(device)
    features, losses = net.batch()
    losses[1] = lambda z: 0 * net.loss(1, z)
    with device:
        net.step(aggregate=fm.CAGrad())(features, losses)
    assert len(device.waits) <= 4


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("perturb", ["task", "mean"])
def test_what_a_device_computes_is_what_the_host_computes(device, perturb, adaptive, norm):
    """Also for a task without a head: nothing is made on the host by mistake and mixed in."""
    options = {"perturb": perturb, "adaptive": adaptive, "norm": norm, "rho": 0.3, "aggregate": fm.CAGrad()}
    host = headless()
    host.step(**options).backward([host.batch()])
    net = headless()
    with device:
        put_on_device(net)
        net.x, net.y = OnDevice(net.x), OnDevice(net.y)
        net.step(**options).backward([net.batch()])
        found = [p.grad.cpu() for p in net.parameters() if p.requires_grad]
    close(found, [p.grad for p in host.parameters() if p.requires_grad])


if __name__ == "__main__":
    worker(int(sys.argv[1]), sys.argv[2])
