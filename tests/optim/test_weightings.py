"""Aggregators that read losses, remember or learn: when a step asks them, and what they refuse."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.decomposition import combine
from flatmtl_lite.gradients import flatten
from tests.methods import WEIGHTINGS
from tests.optim.nets import WAYS, Net, close, everything, halves


def noted_weights(aggregate):
    """Return a list that every later call of ``loss_weights`` adds its weights to."""
    noted, method = [], aggregate.loss_weights

    def loss_weights(losses):
        noted.append(method(losses))
        return noted[-1]

    aggregate.loss_weights = loss_weights
    return noted


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_come_once_a_step_from_the_clean_losses_and_serve_both_parts(net, name, options, make):
    A, twin = make(name), make(name)
    step = net.step(aggregate=A, rho=0.3, **options)
    noted = noted_weights(A)
    for count in (1, 2, 3):
        perturb = options.get("perturb", "task")
        d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb=perturb)
        weights = twin.loss_weights(d.losses)
        report = step.backward(halves(net) if count == 2 else [net.batch()])
        close(noted[-1], weights)
        assert len(noted) == count
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
    """One backward pass would give a head a tiny share of its gradient, so the step takes one per task."""
    net = Net(dtype=dtype)
    perturb = options.get("perturb", "task")
    d = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3, perturb=perturb)
    report = net.step(aggregate=FirstTask(), rho=0.3, **options).backward([net.batch()])
    assert report.gramian is not None
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
@pytest.mark.parametrize("name", OBJECTIVES)
def test_learnt_scales_get_the_gradient_of_their_own_objective_and_are_trained(net, name, options):
    A = fm.aggregator(name, tasks=3)
    optimizer = torch.optim.SGD([*net.parameters(), *A.parameters()], lr=0.1)
    step = net.step(optimizer, aggregate=A, rho=0.3, **options)
    for count in range(4):
        s = A.s.detach().clone().requires_grad_()
        report = step.backward(halves(net) if count % 2 else [net.batch()])
        (expected,) = torch.autograd.grad(OBJECTIVES[name](s, report.losses), s)
        torch.testing.assert_close(A.s.grad, expected, rtol=1e-6, atol=1e-7)
        before = A.s.detach().clone()
        step.optimizer.step()
        torch.testing.assert_close(A.s.detach(), before - 0.1 * expected)
    assert A.s.detach().unique().numel() == 3


def test_fixed_weights_take_one_backward_pass_for_each_micro_batch_too(net):
    """Other weightings must read the losses of the whole batch first."""
    expected = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.3)
    for aggregate, angles in [(fm.Constant([3.0, 0.5, 1.0]), False), (fm.SI(), True)]:
        report = net.step(aggregate=aggregate, combine="erm").backward(halves(net))
        assert (report.gramian is not None) == angles
        weights = aggregate.loss_weights(expected.losses)
        close(flatten([p.grad for p in net.shared]), weights @ expected.loss)
        found = [[p.grad for p in head] for head in net.head_lists]
        torch.testing.assert_close(found, expected.head_loss_grads, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("options", WAYS)
def test_fixed_weights_of_the_present_tasks_keep_their_ratios(net, options):
    step = net.step(aggregate=fm.Constant([3.0, 5.0, 1.0]), rho=0.3, **options)
    features, losses = net.batch()
    step.backward([(features, [losses[0], lambda z: None, losses[2]])])
    perturb = options.get("perturb", "task")
    lists = [net.head_lists[0], [], net.head_lists[2]]
    d = fm.decompose(
        features, [losses[0], lambda z: None, losses[2]], net.shared, lists, rho=0.3, perturb=perturb
    )
    rows = d.loss if options["combine"] == "erm" else d.sam
    close(flatten([p.grad for p in net.shared]), torch.tensor([0.75, 0.25]).double() @ rows)


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
@pytest.mark.parametrize("name", ["si", "gradvac"])
def test_second_and_each_refuse_what_needs_tasks_before_anything_runs(net, name, rule, make):
    message = rf'with the rule "{rule}", which aggregates rows that are not tasks; expected an'
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


@pytest.mark.parametrize("count", [2, 4])
def test_one_backward_pass_needs_one_loss_per_head(count):
    net = Net()
    features, losses = net.batch()
    with pytest.raises(ValueError, match=f"Got {count} losses but 3 heads"):
        net.step(aggregate=fm.Mean(), combine="erm").backward([(features, (losses * 2)[:count])])


@pytest.mark.parametrize("share", [0.0, 1e-4, 1e-2])
def test_a_small_weight_leaves_its_head_the_whole_gradient(share):
    """Also in half precision, where a head's gradient times a tiny weight would be 0."""
    grads = []
    for weights in ([1.0, 1.0, 1.0], [1.0, 1.0, share]):
        net = Net(dtype=torch.float16)
        net.step(aggregate=fm.Constant(weights), combine="erm").backward([net.batch()])
        grads.append(net.heads[2].weight.grad.float())
    assert grads[0].abs().max() > 0.1
    torch.testing.assert_close(grads[1], grads[0], rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(("weight", "in_rows"), [(0.002, False), (0.0005, True), (0.0, True)])
def test_only_a_small_weight_costs_a_backward_pass_per_task(weight, in_rows):
    net, weights = Net(), torch.tensor([1.0, weight, 1.0], dtype=torch.float64)
    report = net.step(aggregate=fm.Constant(weights), combine="erm").backward([net.batch()])
    assert (report.gramian is not None) == in_rows
    loss = fm.decompose(*net.batch(), net.shared, net.head_lists, rho=0.0).loss
    net.step(aggregate=fm.Constant(weights), combine="erm").backward([net.batch()])
    close(flatten([p.grad for p in net.shared]), weights / weights.sum() @ loss)
