"""What other people's bug reports do to a step: each pass begins alike, and bad input is named."""

import gc
import pickle
import random
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import flatmtl_lite as fm
from flatmtl_lite.state import host_states, set_host_states
from tests.methods import every_method
from tests.optim.nets import Net, close, everything

TINY = 1e-6


class Case:
    """A trunk, two heads, and a batch, in float64."""

    def __init__(self, *layers, dtype=torch.float64):
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(8, 16), *layers).to(dtype)
        self.heads = nn.ModuleList(nn.Linear(16, 1) for _ in range(2)).to(dtype)
        self.x, self.y = torch.randn(12, 8, dtype=dtype), torch.randn(2, 12, 1, dtype=dtype)

    def parameters(self):
        return [*self.trunk.parameters(), *self.heads.parameters()]

    def losses(self):
        return [lambda z, i=i: nn.functional.mse_loss(self.heads[i](z), self.y[i]) for i in range(2)]

    def step(self, **options):
        heads = [head.parameters() for head in self.heads]
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        options = {"aggregate": fm.CAGrad(), "rho": TINY, **options}
        return fm.FlatMTL(optimizer, self.trunk.parameters(), heads, **options)


def begins_alike(report):
    """Whether the flat part is as small as a step of length 1e-6 makes it; more is another pass's state."""
    if report.flat_norms is None:
        return bool(((report.perturbed_losses / report.losses - 1).abs() < 1e-4).all())
    return bool((report.flat_norms / report.norms < 1e-4).all())


# every pass begins with the same state --------------------------------------------------------------------


@pytest.mark.parametrize("compiled", ["module", "in place", "block", "head", "function"])
@pytest.mark.parametrize("rule", ["erm", "decomposed"])
@pytest.mark.filterwarnings("ignore:Using `torch.compile", "ignore:The .grad attribute of a Tensor")
def test_compiled_parts_train_as_eager_ones_do(rule, compiled):
    eager, case = Case(nn.BatchNorm1d(16), nn.Tanh()), Case(nn.BatchNorm1d(16), nn.Tanh())
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    features, heads = lambda: case.trunk(case.x), list(case.heads)
    if compiled == "module":
        trunk = torch.compile(case.trunk, backend="eager")
        features = lambda: trunk(case.x)  # noqa: E731
    elif compiled == "in place":
        case.trunk.compile(backend="eager")
    elif compiled == "block":
        case.trunk[0].compile(backend="eager")
    elif compiled == "head":
        heads = [torch.compile(head, backend="eager") for head in heads]
    else:
        run = torch.compile(lambda x: case.trunk(x), backend="eager")
        features = lambda: run(case.x)  # noqa: E731
    losses = [lambda z, i=i: nn.functional.mse_loss(heads[i](z), case.y[i]) for i in range(2)]
    step, twin = case.step(rho=0.1, combine=rule), eager.step(rho=0.1, combine=rule)
    for _ in range(2):
        step(features, losses)
        twin(lambda: eager.trunk(eager.x), eager.losses())
    close(case.parameters(), eager.parameters())
    close(list(case.trunk.buffers()), list(eager.trunk.buffers()))
    assert not nn.modules.module._global_forward_pre_hooks
    if compiled in ("module", "head"):
        assert not torch._dynamo.utils.counters["graph_break"]  # the compiler met no hook


@pytest.mark.parametrize("combine", ["decomposed", "direct"])
@pytest.mark.parametrize("perturb", ["task", "mean"])
def test_a_module_that_writes_a_buffer_begins_every_pass_with_the_same(perturb, combine):
    case = Case(nn.Tanh())
    case.trunk[0] = torch.nn.utils.spectral_norm(case.trunk[0])
    step = case.step(combine=combine, perturb=perturb)
    report = step.backward([(lambda: case.trunk(case.x), case.losses())])
    assert begins_alike(report)


def test_a_shared_block_in_two_heads_begins_each_head_as_in_the_clean_pass():
    case = Case(nn.Tanh())
    block = torch.nn.utils.spectral_norm(nn.Linear(16, 16).double())
    losses = [lambda z, i=i: (case.heads[i](block(z)) - case.y[i]).square().mean() for i in range(2)]
    parameters = [*case.parameters(), *block.parameters()]
    shared = [*case.trunk.parameters(), *block.parameters()]
    heads = [head.parameters() for head in case.heads]
    step = fm.FlatMTL(torch.optim.SGD(parameters, lr=0.1), shared, heads, fm.CAGrad(), rho=TINY)
    for batches in (1, 2):
        report = step.backward([(lambda: case.trunk(case.x), losses)] * batches)
        assert begins_alike(report)


@pytest.mark.parametrize(
    "draw", [random.random, np.random.rand, np.random.randn, lambda: torch.rand(()).item()]
)
@pytest.mark.parametrize("where", ["trunk", "head"])
def test_every_pass_draws_the_same_numbers(where, draw):
    """As numpy's mixup does; a single normal draw leaves a second one in store."""
    case = Case(nn.Tanh())
    factor = {
        "trunk": lambda: 1 + draw() if where == "trunk" else 1.0,
        "head": lambda: 1 + draw() if where == "head" else 1.0,
    }
    losses = [lambda z, loss=loss: factor["head"]() * loss(z) for loss in case.losses()]
    step = case.step()
    for _ in range(3):
        report = step.backward([(lambda: factor["trunk"]() * case.trunk(case.x), losses)] * 2)
        assert begins_alike(report)


def test_after_a_step_the_host_generators_are_as_after_one_clean_pass():
    case = Case()

    def draws():
        return random.random() + np.random.rand()  # noqa: NPY002

    before = host_states()
    expected = [draws(), draws()]
    set_host_states(before)
    case.step().backward([(lambda: draws() * case.trunk(case.x), case.losses())])
    assert draws() == expected[1]
    set_host_states(before)
    with pytest.raises(ZeroDivisionError):
        case.step().backward(
            [(lambda: draws() * case.trunk(case.x), [lambda z: draws() / 0, case.losses()[1]])]
        )
    assert draws() == expected[0]


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_batch_statistics_under_checkpointing_are_as_after_one_clean_forward(micro_batches):
    case, twin = Case(nn.BatchNorm1d(16)), Case(nn.BatchNorm1d(16))
    for _ in range(micro_batches):
        twin.trunk(twin.x)
    batch = (lambda: checkpoint(case.trunk, case.x, use_reentrant=False)), case.losses()
    case.step(rho=0.1).backward([batch] * micro_batches)
    assert case.trunk[1].num_batches_tracked == micro_batches
    close(list(case.trunk.buffers()), list(twin.trunk.buffers()))


# losses ---------------------------------------------------------------------------------------------------


def test_a_loss_that_changes_z_in_place_is_named():
    case = Case()
    losses = [lambda z: case.losses()[0](z.clamp_(0)), case.losses()[1]]
    with pytest.raises(ValueError, match=r"loss of task 0 changed z in place.*z\.clamp\(0\)"):
        case.step().backward([(lambda: {"z": case.trunk(case.x)}["z"], losses)])


@every_method
@pytest.mark.parametrize("rule", ["erm", "decomposed"])
def test_a_loss_that_is_not_finite_counts_though_its_gradient_is_zero(name, make, rule):
    """The mean over an empty mask."""
    net = Net(tasks=3)
    features, losses = net.batch()
    losses[1] = lambda z: (
        net.loss(1, z)[torch.zeros((), dtype=torch.bool)].sum() * 0 + torch.tensor(torch.nan) + 0 * z.sum()
    )
    step = net.step(aggregate=make(name), combine=rule, rho=0.1)
    before = everything(net)
    with pytest.raises(fm.NonFiniteGradient, match="loss of task 1 holds NaN"):
        step(features, losses)
    assert everything(net) == before
    step = net.step(aggregate=make(name), combine=rule, rho=0.1, on_nonfinite="skip")
    assert step(features, losses).skipped


def test_a_skipped_step_leaves_no_gradient_to_apply():
    net = Net()
    step = net.step(on_nonfinite="skip", rho=0.1)
    step.backward([net.batch()])
    features, losses = net.batch()
    losses[0] = lambda z: net.loss(0, z) * torch.nan
    assert step.backward([(features, losses)]).skipped
    assert all(p.grad is None for p in net.parameters())


# parameters and optimizers --------------------------------------------------------------------------------


def test_a_head_that_no_optimizer_has_is_refused_and_backward_stays_free():
    net = Net()
    optimizer = torch.optim.SGD([*net.shared, *net.heads[0].parameters()], lr=0.1)
    step = fm.FlatMTL(optimizer, net.shared, net.head_lists, rho=0.1)
    before = everything(net)
    with pytest.raises(
        ValueError, match=r"shape \(2, 3\) of the head of task 1 is not in the optimizer.*step.backward"
    ):
        step(*net.batch())
    assert everything(net) == before
    step.backward([net.batch()])
    assert net.heads[2].weight.grad is not None


def test_an_old_graph_is_refused_with_the_way_out():
    case = Case(nn.Tanh())
    z = case.trunk(case.x)
    before = [p.clone() for p in case.parameters()]
    with pytest.raises(
        ValueError, match=r"features\(\) to run the trunk each time it is called.*not z = trunk"
    ):
        case.step(rho=0.1)(lambda: z, case.losses())
    close(case.parameters(), before)


def test_an_optimizer_that_needs_a_closure_points_to_backward():
    case = Case()
    step = case.step(rho=0.1)
    step.optimizer = torch.optim.LBFGS(case.parameters())
    with pytest.raises(ValueError, match=r"Got LBFGS, whose step calls a closure.*step\.backward"):
        step(lambda: case.trunk(case.x), case.losses())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Parameter(torch.ones(3, dtype=torch.complex64)),
            r"complex64; expected real.*view_as_real",
        ),
        (lambda: nn.Parameter(torch.ones(1).expand(3)), r"shares memory among its entries.*clone"),
        (lambda: nn.LazyLinear(3).weight, r"has no shape yet; expected one. Run the network"),
    ],
)
@pytest.mark.parametrize("place", ["shared", "head"])
def test_parameters_that_cannot_be_perturbed_are_refused_at_once(make, message, place):
    net, odd = Net(), make()
    shared, heads = net.shared, net.head_lists
    (shared if place == "shared" else heads[0]).append(odd)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=message):
        fm.FlatMTL(optimizer, shared, heads)
    with pytest.raises(ValueError, match=message):
        fm.decompose(*net.batch(), shared, heads)


def test_a_sparse_embedding_trains_with_dense_gradients_and_sparse_adam_is_refused():
    torch.manual_seed(0)
    words, dense = nn.Embedding(7, 4, sparse=True), nn.Embedding(7, 4)
    dense.load_state_dict(words.state_dict())
    head = [nn.Parameter(torch.randn(4)) for _ in range(2)]
    index = torch.tensor([1, 2, 2, 5])
    gradients = []
    for table in (words, dense):
        step = fm.FlatMTL(
            torch.optim.SGD([*table.parameters(), *head], lr=0.1), table.parameters(), [[h] for h in head]
        )
        step.backward(
            [(lambda table=table: table(index), [lambda z, h=h: (z @ h).square().mean() for h in head])] * 2
        )
        gradients.append(table.weight.grad.clone())
    close(gradients[0], gradients[1], rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match=r"Got SparseAdam, which needs sparse gradients.*Take Adam"):
        fm.FlatMTL(torch.optim.SparseAdam(words.parameters()), words.parameters(), [[h] for h in head])


# the same batch -------------------------------------------------------------------------------------------


def test_features_that_give_another_batch_at_each_call_are_found_out():
    case, batches = Case(), iter(torch.randn(9, 12, 8, dtype=torch.float64))
    before = [p.clone() for p in case.parameters()]
    with pytest.raises(
        ValueError, match=r"loss of task 0 was .*called again at the same weights.*Draw the batch outside"
    ):
        case.step(rho=0.1)(lambda: case.trunk(next(batches)), case.losses())
    close(case.parameters(), before)


def test_a_hidden_state_that_lives_on_between_calls_is_found_out():
    torch.manual_seed(0)
    cell, heads, state = nn.RNNCell(3, 4), [nn.Linear(4, 1) for _ in range(2)], {}

    def features():
        state["h"] = cell(torch.ones(2, 3), state["h"].detach() if state else None)
        return state["h"]

    optimizer = torch.optim.SGD([*cell.parameters(), *(p for h in heads for p in h.parameters())], lr=0.1)
    step = fm.FlatMTL(optimizer, cell.parameters(), [h.parameters() for h in heads], rho=0.1)
    with pytest.raises(ValueError, match="let them keep no state between calls"):
        step(features, [lambda z, h=h: h(z).square().mean() for h in heads])


def test_one_task_is_told_how_to_list_its_parameters():
    net = Net(tasks=1)
    with pytest.raises(ValueError, match=r"heads=\[\[\]\] if everything is shared"):
        fm.decompose(*net.batch())


# what a step must not do to others --------------------------------------------------------------------------


class Remembers(fm.Aggregator):
    """Counts its calls in a buffer, draws a number, and keeps the rows."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.rows, self.draws = [], []

    def forward(self, G, losses=None):
        self.calls += 1
        self.rows.append(G)
        self.draws.append(torch.rand(()).item())
        return G.mean(0)


def test_an_aggregator_of_ones_own_keeps_its_buffers_its_draws_and_the_rows_it_saw():
    net, aggregate = Net(), Remembers()
    step = net.step(aggregate=aggregate, combine="erm")
    for part in (slice(0, 4), slice(4, 8)):
        step.backward([net.batch(part)])
    assert aggregate.calls == 2
    assert aggregate.draws[0] != aggregate.draws[1]
    first = fm.decompose(*net.batch(slice(0, 4)), net.shared, net.head_lists, rho=0.0)
    close(aggregate.rows[0], first.loss)


def test_a_pickled_step_goes_on_as_the_original():
    net = Net()
    step = net.step(rho=0.3)
    step.backward([net.batch()])
    twin, its_step = pickle.loads(pickle.dumps((net, step)))
    for case, its in ((net, step), (twin, its_step)):
        its.backward([case.batch(slice(0, 4))])
    close(net.gradients(), twin.gradients())


def test_a_buffer_that_the_first_forward_makes_is_as_after_one_clean_pass():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", None)

        def forward(self, x):
            self.mean = x.detach().mean() if self.mean is None else self.mean + x.detach().mean()
            return x + self.mean

    case, twin = Case(Mean()), Case(Mean())
    twin.trunk(twin.x)
    report = case.step().backward([(lambda: case.trunk(case.x), case.losses())])
    assert begins_alike(report)
    close(case.trunk[1].mean, twin.trunk[1].mean)


def test_a_loss_that_is_none_in_one_pass_only_is_an_error():
    net, calls = Net(), []
    features, losses = net.batch()
    step = net.step(rho=0.3)
    step.backward([(features, losses)])
    losses[1] = lambda z: calls.append(1) or (net.loss(1, z) if len(calls) == 1 else None)
    with pytest.raises(ValueError, match=r"losses of tasks \[1\] were None in one pass of the step and not"):
        step.backward([(features, losses)])


@pytest.mark.parametrize("adaptive", [False, True])
def test_small_gradients_in_half_precision_move_the_weights_as_far(adaptive):
    case = Case(dtype=torch.float32)
    weights = [p.detach().clone() for p in case.trunk.parameters()]
    case.trunk.half(), case.heads.half()
    case.x, case.y = case.x.half(), case.y.half()
    moved = []

    def features():
        moved.append(torch.cat([p.detach().float().flatten() for p in case.trunk.parameters()]))
        return case.trunk(case.x)

    losses = [lambda z, loss=loss: loss(z).float() * 3e-4 for loss in case.losses()]
    case.step(rho=0.5, adaptive=adaptive).backward([(features, losses)])
    theta = torch.cat([w.half().float().flatten() for w in weights])
    epsilon = moved[-1] - theta
    length = (epsilon / theta).nan_to_num(0.0).norm() if adaptive else epsilon.norm()
    assert 0.4 < length < 0.6


def test_numbers_drawn_in_a_later_micro_batch_only_are_the_same_in_every_pass():
    case = Case(nn.Tanh())
    plain = (lambda: case.trunk(case.x)), case.losses()
    noisy = (lambda: (1 + random.random()) * case.trunk(case.x)), case.losses()
    step = case.step()
    step.backward([plain, plain])
    assert begins_alike(step.backward([plain, noisy]))


def test_the_batch_is_free_after_a_step():
    case = Case()
    step = case.step(rho=0.1)
    x = case.x.clone()
    alive = weakref.ref(x)
    gc.disable()
    try:
        step.backward([(lambda x=x: case.trunk(x), case.losses())])
        del x
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("aggregate", [fm.Mean(), fm.CAGrad(), fm.SI()])
@pytest.mark.parametrize("combine", ["erm", "decomposed"])
def test_a_micro_batch_without_any_task_adds_nothing(aggregate, combine):
    net = Net()
    features = net.batch()[0]
    empty = features, [lambda z: None] * 3
    alone, both = Net(), Net()
    options = {"combine": combine, "rho": 0.3}
    alone.step(aggregate=aggregate, **options).backward([alone.batch()])
    both.step(aggregate=aggregate, **options).backward([(both.batch()[0], empty[1]), both.batch()])
    close(alone.gradients(), both.gradients())
    with pytest.raises(ValueError, match="All losses are None"):
        net.step(aggregate=aggregate, **options).backward([empty])


def test_parts_that_touch_in_memory_but_have_storages_of_their_own_are_joined():
    both = np.ones((4, 10))
    d = fm.Decomposition(torch.from_numpy(both[:2]), torch.from_numpy(both[2:]))
    assert d.gramian.tolist() == [[10.0] * 4] * 4


def test_parameters_that_the_optimizer_gets_later_are_its_own():
    net = Net()
    optimizer = torch.optim.SGD([*net.shared, *net.heads[0].parameters(), *net.heads[1].parameters()], lr=0.1)
    step = fm.FlatMTL(optimizer, net.shared, net.head_lists, rho=0.1)
    optimizer.add_param_group({"params": list(net.heads[2].parameters())})
    step(*net.batch())


def test_another_bit_generator_of_numpy_is_put_back():
    legacy = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(0))
        before = host_states()
        expected = np.random.rand()  # noqa: NPY002
        set_host_states(before)
        assert np.random.rand() == expected  # noqa: NPY002
    finally:
        np.random.set_bit_generator(legacy)


def test_a_gradient_does_not_lie_in_a_memory_that_the_aggregator_returned():
    class Momentum(fm.Aggregator):
        def forward(self, G, losses=None):
            self.memory = G.mean(0)
            return self.memory

    net, aggregate = Net(), Momentum()
    net.step(aggregate=aggregate, combine="erm").backward([net.batch()])
    before = aggregate.memory.clone()
    nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
    assert aggregate.memory.equal(before)
