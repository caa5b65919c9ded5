"""One training step against the update by hand, and the passes that it runs."""

import copy
from functools import partial
from itertools import cycle

import pytest
import torch
from torch import nn

import flatmtl_lite as fm
from flatmtl_lite.decomposition import RULES, combine
from flatmtl_lite.gradients import flatten
from tests.methods import every_kind, every_kind_and_rule, every_method, rules_of
from tests.optim.nets import Net, close

# one step by hand -------------------------------------------------------------------------------------------


@every_kind_and_rule
def test_a_step_of_sgd_is_the_update_by_hand(net, name, rule, make):
    perturb = "mean" if rule == "direct" else "task"
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


@every_kind
def test_a_step_does_not_depend_on_the_default_device(name, make):
    for rule in rules_of(name):
        net = Net(noisy=True)
        step = net.step(aggregate=make(name), rho=0.3, combine=rule)
        with torch.device("meta"):
            reports = [step(*net.batch()) for _ in range(2)]
        twin = Net(noisy=True)
        step = twin.step(aggregate=make(name), rho=0.3, combine=rule)
        for report in reports:
            assert step(*twin.batch()).losses.equal(report.losses)
        assert all(p.equal(q) for p, q in zip(net.parameters(), twin.parameters(), strict=True)), rule


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


@every_method
def test_with_rho_zero_direct_and_decomposed_are_erm_bit_for_bit(net, name, make):
    gradients = {}
    for rule in ("erm", "direct", "decomposed"):
        rho = 0.3 if rule == "erm" else 0.0
        net.step(aggregate=make(name), rho=rho, combine=rule).backward([net.batch()])
        gradients[rule] = net.gradients()
    for rule in ("direct", "decomposed"):
        assert all(a.equal(b) for a, b in zip(gradients[rule], gradients["erm"], strict=True))


def test_the_mean_of_all_flat_rules_is_one_vector(net):
    gradients = []
    for rule in ("direct", "decomposed", "second", "each"):
        net.step(rho=0.3, combine=rule).backward([net.batch()])
        gradients.append(net.gradients())
    for other in gradients[1:]:
        close(other, gradients[0])


@every_kind
def test_every_kind_trains_in_every_dtype(name, make):
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        net = Net(dtype=dtype)
        for rule, optimizer in zip(rules_of(name), cycle((torch.optim.Adam, torch.optim.SGD))):
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
    gradients = {}
    for dtype in (torch.bfloat16, torch.float64):
        net = Net(dtype=torch.float64).to(dtype)
        net.x, net.y = net.x.to(dtype), net.y.to(dtype)
        net.step(aggregate=fm.CAGrad(), rho=0.3).backward([net.batch()])
        gradients[dtype] = flatten(net.gradients()).double()
    cosine = torch.cosine_similarity(gradients[torch.bfloat16], gradients[torch.float64], dim=0)
    assert cosine > 0.99


def test_training_lowers_the_losses(net):
    step = net.step(torch.optim.Adam(net.parameters(), lr=0.01), aggregate=fm.CAGrad())
    losses = torch.stack([step(*net.batch()).losses for _ in range(60)])
    assert bool((losses[-1] < 0.8 * losses[0]).all())


# one task ---------------------------------------------------------------------------------------------------


@every_kind
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
    """Return which parts ran, the calls of autograd, and how often a backward went through the trunk."""
    ran, calls, through_trunk = [], [], []
    grad, (features, losses) = torch.autograd.grad, net.batch()
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))

    def watched():
        ran.append("trunk")
        z = features()
        if z.requires_grad:
            z.register_hook(lambda gradient: through_trunk.append(1))
        return z

    step = net.step(**{"rho": 0.3, **options})
    watched_losses = [lambda z, i=i: ran.append(i) or losses[i](z) for i in range(3)]
    step(watched, watched_losses)  # the first step also checks that the losses repeat
    for counted in (ran, calls, through_trunk):
        counted.clear()
    report = step(watched, watched_losses)
    return report, "".join(map(str, ran)).replace("trunk", "t"), len(calls), len(through_trunk)


PER_TASK = "t012" + "t0t1t2"
SAMO = "t012" + "t0t0t1t1t2t2"


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
        ({"aggregate": fm.Constant([1, 2, 0.5]), "combine": "erm"}, "t012", 1),
        ({"aggregate": fm.Constant([1, 2, 0]), "combine": "erm"}, "t012", 3),
        ({"aggregate": fm.Constant(), "perturb": "mean"}, "t012t012", 2),
        ({"aggregate": fm.Constant(), "perturb": "mean", "flat_every": 2}, "t012", 3),
        ({"aggregate": fm.GradVac(), "combine": "erm"}, "t012", 3),
        ({"aggregate": fm.GradDrop()}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "combine": "erm"}, "t012", 3),
        ({"aggregate": fm.CAGrad()}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "combine": "each"}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "perturb": "mean"}, "t012t012", 6),
        ({"aggregate": fm.CAGrad(), "perturb": "mean", "combine": "direct"}, "t012t012", 4),
        ({"aggregate": fm.CAGrad(), "perturb": fm.Polar(), "combine": "direct"}, "t012t012", 4),
        ({"aggregate": fm.CAGrad(), "perturb": fm.SAMO(), "combine": "direct"}, SAMO + "t0t1t2", 4),
        ({"aggregate": fm.CAGrad(), "perturb": fm.SAMO(local="coin"), "combine": "direct"}, PER_TASK, 4),
        ({"aggregate": fm.CAGrad(), "perturb": fm.SAMO(alpha=1), "combine": "direct"}, "t012t012", 4),
        ({"aggregate": fm.CAGrad(), "perturb": fm.SAMO()}, SAMO + "t0t1t2", 6),
        ({"aggregate": fm.Mean(), "perturb": fm.SAMO(), "combine": "direct"}, SAMO + "t0t1t2", 4),
        ({"aggregate": fm.CAGrad(), "perturb": fm.SAMO(local="exact"), "combine": "direct"}, PER_TASK, 6),
        ({"aggregate": fm.CAGrad(), "perturb": fm.Polar(), "noise": 0.1, "combine": "direct"}, "t012t012", 6),
        ({"aggregate": fm.Mean(), "perturb": fm.Polar()}, "t012t012", 2),
        # the second of two steps
        ({"aggregate": fm.CAGrad(), "flat_every": 2}, "t012", 3),
        ({"aggregate": fm.Mean(), "perturb": "mean", "flat_every": 2}, "t012", 1),
        ({"aggregate": fm.SI(), "perturb": "mean", "flat_every": 2}, "t012", 3),
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


@pytest.mark.parametrize(
    "perturb",
    ["task", "mean", fm.Polar(), fm.SAMO(), fm.SAMO(one_draw=True, evaluate=True), fm.SAMO(local="coin")],
    ids=str,
)
@pytest.mark.parametrize("rule", RULES)
def test_a_step_leaves_the_state_of_one_clean_pass(rule, perturb):
    twin = Net(noisy=True)
    torch.manual_seed(5)
    features, losses = twin.batch()
    z = features()
    for loss in losses:
        loss(z)
    generator = torch.get_rng_state()

    for aggregate in (fm.CAGrad(), fm.Mean()):  # Mean may take one single backward pass
        net = Net(noisy=True)
        torch.manual_seed(5)
        net.step(aggregate=aggregate, rho=0.3, combine=rule, perturb=perturb)(*net.batch())
        assert torch.get_rng_state().equal(generator)
        assert [b.tolist() for b in net.buffers()] == [b.tolist() for b in twin.buffers()]


def test_a_direction_that_is_a_row_is_copied_because_the_next_step_writes_to_the_rows():
    class First(fm.Aggregator):
        def forward(self, G, losses=None):
            return G[0]

    net = Net()
    step = net.step(aggregate=First(), combine="erm")
    step.backward([net.batch(slice(0, 4))])
    gradient = net.trunk[0].weight.grad
    before = gradient.clone()
    step.backward([net.batch(slice(4, 8))])
    assert gradient.equal(before)
    assert not net.trunk[0].weight.grad.equal(before)
