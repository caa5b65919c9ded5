"""SAMO and the polar factor: every ε against a computation by hand, and the ends that they share with SAM."""

import copy

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.gradients import flatten, unflatten
from tests.optim.nets import Net, close, everything, linear_tasks

RHO, SEED = 0.3, 5


def at(net, trunk_step, head_steps=()):
    """A copy of the net with other weights."""
    moved = copy.deepcopy(net)
    with torch.no_grad():
        for p, e in zip(moved.shared, unflatten(trunk_step, net.shared), strict=True):
            p += e
        for head, step in zip(moved.head_lists, head_steps, strict=False):
            for p, e in zip(head, unflatten(step, head), strict=True):
                p += e
    return moved


def rows(net):
    features, losses = net.batch()
    return torch.stack([flatten(torch.autograd.grad(loss(features()), net.shared)) for loss in losses])


def head_rows(net):
    features, losses = net.batch()
    pairs = zip(losses, net.head_lists, strict=True)
    return [flatten(torch.autograd.grad(loss(features()), head)) for loss, head in pairs]


def value(net, i):
    features, losses = net.batch()
    return losses[i](features()).item()


def q_by_hand(net, samo, i, z, generator):
    """α g₀ + (1 - α) ĝ_i, tensor by tensor, as arXiv 2507.07883 writes it."""
    g0 = unflatten(rows(net).mean(0), net.shared)
    if samo.local == "coin":
        difference = 2.0 * torch.randint(0, 2, (1,), generator=generator).item() - 1
    else:
        difference = (value(at(net, samo.mu * z), i) - value(at(net, -samo.mu * z), i)) / (2 * samo.mu)
    parts = []
    for g, part in zip(g0, unflatten(difference * z, net.shared), strict=True):
        parts.append(samo.alpha * g + (1 - samo.alpha) * part * g.norm() / part.norm())
    return flatten(parts)


@pytest.mark.parametrize("combine", ["direct", "decomposed"])
@pytest.mark.parametrize(
    "samo", [fm.SAMO(), fm.SAMO(alpha=0.0, mu=0.1), fm.SAMO(one_draw=True), fm.SAMO(local="coin")], ids=str
)
def test_samo_is_what_the_paper_writes(net, samo, combine):
    generator = torch.Generator().manual_seed(SEED)
    G, P, z = rows(net), rows(net).shape[1], None
    expected = []
    for i in range(3):
        if z is None or not samo.one_draw:
            z = torch.empty(P, dtype=torch.float64).normal_(generator=generator)
        q = q_by_hand(net, samo, i, z, generator)
        heads = [RHO * g / g.norm() for g in head_rows(net)]
        expected.append(rows(at(net, RHO * q / q.norm(), heads))[i])
    d = fm.decompose(
        *net.batch(), net.shared, net.head_lists, rho=RHO, norm="separate", perturb=samo, seed=SEED
    )
    close(d.sam, torch.stack(expected))
    close(d.loss, G)
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, norm="separate", combine=combine, perturb=samo)
    step.seed, step.steps = 0, SEED
    report = step.backward([net.batch()])
    close(flatten(net.gradients()[: len(net.shared)]), getattr(fm, combine)(d, fm.CAGrad()))
    close([p.grad for head in net.head_lists for p in head], [g for head in d.head_grads for g in head])
    close(report.sam_norms, d.sam.norm(dim=1))
    close(report.sam_cosines, fm.diagnostics.cosines(d.sam))
    assert (report.gramian is None) == (report.cosines is None) == (combine == "direct")
    assert report.sam_conflict_ratio == fm.diagnostics.conflict_ratio(report.sam_cosines).item()


def test_alpha_one_is_the_step_of_the_mean_loss_and_alpha_zero_with_exact_gradients_that_of_each_task(net):
    def sam(perturb):
        return fm.decompose(*net.batch(), net.shared, net.head_lists, rho=RHO, perturb=perturb)

    exact, task = sam(fm.SAMO(alpha=0.0, local="exact")), sam("task")
    assert exact.sam.equal(task.sam)
    assert all(
        a.equal(b)
        for x, y in zip(exact.head_grads, task.head_grads, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    for head in net.heads:
        head.requires_grad_(False)
    close(sam(fm.SAMO(alpha=1.0)).sam, sam("mean").sam)
    assert not torch.allclose(sam(fm.SAMO(alpha=0.9)).sam, sam("mean").sam)


def test_every_step_draws_another_z_and_a_restored_step_draws_the_same(net):
    def directions(count, state=None):
        step = net.step(aggregate=fm.Mean(), rho=RHO, combine="direct", perturb=fm.SAMO(alpha=0.0))
        if state is not None:
            step.load_state_dict(state)
        grads = []
        for _ in range(count):
            step.backward([net.batch()])
            grads.append(flatten(net.gradients()))
        return grads, step.state_dict()

    one, two, three = directions(3)[0]
    assert not one.allclose(two)
    _, state = directions(2)
    assert directions(1, state)[0][0].equal(three)


def test_tasks_of_one_sign_share_their_perturbed_pass(net):
    """With one draw there are two trunk steps for three tasks at most."""
    ran = []
    features, losses = net.batch()
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, combine="direct", perturb=fm.SAMO(one_draw=True))
    step.backward([net.batch()])
    step.backward([(lambda: ran.append(1) or features(), losses)])
    assert 1 + 2 + 1 <= len(ran) <= 1 + 2 + 2


def test_evaluation_mode_holds_for_the_two_forward_passes_alone():
    net, modes = Net(noisy=True), []
    features, losses = net.batch()
    step = net.step(
        aggregate=fm.CAGrad(), rho=RHO, combine="direct", perturb=fm.SAMO(one_draw=True, evaluate=True)
    )
    step.backward([net.batch()])
    step.backward([(lambda: modes.append(net.trunk[1].training) or features(), losses)])
    assert modes[:3] == [True, False, False]
    assert all(modes[3:])
    assert net.trunk[1].training


def test_an_error_in_a_forward_pass_changes_nothing(prepared):
    step = prepared.step(rho=RHO, combine="direct", perturb=fm.SAMO(evaluate=True))
    before = everything(prepared, step)
    features, losses = prepared.batch()

    def fails():
        if not torch.is_grad_enabled():
            raise OSError("the disk is gone")
        return features()

    with pytest.raises(OSError, match="the disk"):
        step(fails, losses)
    assert everything(prepared, step) == before
    assert prepared.trunk[1].training
    assert step.steps == 0


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("perturb", [fm.SAMO(), fm.SAMO(alpha=1.0), fm.Polar()], ids=str)
def test_epsilon_has_the_length_rho(net, perturb, norm):
    """On linear losses, whose values show how far the weights moved, together with their heads."""
    w = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    v = [torch.zeros(2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    seen = []

    def loss(z, i):
        seen.append((z.detach().norm().item(), v[i].detach().norm().item()))
        return z[2 * i : 2 * i + 3].sum() + v[i].sum()

    fm.decompose(
        lambda: w * 1,
        [lambda z, i=i: loss(z, i) for i in range(2)],
        [w],
        [[x] for x in v],
        rho=RHO,
        norm=norm,
        perturb=perturb,
    )
    last = seen[-2:]
    if norm == "separate":
        assert [trunk for trunk, _ in last] == pytest.approx([RHO, RHO])
    elif isinstance(perturb, fm.Polar):
        assert last[0][0] ** 2 + last[0][1] ** 2 + last[1][1] ** 2 == pytest.approx(RHO**2)
    else:
        assert [trunk**2 + head**2 for trunk, head in last] == pytest.approx([RHO**2] * 2)


def test_polar_is_the_polar_factor_of_each_layer(net):
    g = rows(net).mean(0)
    parts = []
    for part, p in zip(unflatten(g, net.shared), net.shared, strict=True):
        if p.ndim == 2:
            U, _, V = torch.linalg.svd(part, full_matrices=False)
            parts.append(U @ V)
        else:
            parts.append(part / part.norm())
    q = flatten(parts)
    for head in net.heads:
        head.requires_grad_(False)
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=RHO, perturb=fm.Polar())
    torch.testing.assert_close(d.sam, rows(at(net, RHO * q / q.norm())), rtol=1e-4, atol=1e-5)
    mean = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=RHO, perturb="mean")
    assert not torch.allclose(d.sam, mean.sam, rtol=1e-2)


def test_noise_is_as_large_as_the_tasks_disagree(net):
    plain = net.step(aggregate=fm.CAGrad(), rho=RHO)
    report = plain.backward([net.batch()])
    before = flatten(net.gradients())
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, noise=0.01)
    noises = []
    for _ in range(2):
        step.backward([net.batch()])
        noises.append(flatten(net.gradients()) - before)
    C = report.cosines
    scale = 0.01 * (1 - (C.sum() - 3).item() / 6)
    assert noises[0].std().item() == pytest.approx(scale, rel=0.3)
    assert not noises[0].allclose(noises[1])
    G = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    w, features, losses = linear_tasks(G)  # tasks that agree wholly
    agreeing = fm.FlatMTL(torch.optim.SGD([w], 0.1), [w], [[], []], noise=0.5, combine="erm")
    agreeing.backward([(features, losses)])
    close(w.grad, G.mean(0))
    one = Net(tasks=1)  # it agrees with itself
    one.step(rho=RHO, noise=0.5).backward([one.batch()])
    noisy = one.gradients()
    one.step(rho=RHO).backward([one.batch()])
    close(noisy, one.gradients())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fm.SAMO(alpha=1.5), r"Got alpha=1.5; expected a number from 0"),
        (lambda: fm.SAMO(alpha=-0.1), r"Got alpha=-0.1"),
        (lambda: fm.SAMO(mu=0.0), r"Got mu=0.0; expected a finite distance > 0"),
        (lambda: fm.SAMO(local="own"), r"Got local='own'; expected one of forward, coin, exact"),
        (lambda: Net().step(noise=-1.0), r"Got noise=-1.0; expected a finite number >= 0"),
    ],
)
def test_a_bad_setting_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mu_that_leaves_only_rounding_is_an_error_and_changes_nothing(net):
    net.float()
    net.x, net.y = net.x.float(), net.y.float()
    step = net.step(rho=RHO, combine="direct", perturb=fm.SAMO(mu=1e-8))
    before = everything(net)
    with pytest.raises(ValueError, match=r"Got mu=1e-08 for weights in torch.float32.*rounding.*1e-06"):
        step(*net.batch())
    assert everything(net) == before


def test_a_model_whose_passes_differ_is_an_error(net):
    features, losses = net.batch()
    step = net.step(rho=RHO, combine="direct", perturb=fm.SAMO())
    generator = torch.Generator().manual_seed(0)  # the closures own it, so no pass can begin alike
    with pytest.raises(ValueError, match="when it was called again at the same"):
        step(lambda: features() + torch.rand((), generator=generator, dtype=torch.float64), losses)
