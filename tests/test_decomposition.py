"""Loss and flat: the identities, the rules, what runs in which pass, and that nothing is left behind."""

import copy
import itertools
import math
from functools import partial

import pytest
import torch
from torch import nn

import flatmtl_lite as fm
from flatmtl_lite.aggregation.memory import Remembering
from flatmtl_lite.decomposition import RULES, combine
from flatmtl_lite.gradients import MicroBatch, TrunkAndHeads, flatten
from flatmtl_lite.needs import PRIORITIES
from flatmtl_lite.passes import Passes
from flatmtl_lite.perturbation import Perturbation
from flatmtl_lite.state import StateGuard
from tests.methods import KINDS, every_kind, every_method, rules_of

FLAT_RULES = ["direct", "decomposed", "second", "each"]
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-13)


class Net(nn.Module):
    """A smooth trunk and T heads on fixed data, in float64; ``noisy`` adds dropout and BatchNorm."""

    def __init__(self, tasks=3, noisy=False, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        noise = [nn.BatchNorm1d(5), nn.Dropout(0.3)] if noisy else []
        self.trunk = nn.Sequential(nn.Linear(4, 5), *noise, nn.Tanh(), nn.Linear(5, 3), nn.Tanh())
        drop = 0.3 if noisy else 0.0
        self.heads = nn.ModuleList(nn.Sequential(nn.Dropout(drop), nn.Linear(3, 2)) for _ in range(tasks))
        self.x, self.y = torch.randn(8, 4).to(dtype), torch.randn(tasks, 8, 2).to(dtype)
        self.to(dtype)

    def features(self):
        return self.trunk(self.x)

    def loss(self, i, z, part=slice(None)):
        return nn.functional.mse_loss(self.heads[i](z), self.y[i, part])

    @property
    def losses(self):
        return [partial(self.loss, i) for i in range(len(self.heads))]

    @property
    def shared(self):
        return list(self.trunk.parameters())

    @property
    def head_lists(self):
        return [list(head.parameters()) for head in self.heads]

    def decompose(self, **options):
        return fm.decompose(self.features, self.losses, self.shared, self.head_lists, **options)


def sam(loss, blocks, rho):
    """Sharpness-aware minimisation in a few lines, every block of parameters with a norm of its own."""
    parameters = [p for block in blocks for p in block]
    before = [p.detach().clone() for p in parameters]
    gradient = dict(zip(parameters, torch.autograd.grad(loss(), parameters), strict=True))
    with torch.no_grad():
        for block in blocks:
            norm = sum(gradient[p].square().sum() for p in block).sqrt()
            for p in block:
                p += rho * gradient[p] / norm
    gradient = torch.autograd.grad(loss(), parameters)
    with torch.no_grad():
        for p, value in zip(parameters, before, strict=True):
            p.copy_(value)
    return gradient


# identities -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["separate", "together"])
def test_with_one_task_direct_and_decomposed_are_sam(norm, make):
    net = Net(tasks=1)
    trunk, head = net.shared, net.head_lists[0]
    blocks = [trunk, head] if norm == "separate" else [trunk + head]
    expected = sam(lambda: net.loss(0, net.features()), blocks, rho=0.3)
    d = net.decompose(rho=0.3, norm=norm)
    for name in fm.AGGREGATORS:
        close(fm.direct(d, make(name, 1)), flatten(expected[: len(trunk)]))
        close(fm.decomposed(d, make(name, 1)), flatten(expected[: len(trunk)]))
    close(d.head_grads[0], list(expected[len(trunk) :]))
    assert (d.sam - d.loss).norm() > 0.01 * d.loss.norm()  # SAM is not the plain gradient here


def test_every_task_gets_its_own_sam_gradient_and_the_plain_one_beside_it():
    net = Net()
    d = net.decompose(rho=0.3)
    for i in range(3):
        trunk, head = net.shared, net.head_lists[i]
        plain = torch.autograd.grad(net.loss(i, net.features()), trunk + head)
        perturbed = sam(partial(lambda i: net.loss(i, net.features()), i), [trunk, head], rho=0.3)
        close(d.loss[i], flatten(plain[: len(trunk)]))
        close(d.sam[i], flatten(perturbed[: len(trunk)]))
        close(d.head_loss_grads[i], list(plain[len(trunk) :]))
        close(d.head_grads[i], list(perturbed[len(trunk) :]))
        close(d.losses[i], net.loss(i, net.features()).detach())
        assert d.perturbed_losses[i] > d.losses[i]


def test_perturbing_by_the_mean_loss_is_plain_sam():
    net = Net()
    heads = [p for head in net.head_lists for p in head]

    def mean_loss():
        z = net.features()
        return sum(net.loss(i, z) for i in range(3)) / 3

    for norm, blocks in {"separate": [net.shared, heads], "together": [net.shared + heads]}.items():
        expected = sam(mean_loss, blocks, rho=0.3)
        d = net.decompose(rho=0.3, norm=norm, perturb="mean")
        k = len(net.shared)
        for rule in FLAT_RULES:
            close(combine(d, fm.Mean(), rule), flatten(expected[:k]))
        # SAM's gradient is that of the mean loss; every head here follows its own task's loss
        close([g / 3 for head in d.head_grads for g in head], list(expected[k:]))


def test_for_the_mean_all_four_flat_rules_agree():
    d = Net().decompose(rho=0.3)
    for rule in FLAT_RULES:
        close(combine(d, fm.Mean(), rule), d.sam.mean(0))
    assert (fm.erm(d, fm.Mean()) - d.sam.mean(0)).norm() > 0.01 * d.loss.norm()


@every_method
def test_with_rho_zero_flat_is_zero_and_direct_and_decomposed_are_erm(name, make):
    net = Net()
    d = net.decompose(rho=0.0)
    assert d.flat.shape == d.loss.shape
    assert not d.flat.any()
    assert d.perturbed_losses is None
    torch.testing.assert_close(d.head_grads, d.head_loss_grads, rtol=0, atol=0)
    erm = fm.erm(d, make(name))
    close(make(name)(d.loss, losses=d.losses), erm)
    for rule in ("direct", "decomposed", *PRIORITIES):
        close(combine(d, make(name), rule), erm)


@pytest.mark.parametrize("rho", [0.05, 2.0])
def test_on_a_quadratic_flat_is_rho_times_the_curvature_along_the_gradient(rho):
    """flat_i = ρ A_i g_i/‖g_i‖ exactly, each task with an ε of its own."""
    generator = torch.Generator().manual_seed(0)
    P, T = 6, 3
    roots = torch.randn(T, P, P, dtype=torch.float64, generator=generator)
    centres = torch.randn(T, P, dtype=torch.float64, generator=generator)
    A = roots + roots.mT  # indefinite: nothing here is about minima
    w = torch.randn(P, dtype=torch.float64, generator=generator).requires_grad_()
    losses = [lambda z, i=i: (z - centres[i]) @ A[i] @ (z - centres[i]) / 2 for i in range(T)]
    d = fm.decompose(lambda: w * 1, losses, [w], [[]] * T, rho=rho)
    g = (A @ (w.detach() - centres).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(d.loss, g, rtol=1e-13, atol=1e-13)
    expected = rho * (A @ (g / g.norm(dim=-1, keepdim=True)).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(d.flat, expected, rtol=0, atol=2e-14)


@pytest.mark.parametrize("norm", ["separate", "together"])
def test_on_a_smooth_net_flat_is_nearly_a_hessian_vector_product(norm):
    """flat ~ H ε, trunk and head moved together; the error is of second order in ρ."""
    net = Net()
    k = len(net.shared)
    errors = []
    for rho in (1e-3, 1e-4):
        d = net.decompose(rho=rho, norm=norm)
        worst = 0.0
        for i in range(3):
            parameters = net.shared + net.head_lists[i]
            grads = torch.autograd.grad(net.loss(i, net.features()), parameters, create_graph=True)
            trunk, head = flatten(grads[:k]), flatten(grads[k:])
            if norm == "separate":
                along = torch.cat([trunk / trunk.norm(), head / head.norm()])
            else:
                along = torch.cat([trunk, head]) / torch.cat([trunk, head]).norm()
            slope = torch.cat([g.reshape(-1) for g in grads]) @ along
            product = rho * flatten(torch.autograd.grad(slope, net.shared))
            worst = max(worst, ((d.flat[i] - product).norm() / product.norm()).item())
        errors.append(worst)
    assert errors[0] < 0.01
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.1)


# the rules on raw rows --------------------------------------------------------------------------------------


def by_definition(rule, A, loss, flat):
    """The design's definitions, on rows of length P."""
    if rule == "erm":
        return A(loss)
    if rule == "direct":
        return A(loss + flat)
    if rule == "decomposed":
        return A(loss) + A(flat)
    if rule == "second":
        return 2 * A(torch.stack([A(loss), A(flat)], -2))
    if rule == "each":
        return 2 * A(A(torch.stack([loss, flat], -2)))
    if rule in PRIORITIES:
        parts = [A(loss), A(flat)]
        first, second = parts if rule == "loss_first" else parts[::-1]
        opposing = (first * second).sum(-1, keepdim=True).clamp_max(0)
        square = (first * first).sum(-1, keepdim=True)
        return first + second - torch.where(square > 0, opposing / square, 0) * first
    raise AssertionError(rule)


def rows(*shape, dtype=torch.float64, seed=0):
    """Loss and flat rows of any angles and of norms that differ by row."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    lengths = torch.rand(2, *shape[:-1], 1, dtype=torch.float64, generator=generator) * 3 + 0.1
    return (values * lengths * torch.tensor([1, 0.2]).view(2, *[1] * len(shape))).to(dtype)


def on_rows(A, losses):
    """The aggregator as a map of rows alone: weights from losses once, memory new for every part."""
    if isinstance(A, fm.LossWeighting):
        weights = A.loss_weights(losses).unsqueeze(-2)
        return lambda G: (weights @ G).squeeze(-2)
    if isinstance(A, fm.GradVac):
        return lambda G: fm.GradVac(generator=A.generator)(G)
    if isinstance(A, Remembering):
        return lambda G: type(A)()(G, losses=losses)
    return A


def some_losses(*shape, dtype=torch.float64):
    return torch.linspace(0.3, 3.0, math.prod(shape), dtype=dtype).reshape(shape)


@every_method
def test_rules_on_the_gramian_are_the_definitions_on_the_rows(name, make):
    shapes = [(1, 9), (3, 40), (7, 30), (2, 2), (2, 3, 2, 8), (4, 2, 2)]
    for shape, rule in itertools.product(shapes, rules_of(name)):
        loss, flat = rows(*shape, seed=len(rule))
        losses = some_losses(*shape[:-1])
        found = combine(fm.Decomposition(loss, flat, losses=losses), make(name, shape[-2]), rule)
        assert found.shape == (*shape[:-2], shape[-1])
        expected = by_definition(rule, on_rows(make(name, shape[-2]), losses), loss, flat)
        torch.testing.assert_close(
            found, expected, rtol=1e-7, atol=1e-8, msg=lambda m, case=(rule, shape): f"{case}: {m}"
        )


@every_kind
def test_a_part_with_priority_loses_nothing(name, make):
    """The step along the first part's direction is at least that part's own, and nearest to the sum."""
    agree = oppose = 0
    for seed in range(20):
        loss, flat = rows(3, 6, seed=seed)
        d = fm.Decomposition(loss, flat, losses=some_losses(3))
        A = on_rows(make(name), d.losses)
        parts = [A(loss), A(flat)]
        whole, inner = fm.decomposed(d, make(name)), (parts[0] @ parts[1]).item()
        for rule, first in zip((fm.loss_first, fm.flat_first), parts, strict=True):
            found = rule(d, make(name))
            assert found @ first >= first @ first * (1 - 1e-9)
            if inner >= 0:
                close(found, whole)
            else:  # the nearest point of a half-space lies along its normal, on its edge
                close(found @ first, first @ first)
                close(found - whole, ((found - whole) @ first) / (first @ first) * first)
        agree, oppose = agree + (inner >= 0), oppose + (inner < 0)
    assert agree
    assert oppose


@every_kind
def test_a_batch_is_its_problems_one_by_one(name, make):
    loss, flat = rows(4, 3, 10)
    losses = some_losses(4, 3)
    for rule in rules_of(name):
        together = combine(fm.Decomposition(loss, flat, losses=losses), make(name), rule)
        one_by_one = [
            combine(fm.Decomposition(loss[k], flat[k], losses=losses[k]), make(name), rule) for k in range(4)
        ]
        close(together, torch.stack(one_by_one))


@every_kind
def test_rules_in_float32_are_the_rules_in_float64(name, make):
    loss, flat = rows(3, 50)
    losses = some_losses(3)
    for rule in rules_of(name):
        expected = combine(fm.Decomposition(loss, flat, losses=losses), make(name), rule)
        in_float32 = fm.Decomposition(loss.float(), flat.float(), losses=losses.float())
        direction = combine(in_float32, make(name), rule)
        assert direction.dtype == torch.float32
        torch.testing.assert_close(direction.double(), expected, rtol=1e-3, atol=1e-4)


@every_method
def test_rules_are_homogeneous_at_the_ends_of_float32(name, make):
    loss, flat = rows(3, 50, dtype=torch.float32)
    losses = some_losses(3)
    for rule in rules_of(name):
        expected = combine(fm.Decomposition(loss, flat, losses=losses), make(name), rule)
        for scale in (1e-30, 1e30):
            scaled = fm.Decomposition(loss * scale, flat * scale, losses=losses)
            direction = combine(scaled, make(name), rule)
            torch.testing.assert_close(direction / scale, expected, rtol=1e-3, atol=1e-4)


@every_kind
def test_no_flat_part_reads_as_zeros(name, make):
    loss, _ = rows(3, 10)
    losses = some_losses(3)
    d = fm.Decomposition(loss, losses=losses)
    assert (d.flat.shape, d.flat.dtype) == (loss.shape, loss.dtype)
    assert not d.flat.any()
    assert d.sam.equal(loss)
    explicit = fm.Decomposition(loss, torch.zeros_like(loss), losses=losses)
    close(d.gramian, explicit.gramian)
    for rule in rules_of(name):
        expected = combine(explicit, make(name), rule)
        close(combine(d, make(name), rule), expected)
        close(expected, by_definition(rule, on_rows(make(name), losses), loss, torch.zeros_like(loss)))


@pytest.mark.parametrize("rule", RULES)
def test_the_named_functions_are_the_rules(rule):
    loss, flat = rows(3, 10)
    d = fm.Decomposition(loss, flat)
    assert getattr(fm, rule)(d, fm.CAGrad()).equal(combine(d, fm.CAGrad(), rule))


class LossWeighted(fm.Aggregator):
    """No function of the Gramian: weights are the losses' shares."""

    def forward(self, G, losses=None):
        return (losses / losses.sum() @ G) + G.abs().amax(-2)


@pytest.mark.parametrize("rule", ["erm", "direct", "decomposed"])
def test_an_aggregator_of_rows_and_losses_works_on_rows_and_clean_losses(rule):
    loss, flat = rows(3, 10)
    losses = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    d = fm.Decomposition(loss, flat, losses=losses, perturbed_losses=losses + 1)
    expected = by_definition(rule, lambda G: LossWeighted()(G, losses), loss, flat)
    close(combine(d, LossWeighted(), rule), expected)


@pytest.mark.parametrize("aggregate", ["cagrad", fm.CAGrad])
def test_a_name_or_a_class_is_no_aggregator(aggregate):
    with pytest.raises(ValueError, match=r"Got aggregate=.*; expected an aggregator"):
        fm.decomposed(fm.Decomposition(torch.ones(2, 3), torch.ones(2, 3)), aggregate)


def test_the_gramian_holds_loss_flat_and_cross_products():
    loss, flat = rows(2, 3, 10)
    both = torch.cat([loss, flat], -2)
    d = fm.Decomposition(loss, flat)
    close(d.gramian, both @ both.mT)
    close(d.sam, loss + flat)


def test_parts_of_different_shapes_are_an_error():
    message = r"flat part of shape \(2, 9\) for a loss part of shape \(3, 9\); expected equal shapes"
    with pytest.raises(ValueError, match=message):
        fm.Decomposition(torch.ones(3, 9), torch.ones(2, 9))


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("method", [fm.CAGrad, fm.GradDrop, fm.RLW])
def test_a_part_that_is_not_finite_is_an_error_naming_the_task(method, part):
    parts = rows(3, 9)
    parts[part, 1, 4] = torch.inf
    d = fm.Decomposition(*parts, losses=some_losses(3))
    for rule in ("erm", "direct", "decomposed"):
        with pytest.raises(fm.NonFiniteGradient, match="task 1 ") as error:
            combine(d, method(), rule)
        assert error.value.tasks == [1]


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match=r"Got combine='sum'; expected one of erm, direct, decomposed"):
        combine(fm.Decomposition(torch.ones(2, 3)), fm.Mean(), "sum")


# what runs --------------------------------------------------------------------------------------------------


def watch(net):
    """Closures that note what ran, and with which weights."""
    seen = []

    def features():
        seen.append(("trunk", flatten(net.shared)))
        return net.features()

    def loss(i, z):
        seen.append((i, flatten(net.head_lists[i])))
        return net.loss(i, z)

    return features, [partial(loss, i) for i in range(len(net.heads))], seen


def run_watched(net, **options):
    features, losses, seen = watch(net)
    d = fm.decompose(features, losses, net.shared, net.head_lists, **options)
    return d, seen


CLEAN = ["trunk", 0, 1, 2]


@pytest.mark.parametrize(
    ("options", "perturbed_passes"),
    [
        ({"rho": 0.1}, ["trunk", 0, "trunk", 1, "trunk", 2]),
        ({"rho": 0.1, "perturb": "mean"}, CLEAN),
        ({"rho": 0.1, "rho_heads": 0.0}, ["trunk", 0, "trunk", 1, "trunk", 2]),
        ({"rho": 0.0, "rho_heads": 0.1}, ["trunk", 0, "trunk", 1, "trunk", 2]),
        ({"rho": 0.0}, []),
        ({"rho": 0.0, "perturb": "mean", "norm": "together"}, []),
    ],
)
def test_the_trunk_runs_once_clean_and_once_a_task_with_its_head_alone(options, perturbed_passes):
    net = Net()
    modules = {net.trunk: "trunk", **{head: i for i, head in enumerate(net.heads)}}
    ran = []
    for module in modules:
        module.register_forward_hook(lambda module, *_: ran.append(modules[module]))
    _, seen = run_watched(net, **options)
    assert [key for key, _ in seen] == CLEAN + perturbed_passes
    assert ran == CLEAN + perturbed_passes


def test_every_pass_goes_backward_once_a_task(monkeypatch):
    calls = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))
    Net().decompose(rho=0.1)
    assert len(calls) == 3 + 3
    calls.clear()
    Net().decompose(rho=0.0)
    assert len(calls) == 3


# how far the weights moved ----------------------------------------------------------------------------------


def steps(net, **options):
    """ε of the trunk and of the head in the perturbed pass of every task, read off the weights themselves."""
    d, seen = run_watched(net, **options)
    clean, perturbed = dict(seen[:4]), seen[4:]
    pairs = zip(perturbed[::2], perturbed[1::2], strict=True)
    return d, [(trunk - clean["trunk"], head - clean[i]) for (_, trunk), (i, head) in pairs]


def test_separate_steps_go_along_each_tasks_own_gradients():
    net = Net()
    d, found = steps(net, rho=0.05, rho_heads=0.2)
    for i, (trunk, head) in enumerate(found):
        head_grad = flatten(d.head_loss_grads[i])
        close(trunk, 0.05 * d.loss[i] / d.loss[i].norm())
        close(head, 0.2 * head_grad / head_grad.norm())


def test_by_default_the_heads_have_the_radius_of_the_trunk():
    for trunk, head in steps(Net(), rho=0.07)[1]:
        assert trunk.norm().item() == pytest.approx(0.07)
        assert head.norm().item() == pytest.approx(0.07)


def test_together_the_whole_step_has_the_radius():
    net = Net()
    d, found = steps(net, rho=0.05, norm="together")
    for i, (trunk, head) in enumerate(found):
        whole = torch.cat([d.loss[i], flatten(d.head_loss_grads[i])])
        close(torch.cat([trunk, head]), 0.05 * whole / whole.norm())


@pytest.mark.parametrize("norm", ["separate", "together"])
def test_adaptive_steps_are_measured_by_the_weights(norm):
    net = Net()
    d, found = steps(net, rho=0.05, adaptive=True, norm=norm)
    for i, (trunk, head) in enumerate(found):
        theta, phi = flatten(net.shared).abs(), flatten(net.head_lists[i]).abs()
        measured = torch.cat([trunk / theta, head / phi])
        if norm == "together":
            assert measured.norm().item() == pytest.approx(0.05)
        else:
            assert (trunk / theta).norm().item() == pytest.approx(0.05)
            assert (head / phi).norm().item() == pytest.approx(0.05)
        along = torch.cat([theta**2 * d.loss[i], phi**2 * flatten(d.head_loss_grads[i])])
        moved = torch.cat([trunk, head])
        assert torch.equal(moved.sign(), along.sign())
        close(trunk / trunk.norm(), along[: len(trunk)] / along[: len(trunk)].norm())


@pytest.mark.parametrize("norm", ["separate", "together"])
def test_the_mean_loss_gives_one_step_for_all(norm):
    net = Net()
    d, seen = run_watched(net, rho=0.05, norm=norm, perturb="mean")
    clean, perturbed = dict(seen[:4]), dict(seen[4:])
    trunk = perturbed["trunk"] - clean["trunk"]
    heads = torch.cat([perturbed[i] - clean[i] for i in range(3)])
    trunk_grad, heads_grad = d.loss.mean(0), torch.cat([flatten(g) for g in d.head_loss_grads]) / 3
    if norm == "separate":  # the heads together are one block
        close(trunk, 0.05 * trunk_grad / trunk_grad.norm())
        close(heads, 0.05 * heads_grad / heads_grad.norm())
    else:
        whole = torch.cat([trunk_grad, heads_grad])
        close(torch.cat([trunk, heads]), 0.05 * whole / whole.norm())


@pytest.mark.parametrize("perturb", ["task", "mean"])
@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_task_with_zero_gradient_is_not_moved_and_nothing_is_nan(adaptive, norm, perturb, make):
    net = Net()
    losses = [net.losses[0], lambda z: 0 * net.loss(1, z) + 0.5, net.losses[2]]
    d = fm.decompose(
        net.features, losses, net.shared, net.head_lists, 0.1, adaptive=adaptive, norm=norm, perturb=perturb
    )
    assert not d.loss[1].any()
    assert not d.flat[1].any()
    for name in fm.AGGREGATORS if perturb == "task" and norm == "separate" else KINDS:
        for rule in rules_of(name):
            assert bool(combine(d, make(name), rule).isfinite().all()), (name, rule)


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_gradients_in_float32_move_as_far_as_others(scale, adaptive, norm, make):
    """The direction of ε, and so flat/scale, is the same: the gradient's own norm cancels."""
    net = Net(dtype=torch.float32)
    options = {"rho": 0.05, "adaptive": adaptive, "norm": norm}
    expected = net.decompose(**options)
    losses = [lambda z, i=i: net.loss(i, z) * scale for i in range(3)]
    d = fm.decompose(net.features, losses, net.shared, net.head_lists, **options)
    torch.testing.assert_close(d.loss / scale, expected.loss, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(d.flat / scale, expected.flat, rtol=1e-3, atol=1e-5)
    assert expected.flat.norm() > 0.01
    d.losses = expected.losses  # the weights of a method that reads them are not the matter here
    for name in KINDS:
        found, wanted = fm.decomposed(d, make(name)), fm.decomposed(expected, make(name))
        torch.testing.assert_close(found / scale, wanted, rtol=1e-2, atol=1e-3)


# nothing is left behind -------------------------------------------------------------------------------------


def bits(tensors):
    return [t.detach().reshape(-1).view(torch.uint8).tolist() for t in tensors]


def everything(net):
    """Weights and buffers bit for bit, gradients, and the generator."""
    gradients = [None if p.grad is None else p.grad.clone().tolist() for p in net.parameters()]
    return bits(net.parameters()), bits(net.buffers()), gradients, torch.get_rng_state().tolist()


@pytest.fixture
def noisy():
    """Weights that adding and subtracting ε would not bring back: -0.0, tiny and huge ones."""
    net = Net(noisy=True, dtype=torch.float32)
    with torch.no_grad():
        net.trunk[0].weight[0, :3] = torch.tensor([-0.0, 1e-40, 1e-12])
        net.heads[1][1].weight[0, :2] = torch.tensor([-0.0, 3e-39])
    net.features()  # running statistics and counts that are not those of a new net
    for p in net.shared:
        p.grad = torch.ones_like(p)
    return net


@pytest.mark.parametrize("perturb", ["task", "mean"])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_after_a_step_weights_are_the_same_and_the_rest_is_as_after_one_clean_pass(noisy, rho, perturb):
    weights, _, gradients, _ = everything(noisy)
    twin = copy.deepcopy(noisy)
    torch.manual_seed(5)
    z = twin.features()
    for i in range(3):
        twin.loss(i, z)
    _, buffers, _, generator = everything(twin)

    torch.manual_seed(5)
    noisy.decompose(rho=rho, perturb=perturb)
    assert everything(noisy) == (weights, buffers, gradients, generator)
    assert noisy.trunk[1].num_batches_tracked == 2  # the fixture's pass and this one


@pytest.mark.parametrize(("perturb", "calls"), [("task", 4 + 6), ("mean", 4 + 4)])
@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_closure_that_raises_anywhere_leaves_all_as_before(noisy, perturb, calls, error):
    """At the n-th call of a closure, for every n: clean pass, perturbed pass of any task, trunk or head."""
    before = everything(noisy)
    for n in range(calls):
        count = itertools.count()

        def counted(closure, *z, n=n, count=count):
            value = closure(*z)  # it has drawn its masks and moved its buffers by then
            if next(count) == n:
                raise error
            return value

        losses = [partial(counted, loss) for loss in noisy.losses]
        with pytest.raises(type(error)):
            fm.decompose(
                partial(counted, noisy.features), losses, noisy.shared, noisy.head_lists, 0.5, perturb=perturb
            )
        assert everything(noisy) == before, n
    assert next(count) == calls  # the last failure was in the last closure there is


def test_a_backward_that_raises_leaves_all_as_before(noisy):
    before = everything(noisy)
    for n in range(6):
        count = itertools.count()

        def fail(gradient, n=n, count=count):
            if next(count) == n:
                raise RuntimeError("no")

        def features(fail=fail):
            z = noisy.features()
            z.register_hook(fail)
            return z

        with pytest.raises(RuntimeError, match="no"):
            fm.decompose(features, noisy.losses, noisy.shared, noisy.head_lists, 0.5)
        assert everything(noisy) == before, n


@pytest.mark.parametrize("perturb", ["task", "mean"])
def test_dropout_masks_are_those_of_the_clean_pass(perturb):
    net = Net(noisy=True)
    masks = {}

    def note(name, module, args, output):
        masks.setdefault(name, []).append((output != 0).tolist())

    for name, module in net.named_modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(partial(note, name))
    net.decompose(rho=0.1, perturb=perturb)
    assert len(masks) == 4
    for name, seen in masks.items():
        assert len(seen) == 4 if name.startswith("trunk") and perturb == "task" else len(seen) == 2
        assert all(mask == seen[0] for mask in seen), name
    assert len({str(masks[f"heads.{i}.0"][0]) for i in range(3)}) == 3  # and they do differ between heads


def test_batch_statistics_are_used_in_both_passes():
    """The perturbed pass stays in training mode, as SAM's would."""
    net = Net(tasks=1, noisy=True)
    net.trunk[2].p = net.heads[0][0].p = 0.0
    frozen = copy.deepcopy(net)  # `sam` runs the model twice and moves its statistics
    expected = sam(lambda: frozen.loss(0, frozen.features()), [frozen.shared, frozen.head_lists[0]], rho=0.3)
    close(net.decompose(rho=0.3).sam[0], flatten(expected[: len(frozen.shared)]))


# micro-batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("perturb", ["task", "mean"])
@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_micro_batches_are_one_batch(adaptive, norm, perturb):
    net = Net()
    whole = net.decompose(rho=0.3, norm=norm, adaptive=adaptive, perturb=perturb)
    passes = []
    for part in (slice(0, 4), slice(4, 8)):
        features = partial(lambda part: net.trunk(net.x[part]), part)
        losses = [partial(net.loss, i, part=part) for i in range(3)]
        passes.append((features, losses))
    perturbation = Perturbation(0.3, adaptive=adaptive, norm=norm, perturb=perturb)
    with StateGuard() as state:
        batches = [MicroBatch(*part, state) for part in passes]
        found = Passes(batches, TrunkAndHeads(net.shared, net.head_lists), perturbation).run()
    for name in ("loss", "flat", "head_grads", "head_loss_grads", "losses", "perturbed_losses"):
        close(getattr(found, name), getattr(whole, name))


# bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -0.1}, "Got rho=-0.1; expected a finite radius"),
        ({"rho": float("nan")}, "Got rho=nan"),
        ({"rho": float("inf")}, "Got rho=inf"),
        ({"rho_heads": -1.0}, "Got rho_heads=-1.0"),
        ({"norm": "both"}, "Got norm='both'"),
        ({"norm": "together", "rho_heads": 0.3}, 'Got rho_heads=0.3 with norm="together"'),
        ({"perturb": "all"}, """Got perturb='all'; expected "task", "mean", SAMO"""),
    ],
)
def test_bad_options_are_errors_before_anything_runs(options, message):
    net = Net()
    features, losses, seen = watch(net)
    with pytest.raises(ValueError, match=message):
        fm.decompose(features, losses, net.shared, net.head_lists, **options)
    assert seen == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["trunk", "head"])
def test_a_clean_gradient_that_is_not_finite_is_an_error_naming_the_task(noisy, value, where):
    def broken(z):
        bad = z.sum() if where == "trunk" else noisy.heads[1][1].weight.sum()
        return noisy.loss(1, z) + value * bad

    before = everything(noisy)
    losses = [noisy.losses[0], broken, noisy.losses[2]]
    with pytest.raises(fm.NonFiniteGradient, match=r"gradient of task 1 holds NaN or infinity") as error:
        fm.decompose(noisy.features, losses, noisy.shared, noisy.head_lists)
    assert error.value.tasks == [1]
    assert everything(noisy) == before


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize("perturb", ["task", "mean"])
def test_a_perturbed_gradient_that_is_not_finite_is_an_error_naming_the_task(noisy, where, perturb):
    losses = noisy.losses
    losses[1] = breaks_when_moved(noisy, 1, where)
    before = everything(noisy)
    with pytest.raises(fm.NonFiniteGradient, match=r"gradient of task 1 holds NaN or infinity"):
        fm.decompose(noisy.features, losses, noisy.shared, noisy.head_lists, 0.5, perturb=perturb)
    assert everything(noisy) == before


def breaks_when_moved(net, i, where):
    """Task i's loss, finite with the present weights; with others its gradient is NaN at one place."""
    weight = net.trunk[0].weight if where == "trunk" else net.heads[i][1].weight
    before = weight.detach().clone()

    def loss(z):
        moved = not weight.detach().equal(before)
        return net.loss(i, z) + (float("nan") * weight.sum() if moved else 0)

    return loss


def test_gradients_near_the_end_of_float16_are_finite():
    w, head = (nn.Parameter(torch.ones(1, dtype=torch.float16)) for _ in range(2))
    d = fm.decompose(lambda: w * 1, [lambda z: 40_000 * (z + head - 1).sum()], [w], [[head]], rho=0.0)
    assert d.loss.tolist() == [[40_000]]


def test_a_head_may_have_gradients_beyond_the_range_of_the_trunks_dtype():
    w, head = nn.Parameter(torch.ones(1, dtype=torch.float16)), nn.Parameter(torch.ones(1))
    losses = [lambda z: z.float().sum() + 1e6 * head.sum()]
    d = fm.decompose(lambda: w * 1, losses, [w], [[head]], rho=0.5)
    assert d.sam.tolist() == [[1]]
    assert d.head_grads[0][0].tolist() == [1e6]


def test_the_guard_in_use_is_the_one_tested():
    """`decompose` leaves no hook behind, whether it succeeds or fails."""
    hooks = nn.modules.module._global_forward_pre_hooks
    count = len(hooks)
    Net().decompose()
    with pytest.raises(ValueError):
        fm.decompose(lambda: 1, [lambda z: z], [nn.Parameter(torch.ones(1))], [[]])
    assert len(hooks) == count
    with StateGuard():
        assert len(hooks) == count + 1


def test_one_autocast_block_around_both_passes_hides_no_perturbation():
    """PyTorch keeps the casts of weights until the outermost block ends; the second pass needs new ones."""
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(20, 5), torch.randn(30, 20)

    def split():
        task = [lambda z: z.float().square().mean()]
        return fm.decompose(lambda: layer(x), task, shared=layer.parameters(), heads=[[]], rho=0.5)

    with torch.autocast("cpu", torch.bfloat16):
        within = split()
    assert torch.cosine_similarity(within.flat, split().flat).item() > 0.99


def test_all_tasks_with_a_head_that_is_not_finite_are_named():
    w, first, second, third = (nn.Parameter(torch.ones(1)) for _ in range(4))
    losses = [
        lambda z: z.sum() + float("nan") * first.sum(),
        lambda z: z.sum() + second.sum(),
        lambda z: z.sum() + float("inf") * third.sum(),
    ]
    with pytest.raises(fm.NonFiniteGradient) as error:
        fm.decompose(lambda: w * 1, losses, [w], [[first], [second], [third]], rho=0.0)
    assert error.value.tasks == [0, 2]


def test_weighted_passes_give_the_gradient_of_the_weighted_losses():
    """At θ without a perturbation; with one, at θ+ε, where ε comes from the mean loss."""
    net, weights = Net(), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    d = net.decompose(rho=0.3, perturb="mean", norm="together")
    groups = TrunkAndHeads(net.shared, net.head_lists)
    for perturbation in (None, Perturbation(0.0), Perturbation(0.3, perturb="mean", norm="together")):
        with StateGuard() as state:
            batches = [MicroBatch(net.features, net.losses, state)]
            one = Passes(batches, groups, perturbation, weigh=lambda losses: weights).run()
        moved = one.perturbed_losses is not None
        assert moved == (perturbation is not None and not perturbation.is_zero)
        close(one.sam[0], weights @ (d.sam if moved else d.loss))
        close(one.head_grads, d.head_grads if moved else d.head_loss_grads)
        close(one.losses, d.losses)
