"""Task gradients: every row and head, the split found from the graph, random numbers that repeat."""

from functools import partial

import pytest
import torch
from torch import nn

import flatmtl_lite as fm
from flatmtl_lite.gradients import (
    MicroBatch,
    TrunkAndHeads,
    flatten,
    task_gradients,
    unflatten,
)
from flatmtl_lite.one_pass import weighted_gradients
from flatmtl_lite.state import generator_states, set_generators


class Net(nn.Module):
    """A smooth trunk and three heads on fixed data, in float64; ``start`` and ``stop`` pick samples."""

    def __init__(self, tasks=3):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        self.heads = nn.ModuleList(nn.Linear(3, 2) for _ in range(tasks))
        self.x, self.y = torch.randn(12, 4), torch.randn(tasks, 12, 2)
        self.double()
        self.x, self.y = self.x.double(), self.y.double()

    def features(self, start=0, stop=12):
        return self.trunk(self.x[start:stop])

    def loss(self, i, z, start=0, stop=12):
        return nn.functional.mse_loss(self.heads[i](z), self.y[i, start:stop])

    def losses(self, start=0, stop=12):
        return [partial(self.loss, i, start=start, stop=stop) for i in range(len(self.heads))]

    def task_pass(self, start=0, stop=12):
        return MicroBatch(partial(self.features, start, stop), self.losses(start, stop))

    @property
    def shared(self):
        return list(self.trunk.parameters())

    @property
    def head_lists(self):
        return [list(head.parameters()) for head in self.heads]

    @property
    def split(self):
        return TrunkAndHeads(self.shared, self.head_lists)


@pytest.fixture
def net():
    return Net()


def scalars(*values):
    """Leaf parameters with one entry each."""
    return [nn.Parameter(torch.tensor([float(value)])) for value in values]


def expected_gradients(net, i):
    """Gradient of task i's loss for the trunk and for head i, straight from autograd."""
    loss = net.loss(i, net.features())
    grads = torch.autograd.grad(loss, net.shared + net.head_lists[i])
    k = len(net.shared)
    return flatten(grads[:k]), flatten(grads[k:])


# rows and heads ---------------------------------------------------------------------------------------------


def test_rows_and_heads_are_the_gradients_of_each_loss(net):
    found = task_gradients([net.task_pass()], net.split, range(3))
    assert found.shared.shape == (3, 4 * 5 + 5 + 5 * 3 + 3)
    for i in range(3):
        trunk, head = expected_gradients(net, i)
        torch.testing.assert_close(found.shared[i], trunk, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.heads[i], head, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.losses[i], net.loss(i, net.features()).detach())
    assert not found.losses.requires_grad


def test_rows_come_in_the_order_of_the_tasks_asked_for(net):
    found = task_gradients([net.task_pass()], net.split, [2, 0])
    for row, i in enumerate([2, 0]):
        trunk, head = expected_gradients(net, i)
        torch.testing.assert_close(found.shared[row], trunk, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.heads[row], head, rtol=1e-12, atol=0)


def test_a_shared_parameter_inside_one_loss_gives_zeros_to_the_other_tasks():
    """MTAN's attention modules are counted as shared, though only their own task uses them."""
    trunk, attention = scalars(2, 3)
    losses = [lambda z: (z * attention).sum(), lambda z: (5 * z).sum()]
    found = task_gradients(
        [MicroBatch(lambda: trunk * 1, losses)], TrunkAndHeads([trunk, attention], [[], []]), [0, 1]
    )
    assert found.shared.tolist() == [[3, 2], [5, 0]]


@pytest.mark.parametrize("weighted", [False, True])
def test_micro_batches_are_averaged(net, weighted):
    def gradients(batches):
        groups = TrunkAndHeads(net.shared, net.head_lists)
        if weighted:
            total = weighted_gradients(batches, groups, lambda x: torch.tensor([0.5, 0.3, 0.2]).to(x))
        else:
            total = task_gradients(batches, groups, range(3))
        total.average()
        return total

    whole = gradients([net.task_pass()])
    averaged = gradients([net.task_pass(0, 4), net.task_pass(4, 8), net.task_pass(8, 12)])
    torch.testing.assert_close(averaged.shared, whole.shared, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(averaged.heads, whole.heads, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(averaged.losses, whole.losses, rtol=1e-10, atol=0)


def test_one_backward_does_for_known_weights_and_heads_follow_their_own_loss(net, monkeypatch):
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    seen, calls = [], []
    grad = torch.autograd.grad
    rows = torch.stack([expected_gradients(net, i)[0] for i in range(3)])
    heads = [expected_gradients(net, i)[1] for i in range(3)]
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))
    found = weighted_gradients([net.task_pass()], net.split, lambda x: seen.append(x) or weights)
    assert len(calls) == 1
    torch.testing.assert_close(seen[0], found.losses)
    torch.testing.assert_close(found.shared, (weights @ rows).unsqueeze(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.heads, heads, rtol=1e-12, atol=0)


def test_no_micro_batch_is_an_error(net):
    with pytest.raises(ValueError, match="Got no micro-batch; expected at least one"):
        task_gradients([], net.split, range(3))


def test_a_tensor_that_is_not_a_parameter_may_stay_out_of_explicit_lists():
    (w,) = scalars(3)
    target = torch.ones(1, requires_grad=True)
    gradients = task_gradients([MicroBatch(lambda: w * target, [torch.sum])], TrunkAndHeads([w], [[]]), [0])
    assert gradients.shared.tolist() == [[1]]


def test_a_micro_batch_runs_the_trunk_once_and_only_the_heads_asked_for(net):
    ran = []
    losses = [lambda z, i=i: ran.append(i) or net.loss(i, z) for i in range(3)]
    batch = MicroBatch(lambda: ran.append("trunk") or net.features(), losses)
    task_gradients([batch], net.split, range(3))
    assert ran == ["trunk", 0, 1, 2]
    ran.clear()
    task_gradients([batch], net.split, [1])
    assert ran == ["trunk", 1]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_loss_with_one_entry_is_a_scalar(shape):
    (w,) = scalars(3)
    losses = [lambda z: (z**2).reshape(shape)]
    found = task_gradients([MicroBatch(lambda: w * 1, losses)], TrunkAndHeads([w], [[]]), [0])
    assert found.shared.tolist() == [[6]]
    assert found.losses.tolist() == [9]


@pytest.mark.parametrize("wrap", [lambda z: (z, 1), lambda z: {"deep": [z], "shape": (3,)}])
def test_z_is_opaque(net, wrap):
    def unwrap(z):
        return z["deep"][0] if isinstance(z, dict) else z[0]

    losses = [lambda z, i=i: net.loss(i, unwrap(z)) for i in range(3)]
    found = task_gradients([MicroBatch(lambda: wrap(net.features()), losses)], TrunkAndHeads(), range(3))
    plain = task_gradients([net.task_pass()], TrunkAndHeads(), range(3))
    assert found.shared.equal(plain.shared)


def test_flatten_copies_and_unflatten_gives_views_in_every_memory_format():
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = [torch.randn(3, 2), image, torch.randn(()), torch.randn(0, 5)]
    vector = flatten(tensors)
    assert vector.shape == (6 + 96 + 1,)
    for back, tensor in zip(unflatten(vector, tensors), tensors, strict=True):
        assert back.equal(tensor)
    unflatten(vector, tensors)[0].zero_()
    assert not vector[:6].any()
    assert tensors[0].any()
    assert flatten([]).shape == (0,)
    assert not flatten([nn.Parameter(torch.ones(2))]).requires_grad
    assert unflatten(torch.zeros(0), []) == []


# trunk and heads from the graph -----------------------------------------------------------------------------


def test_found_lists_are_the_explicit_ones(net):
    split = TrunkAndHeads()
    found = task_gradients([net.task_pass()], split, range(3))
    assert set(split.shared) == set(net.shared)
    assert [set(head) for head in split.heads] == [set(head) for head in net.head_lists]
    # the same gradients, parameter by parameter: the order may differ
    for i in range(3):
        trunk, head = expected_gradients(net, i)
        by_parameter = dict(zip(split.shared, unflatten(found.shared[i], split.shared), strict=True))
        torch.testing.assert_close(flatten([by_parameter[p] for p in net.shared]), trunk)
        by_parameter = dict(zip(split.heads[i], unflatten(found.heads[i], split.heads[i]), strict=True))
        torch.testing.assert_close(flatten([by_parameter[p] for p in net.head_lists[i]]), head)


def test_decompose_finds_the_lists(net):
    found = fm.decompose(net.features, net.losses(), rho=0.1)
    given = fm.decompose(net.features, net.losses(), net.shared, net.head_lists, rho=0.1)
    for name in ("loss", "flat"):
        one, other = getattr(found, name), getattr(given, name)
        torch.testing.assert_close(one @ one.mT, other @ other.mT, rtol=1e-10, atol=1e-14)
    sizes = [sorted(g.shape for g in head) for head in given.head_grads]
    assert [sorted(g.shape for g in head) for head in found.head_grads] == sizes


def test_found_parameters_keep_the_order_of_the_names(net):
    names = dict(reversed([(p, name) for name, p in net.named_parameters()]))
    split = TrunkAndHeads(trained=names)
    task_gradients([net.task_pass()], split, range(3))
    assert split.shared == list(reversed(net.shared))


@pytest.mark.parametrize("given", ["shared", "heads"])
def test_one_list_may_be_left_out(net, given):
    split = TrunkAndHeads(net.shared) if given == "shared" else TrunkAndHeads(heads=net.head_lists)
    task_gradients([net.task_pass()], split, range(3))
    assert set(split.shared) == set(net.shared)
    assert [set(head) for head in split.heads] == [set(head) for head in net.head_lists]


def test_a_task_without_a_head(net):
    trunk, head = scalars(2, 3)
    losses = [lambda z: (z * head).sum(), lambda z: (z**2).sum()]
    for split in (TrunkAndHeads(), TrunkAndHeads([trunk], [[head], []])):
        found = task_gradients([MicroBatch(lambda: trunk * 1, losses)], split, [0, 1])
        assert found.shared.tolist() == [[3], [4]]
        assert [h.tolist() for h in found.heads] == [[2], []]
        assert split.heads == [[head], []]


def test_frozen_parameters_are_left_out(net):
    net.heads.requires_grad_(False)
    net.trunk[0].requires_grad_(False)
    for split in (TrunkAndHeads(), TrunkAndHeads(net.trunk[2].parameters(), [[], [], []])):
        found = task_gradients([net.task_pass()], split, range(3))
        assert set(split.shared) == set(net.trunk[2].parameters())
        assert found.shared.shape == (3, 5 * 3 + 3)
        assert [h.shape for h in found.heads] == [(0,)] * 3


def test_a_frozen_trunk_is_an_error_when_found_and_when_given(net):
    net.trunk.requires_grad_(False)
    message = r"No parameter is shared.*expected at least one.*trunk is not frozen"
    with pytest.raises(ValueError, match=message):
        TrunkAndHeads([p for p in net.shared if p.requires_grad], net.head_lists)
    split = TrunkAndHeads()
    for _ in range(2):  # the second time is no different: nothing half-found is kept
        with pytest.raises(ValueError, match=message):
            task_gradients([net.task_pass()], split, range(3))


def two_of_three():
    """A pass where the losses of tasks 0 and 2 of 3 reach ``between``."""
    trunk, between, *heads = scalars(1, 2, 3, 4, 5)
    losses = [
        lambda z: (z * between * heads[0]).sum(),
        lambda z: (z * heads[1]).sum(),
        lambda z: (z * between * heads[2]).sum(),
    ]
    return MicroBatch(lambda: trunk * 1, losses), trunk, between, heads


def test_a_parameter_that_some_losses_reach_is_an_error_naming_it_and_the_tasks():
    batch, _, between, _ = two_of_three()
    with pytest.raises(
        ValueError, match=r"'between' is in neither.*tasks \[0, 2\] of 3.*whole trunk in shared="
    ):
        task_gradients([batch], TrunkAndHeads(trained={between: "'between'"}), range(3))


def test_after_a_failed_search_the_next_one_starts_afresh():
    batch, trunk, between, heads = two_of_three()
    split = TrunkAndHeads()
    with pytest.raises(ValueError, match="neither"):
        task_gradients([batch], split, range(3))
    assert (split.shared, split.heads) == ([], [])
    between.requires_grad_(False)  # what the message suggests
    task_gradients([batch], split, range(3))
    assert split.shared == [trunk]
    assert split.heads == [[head] for head in heads]


def test_the_right_place_for_such_a_parameter_is_shared():
    batch, trunk, between, heads = two_of_three()
    found = task_gradients([batch], TrunkAndHeads([trunk, between], [[head] for head in heads]), range(3))
    assert found.shared.tolist() == [[6, 3], [4, 0], [10, 5]]


@pytest.mark.parametrize("forgotten", ["trunk", "head"])
def test_a_parameter_in_neither_list_is_an_error_naming_it_and_the_tasks(net, forgotten):
    shared, heads, message = net.shared, net.head_lists, r"of shape \(.*neither.*tasks \[1\] of 3"
    if forgotten == "trunk":
        del shared[0]
        message = r"of shape \(.*neither.*tasks \[0, 1, 2\] of 3"
    else:
        del heads[1][1]
    with pytest.raises(ValueError, match=message):
        task_gradients([net.task_pass()], TrunkAndHeads(shared, heads), range(3))


def test_a_trained_parameter_in_neither_list_is_an_error_at_once(net):
    names = {p: name for name, p in net.named_parameters()}
    with pytest.raises(ValueError, match=r"heads.0.weight is in neither shared nor heads"):
        TrunkAndHeads(net.shared, [[], *net.head_lists[1:]], names)


def test_a_head_that_another_tasks_loss_uses_is_an_error(net):
    """Heads given in another order than the losses: their gradients would all be zero, without a word."""
    swapped = [net.head_lists[1], net.head_lists[0], net.head_lists[2]]
    split = TrunkAndHeads(net.shared, swapped, {p: name for name, p in net.named_parameters()})
    with pytest.raises(ValueError, match=r"heads.[01].weight.*head of task [01].*tasks? \[?[01]"):
        task_gradients([net.task_pass()], split, range(3))


def test_a_head_that_a_later_task_uses_too_is_an_error(net):
    losses = net.losses()
    losses[2] = lambda z: net.loss(2, z) + net.heads[0](z).mean()
    with pytest.raises(ValueError, match=r"listed in the head of task 0, but.*tasks \[0, 2\] reach it"):
        task_gradients([MicroBatch(net.features, losses)], net.split, range(3))


# bad lists --------------------------------------------------------------------------------------------------


def test_a_parameter_listed_twice_is_an_error(net):
    w = net.shared[0]
    names = {w: "'trunk.0.weight'"}
    with pytest.raises(ValueError, match=r"'trunk.0.weight' is listed in shared and again in shared"):
        TrunkAndHeads([w, w], net.head_lists, names)
    with pytest.raises(ValueError, match=r"listed in shared and again in the head of task 1"):
        TrunkAndHeads(net.shared, [[], [w]], names)
    with pytest.raises(ValueError, match=r"the head of task 0 and again in the head of task 1.*belongs to"):
        TrunkAndHeads(net.shared[1:], [[w], [w]], names)


def test_without_a_name_the_shape_is_named(net):
    with pytest.raises(ValueError, match=r"parameter of shape \(5, 4\) is listed in"):
        TrunkAndHeads([net.shared[0]] * 2, [[]])


@pytest.mark.parametrize(
    "entry",
    [
        nn.Parameter(torch.ones(2), requires_grad=False),
        nn.Parameter(torch.ones(2)) * 2,
        ("weight", nn.Parameter(torch.ones(2))),
        nn.Linear(2, 2),
    ],
    ids=["frozen", "no leaf", "named", "module"],
)
def test_an_entry_that_is_no_trainable_parameter_is_an_error(net, entry):
    with pytest.raises(ValueError, match=r"An entry of shared is a .*expected parameters"):
        TrunkAndHeads([*net.shared, entry], net.head_lists)
    with pytest.raises(ValueError, match=r"An entry of the head of task 2 is a .*expected parameters"):
        TrunkAndHeads(net.shared, [[], [], [entry]])


def test_shared_parameters_of_two_dtypes_are_an_error(net):
    with pytest.raises(ValueError, match=r"shared parameters differ.*float32.*float64.*expected one dtype"):
        TrunkAndHeads([*net.shared, *scalars(1)], net.head_lists)


def test_heads_may_have_a_dtype_of_their_own():
    (w,) = scalars(3)
    head = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    losses = [lambda z: (z.double() * head).sum()]
    d = fm.decompose(lambda: w * 1, losses, [w], [[head]], rho=0.5)
    assert (d.loss.dtype, d.head_grads[0][0].dtype) == (torch.float32, torch.float64)
    assert d.sam.tolist() == [[2.5]]
    assert d.head_grads[0][0].tolist() == [3.5]


@pytest.mark.parametrize("lists", [{}, {"shared": "trunk"}, {"heads": "head"}])
def test_one_task_needs_both_lists(lists):
    trunk, head = scalars(1, 2)
    given = {"shared": [trunk], "heads": [[head]]}
    kept = {name: given[name] for name in lists}
    with pytest.raises(ValueError, match=r"one task.*cannot tell trunk from head.*shared=.*heads="):
        fm.decompose(lambda: trunk * 1, [lambda z: (z * head).sum()], **kept)


# bad closures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_wrong_number_of_losses_is_an_error(net, count):
    losses = (net.losses() * 2)[:count]
    with pytest.raises(ValueError, match=rf"Got {count} losses but 3 heads.*empty list as its head"):
        fm.decompose(net.features, losses, net.shared, net.head_lists)


@pytest.mark.parametrize("lists", [True, False])
def test_no_losses_are_an_error(net, lists):
    split = (net.shared, net.head_lists) if lists else ()
    with pytest.raises(ValueError, match=r"empty list of losses; expected one callable"):
        fm.decompose(net.features, [], *split)


def test_losses_may_come_from_a_generator(net):
    """Read once: an exhausted iterator must not pass for an empty list."""
    assert len(MicroBatch(net.features, (loss for loss in net.losses())).losses) == 3


def test_features_that_cannot_be_called_are_an_error(net):
    with pytest.raises(ValueError, match=r"Got Tensor as features; expected a callable \(\) -> z"):
        MicroBatch(torch.ones(2), net.losses())


def test_a_loss_that_cannot_be_called_is_an_error(net):
    losses = [*net.losses()[:2], net.loss(2, net.features())]
    with pytest.raises(ValueError, match=r"Got Tensor as the loss of task 2; expected a callable"):
        MicroBatch(net.features, losses)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda z: z, r"loss of task 1 is \(12, 3\); expected one floating scalar.*\.mean\(\)"),
        (lambda z: 1.5, r"loss of task 1 is float; expected one floating scalar"),
        (lambda z: torch.tensor(3), r"loss of task 1 is .*; expected one floating scalar"),
        (lambda z: z.detach().sum(), r"loss of task 1 does not depend on any parameter.*detach"),
    ],
    ids=["vector", "number", "integer", "detached"],
)
def test_a_loss_without_a_scalar_or_a_graph_is_an_error(net, value, message):
    losses = net.losses()
    losses[1] = value
    with pytest.raises(ValueError, match=message):
        task_gradients([MicroBatch(net.features, losses)], net.split, range(3))


# random numbers ---------------------------------------------------------------------------------------------


def test_later_runs_draw_the_same_random_numbers_whichever_tasks_run():
    (w,) = scalars(1)
    drawn = []

    def draw(key, value):
        drawn.append((key, torch.rand(3).tolist()))
        return value

    losses = [lambda z, i=i: draw(i, z.sum()) for i in range(3)]
    batch = MicroBatch(lambda: draw("trunk", w * 1), losses)
    torch.manual_seed(0)
    batch.run([0, 1, 2])
    first = dict(drawn)
    assert len({tuple(numbers) for numbers in first.values()}) == 4
    for tasks in ([2], [1, 0], [0, 1, 2]):
        drawn.clear()
        torch.rand(7)  # whatever others draw in between
        batch.run(tasks)
        assert drawn == [(key, first[key]) for key in ["trunk", *tasks]]


def test_micro_batches_draw_numbers_of_their_own():
    (w,) = scalars(1)
    drawn = []
    features = [lambda k=k: drawn.append((k, torch.rand(()).item())) or w * 1 for k in range(2)]
    passes = [MicroBatch(f, [lambda z: z.sum()]) for f in features]
    split = TrunkAndHeads([w], [[]])
    task_gradients(passes, split, [0])
    task_gradients(passes, split, [0])
    assert drawn[:2] == drawn[2:]
    assert drawn[0][1] != drawn[1][1]


def test_generator_states_can_be_put_back():
    states = generator_states()
    numbers = torch.rand(3)
    set_generators(states)
    assert torch.rand(3).equal(numbers)
