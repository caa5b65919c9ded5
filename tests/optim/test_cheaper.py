"""Cheaper F-steps: exact at the trivial setting, and by hand elsewhere."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.gradients import flatten
from tests.optim.nets import Net, close, everything
from tests.optim.test_absent import without

RHO = 0.3


def trunk(net):
    return flatten(net.gradients()[: len(net.shared)])


def split(net, part=slice(None), **options):
    options = {"rho": RHO, **options}
    return fm.decompose(*net.batch(part), net.shared, net.head_lists, **options)


def tasks_perturbed(step, net):
    """Do a step; return the tasks whose perturbed pass ran."""
    ran = []
    features, losses = net.batch()
    step.backward([(features, [lambda z, i=i: ran.append(i) or losses[i](z) for i in range(3)])])
    return ran[3:]


def moved(net):
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1


@pytest.mark.parametrize("perturb", ["task", "mean", fm.SAMO(local="exact")], ids=str)
@pytest.mark.parametrize("rule", ["decomposed", "direct"])
def test_reused_flat_parts_are_the_old_ones_rescaled(net, rule, perturb):
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, combine=rule, perturb=perturb, flat_every=3)
    step.backward([net.batch()])
    old = split(net, perturb=perturb)
    close(trunk(net), getattr(fm, rule)(old, fm.CAGrad()))
    moved(net)
    report = step.backward([net.batch()])
    now = split(net, perturb=perturb)
    scale = now.loss.norm(dim=1) / old.loss.norm(dim=1)
    close(trunk(net), getattr(fm, rule)(fm.Decomposition(now.loss, old.flat * scale[:, None]), fm.CAGrad()))
    for i, head in enumerate(net.head_lists):
        before, after = flatten(old.head_loss_grads[i]), flatten(now.head_loss_grads[i])
        flat = (flatten(old.head_grads[i]) - before) * after.norm() / before.norm()
        close(flatten([p.grad for p in head]), after + flat)
    close(report.losses, now.losses)
    close(report.perturbed_losses, now.losses + old.perturbed_losses - old.losses)
    step.backward([net.batch()])
    step.backward([net.batch()])  # the fourth step computes them again
    close(trunk(net), getattr(fm, rule)(now, fm.CAGrad()))


def test_the_mean_reuses_its_one_row(net):
    step = net.step(rho=RHO, perturb="mean", flat_every=2)
    step.backward([net.batch()])
    old = split(net, perturb="mean")
    close(trunk(net), old.sam.mean(0))
    moved(net)
    step.backward([net.batch()])
    now = split(net, perturb="mean")
    ratio = now.loss.mean(0).norm() / old.loss.mean(0).norm()
    close(trunk(net), now.loss.mean(0) + ratio * old.flat.mean(0))


def test_a_share_of_the_tasks_is_computed_and_the_others_are_reused(net):
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, flat_tasks=0.5)  # two of three
    step.backward([net.batch()])
    old = split(net)
    close(trunk(net), fm.decomposed(old, fm.CAGrad()))  # the first step knows no flat part yet
    moved(net)
    now, drawn = split(net), set()
    reused = old.flat * (now.loss.norm(dim=1) / old.loss.norm(dim=1))[:, None]
    for _ in range(8):
        state = step.state_dict()
        fresh = tasks_perturbed(step, net)
        assert len(fresh) == 2
        drawn.add(tuple(fresh))
        flat = torch.stack([now.flat[i] if i in fresh else reused[i] for i in range(3)])
        close(trunk(net), fm.decomposed(fm.Decomposition(now.loss, flat), fm.CAGrad()))
        steps = step.steps
        step.load_state_dict(state)
        step.steps = steps  # go on with another draw, from the same memory
    assert len(drawn) > 1


@pytest.mark.parametrize("rule", ["decomposed", "direct"])
def test_the_perturbed_pass_runs_on_the_first_micro_batches(net, rule):
    """flat = g_part(θ+ε) - g_part(θ), with ε from the whole batch."""
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, combine=rule, flat_batch=0.25)
    first, rest = (*net.batch(slice(0, 2)), 2), (*net.batch(slice(2, 8)), 6)
    step.backward([first, rest])
    whole, T = split(net), 3
    flats, heads = [], []
    for i in range(T):
        twin = Net()
        with torch.no_grad():
            epsilon = RHO * whole.loss[i] / whole.loss[i].norm()
            for p, e in zip(twin.shared, fm.gradients.unflatten(epsilon, twin.shared), strict=True):
                p += e
            for p, e in zip(
                twin.head_lists[i],
                fm.gradients.unflatten(
                    RHO * flatten(whole.head_loss_grads[i]) / flatten(whole.head_loss_grads[i]).norm(),
                    twin.head_lists[i],
                ),
                strict=True,
            ):
                p += e
        parts = []
        for which in (twin, net):
            features, losses = which.batch(slice(0, 2))
            grads = torch.autograd.grad(losses[i](features()), which.shared + which.head_lists[i])
            parts.append((flatten(grads[: len(net.shared)]), flatten(grads[len(net.shared) :])))
        flats.append(parts[0][0] - parts[1][0])
        heads.append(flatten(whole.head_loss_grads[i]) + parts[0][1] - parts[1][1])
    expected = fm.Decomposition(whole.loss, torch.stack(flats))
    close(trunk(net), getattr(fm, rule)(expected, fm.CAGrad()))
    close([flatten([p.grad for p in head]) for head in net.head_lists], heads)


def test_with_the_whole_batch_and_every_step_and_task_it_is_the_plain_step(net):
    plain = net.step(aggregate=fm.CAGrad(), rho=RHO)
    plain.backward([(*net.batch(slice(0, 4)), 4), (*net.batch(slice(4, 8)), 4)])
    expected = net.gradients()
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, flat_every=1, flat_tasks=1.0, flat_batch=1.0)
    step.backward([(*net.batch(slice(0, 4)), 4), (*net.batch(slice(4, 8)), 4)])
    assert all(a.equal(b) for a, b in zip(net.gradients(), expected, strict=True))


def test_a_share_that_leaves_an_empty_batch_is_an_error_and_changes_nothing(prepared):
    step = prepared.step(rho=RHO, aggregate=fm.CAGrad(), flat_batch=0.25)
    before = everything(prepared, step)
    with pytest.raises(ValueError, match=r"Got flat_batch=0.25, which leaves an empty batch.*holds 100%"):
        step(*prepared.batch())
    assert everything(prepared, step) == before


def test_an_absent_task_keeps_what_is_remembered_of_it(net):
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, flat_every=10)
    step.backward([without(net, 1)])
    old = split(net)
    moved(net)
    report = step.backward([net.batch()])  # task 1 has no flat part yet: it is computed
    assert report.tasks == (0, 1, 2)
    now = split(net)
    flat = old.flat * (now.loss.norm(dim=1) / old.loss.norm(dim=1))[:, None]
    flat[1] = now.flat[1]
    close(trunk(net), fm.decomposed(fm.Decomposition(now.loss, flat), fm.CAGrad()))


def test_the_memory_survives_saving_and_a_failed_step_leaves_it_alone(net, tmp_path):
    step = net.step(aggregate=fm.CAGrad(), rho=RHO, flat_every=3, flat_tasks=0.5)
    step.backward([net.batch()])
    torch.save(step.state_dict(), tmp_path / "step.pt")
    moved(net)
    features, losses = net.batch()
    for _ in range(2):  # with these two the next step would be the third one, which computes them again
        with pytest.raises(fm.NonFiniteGradient):
            step.backward([(features, [*losses[:2], lambda z: float("nan") * z.sum()])])
    step.backward([net.batch()])
    expected = net.gradients()
    other = net.step(aggregate=fm.CAGrad(), rho=RHO, flat_every=3, flat_tasks=0.5)
    other.load_state_dict(torch.load(tmp_path / "step.pt", weights_only=True))
    other.backward([net.batch()])
    assert all(a.equal(b) for a, b in zip(net.gradients(), expected, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flat_every": 0}, r"Got flat_every=0; expected a whole number of steps >= 1"),
        ({"flat_every": 1.5}, r"Got flat_every=1.5"),
        ({"flat_tasks": 0.0}, r"Got flat_tasks=0.0; expected a share in \(0, 1\]"),
        ({"flat_batch": 1.5}, r"Got flat_batch=1.5; expected a share"),
    ],
)
def test_a_bad_option_is_an_error(net, options, message):
    with pytest.raises(ValueError, match=message):
        net.step(**options)
