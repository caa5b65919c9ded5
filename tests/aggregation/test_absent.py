"""Tasks may be absent from a step: the method sees the others, and its memory of the absent ones stays."""

import contextlib
import io
import itertools
import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation.base import state_kept
from flatmtl_lite.aggregation.memory import Remembering

T = 4
SUBSETS = [[0, 2], [1, 2, 3], [3], [3, 0], [2, 0, 3, 1]]
REMEMBERING = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, Remembering)]
LEARNED = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.LearnedWeighting)]
every_aggregator = pytest.mark.parametrize("name", fm.AGGREGATORS)
every_rememberer = pytest.mark.parametrize("name", REMEMBERING)
every_learner = pytest.mark.parametrize("name", LEARNED)
every_subset = pytest.mark.parametrize("tasks", SUBSETS, ids=str)
S = torch.tensor([0.3, -1.0, 2.0, 0.5])


@pytest.fixture
def make_short(make):
    """The function that makes an aggregator whose memory matters from the third step on."""

    def make_short(name, tasks=range(T)):
        A = make(name, len(tasks))
        if name in ("dwa", "stch"):
            A.window = 1
        for p in A.parameters():
            p.data = S[list(tasks)]
        return A

    return make_short


def problems(steps, seed=0, batch=()):
    """Return rows that partly agree (steps, ..., T, P), and losses > 0 (steps, ..., T)."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(steps, *batch, T + 1, 7, generator=generator, dtype=torch.float64)
    losses = torch.rand(steps, *batch, T, generator=generator, dtype=torch.float64) * 3 + 0.1
    return list(zip(rows[..., :T, :] + rows[..., T:, :], losses, strict=True))


def call(A, problem, tasks=None):
    """Return the direction for the present tasks of the problem; None: all tasks, without a block."""
    G, losses = problem
    if tasks is None:
        return step(A, G, losses)
    with A.present(tasks, T):
        return step(A, G[..., tasks, :], losses[..., tasks])


def step(A, G, losses):
    """Return the direction, and show the method later losses if it learns from them."""
    direction = A(G, losses=losses)
    if A.observes:
        A.observe(losses.sqrt())
    return direction


def bits(A):
    """Return the memory as integers, so that NaN equals NaN."""
    return {name: entry.clone().view(torch.int64) for name, entry in getattr(A, "memory", {}).items()}


def of_tasks(A, entry, tasks):
    """Return the part of a memory entry that knows of the given tasks alone."""
    for dim in A.task_dims:
        entry = entry.index_select(dim, torch.tensor(tasks))
    return entry


def averages_gradients(A):
    """Whether the direction follows running means, so that earlier gradients are a part of it."""
    return "gradients" in getattr(A, "remembers", ())


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_all_are_here():
    names = {"gradvac", "gradnorm", "db_mtl", "moco", "excess_mtl", "dwa", "slaw", "famo", "stch"}
    assert names == {*REMEMBERING}


# the reduced problem ----------------------------------------------------------------------------------------


@every_aggregator
@every_subset
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
def test_with_an_empty_memory_the_direction_is_that_of_the_reduced_problem(name, tasks, batch, make_short):
    [problem] = problems(1, batch=batch)
    G, losses = problem
    expected = make_short(name, tasks)(G[..., tasks, :], losses=losses[..., tasks])
    assert call(make_short(name), problem, tasks).equal(expected)


@every_rememberer
@every_subset
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
def test_with_a_memory_it_is_that_of_the_reduced_problem_with_the_reduced_memory(
    name, tasks, batch, make_short
):
    A, twin = make_short(name), make_short(name, tasks)
    for problem in problems(4, batch=batch):
        call(A, problem)
    twin.load_state_dict(A.state_dict())
    twin.memory = {key: of_tasks(A, entry, tasks) for key, entry in A.memory.items()}
    memory_matters = False
    for G, losses in problems(12, seed=1, batch=batch):
        reduced = G[..., tasks, :], losses[..., tasks]
        expected = step(twin, *reduced)
        assert call(A, (G, losses), tasks).equal(expected)
        assert same(bits(twin), {key: of_tasks(A, entry, tasks) for key, entry in bits(A).items()})
        forgetful = make_short(name, tasks)
        memory_matters |= not forgetful(reduced[0], losses=reduced[1]).equal(expected)
    assert memory_matters == (len(tasks) > 1 or averages_gradients(A))


@every_aggregator
def test_a_block_of_all_tasks_changes_nothing(name, make_short):
    A, twin = make_short(name), make_short(name)
    for problem in problems(5):
        assert call(A, problem, list(range(T))).equal(call(twin, problem))
        assert same(bits(A), bits(twin))


@every_aggregator
def test_a_step_that_is_undone_leaves_no_trace_in_later_full_steps(name, make_short):
    A, twin = make_short(name), make_short(name)
    for k, problem in enumerate(problems(6)):
        with state_kept(A):
            call(A, problem, SUBSETS[k % len(SUBSETS)])
        assert call(A, problem).equal(call(twin, problem))


# memory -----------------------------------------------------------------------------------------------------


def moves(A, key, tasks):
    """Whether a step with these tasks changes the entry. Shares of one task alone, or a first value, stay."""
    is_of_pairs, name = len(A.task_dims) > 1, key.split()[-1]
    return name not in ("total", "count", "baseline", "initial", "nadir") and (
        len(tasks) > 1 or not (is_of_pairs or name == "weights")
    )


@every_rememberer
@pytest.mark.parametrize("tasks", SUBSETS[:3], ids=str)
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
def test_the_memory_of_absent_tasks_stays_bit_for_bit(name, tasks, batch, make_short):
    A = make_short(name)
    *first, problem = problems(5, batch=batch)
    for other in first:
        call(A, other)
    before, held = bits(A), A.memory
    call(A, problem, tasks)
    after = bits(A)
    assert sorted(after) == sorted(before)
    for key, entry in after.items():
        known = torch.zeros(entry.shape, dtype=torch.bool)
        places = itertools.product(tasks, repeat=len(A.task_dims))
        of_parameters = [slice(None)] * (-1 not in A.task_dims)
        for place in places:
            known[(..., *place, *of_parameters)] = True
        assert entry[~known].equal(before[key][~known])
        if moves(A, key, tasks):
            assert not entry[known].equal(before[key][known])
    # a memory that was read before stays as it was
    assert same({key: entry.view(torch.int64) for key, entry in held.items()}, before)


@pytest.mark.parametrize("name", ["dwa", "slaw", "stch"])
def test_memory_of_losses_is_that_of_the_steps_in_which_the_task_was_present(name, make_short):
    A, alone = make_short(name), [make_short(name, [0]) for _ in range(T)]
    if name != "slaw":
        for method in (A, *alone):
            method.window = 2
    for k, (G, losses) in enumerate(problems(11)):
        tasks = SUBSETS[k % len(SUBSETS)]
        call(A, (G, losses), tasks)
        for task in tasks:
            alone[task].loss_weights(losses[[task]])
    for key, entry in A.memory.items():
        assert entry.tolist() == [method.memory[key].item() for method in alone], key


def test_gradvac_keeps_the_parts_of_a_rule_apart():
    A, tasks = fm.GradVac(), [0, 2]
    steps = [(loss, flat) for (loss, _), (flat, _) in zip(problems(4), problems(4, seed=1), strict=True)]
    for loss, flat in steps[:-1]:
        fm.decomposed(fm.Decomposition(loss, flat), A)
    twin = fm.GradVac()
    twin.memory = {part: usual[tasks][:, tasks] for part, usual in A.memory.items()}
    before, (loss, flat) = bits(A), steps[-1]
    reduced = loss[tasks], flat[tasks]
    with A.present(tasks, T):
        direction = fm.decomposed(fm.Decomposition(*reduced), A)
    assert direction.equal(fm.decomposed(fm.Decomposition(*reduced), twin))
    for part in ("loss", "flat"):
        assert A.usual[part][tasks][:, tasks].equal(twin.usual[part])
        assert bits(A)[part][1].equal(before[part][1])
        assert bits(A)[part][:, [1, 3]].equal(before[part][:, [1, 3]])


# the first presence -----------------------------------------------------------------------------------------


def test_gradvac_knows_no_angle_of_two_tasks_that_never_met():
    A = fm.GradVac(beta=0.5)
    G = torch.eye(4, dtype=torch.float64)[[0, 0, 0, 1]]
    for pair in ([0, 1], [1, 2]):
        with A.present(pair, T):
            A(G[pair])
    nan = math.nan
    expected = [[0, 0.5, nan, nan], [0.5, 0, 0.5, nan], [nan, 0.5, 0, nan], [nan, nan, nan, nan]]
    assert str(A.usual["loss"].tolist()) == str([[float(x) for x in row] for row in expected])
    with A.present([0, 2], T):
        assert A(G[[0, 2]]).equal(fm.PCGrad()(G[[0, 2]]))
    A(G)
    assert A.usual["loss"].isfinite().all()


def test_dwa_gives_a_new_task_the_ratio_1():
    A = fm.DWA(window=1, temperature=1.0)
    for losses in ([4.0, 4.0], [2.0, 1.0]):
        with A.present([0, 2], 3):
            A.loss_weights(torch.tensor(losses))
    weights = A.loss_weights(torch.tensor([1.0, 9.0, 1.0], dtype=torch.float64))
    assert weights.tolist() == pytest.approx(torch.tensor([0.5, 1.0, 0.25]).softmax(-1).tolist())
    weights = A.loss_weights(torch.tensor([1.0, 9.0, 1.0], dtype=torch.float64))  # one window is not two
    assert weights.tolist() == pytest.approx(torch.tensor([0.5, 1.0, 1.0]).softmax(-1).tolist())


def test_slaw_gives_a_new_task_the_geometric_mean_of_the_weights():
    A = fm.SLAW()
    for losses in ([5.0, 1.0], [6.0, 5.0]):
        with A.present([0, 2], 3):
            A.loss_weights(torch.tensor(losses))
    # spreads of {5, 6, 5.5} and {1, 5, 3}: √(1/6) and 4√(1/6); their geometric mean is 2√(1/6)
    weights = A.loss_weights(torch.tensor([5.5, 7.0, 3.0]))
    assert weights.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])


# ten steps --------------------------------------------------------------------------------------------------


@every_aggregator
def test_over_alternate_absences_weights_are_finite_and_equal_rows_give_themselves(name, make_short):
    A = make_short(name)
    steps = [*SUBSETS, [0, 1], [0, 1, 2], [1, 3], list(range(T)), [0]]
    for (G, losses), tasks in zip(problems(10), steps, strict=True):
        with A.present(tasks, T):
            with state_kept(A):
                equal_rows = G[:1].expand(len(tasks), -1)
                direction = A(equal_rows, losses=losses[tasks])
                if not averages_gradients(A):
                    torch.testing.assert_close(direction, equal_rows[0])
            if isinstance(A, fm.LossWeighting):
                with state_kept(A):
                    weights = A.loss_weights(losses[tasks])
                assert weights.shape == (len(tasks),)
                assert (weights >= 0).all()
                assert weights.sum().item() == pytest.approx(1)
            assert A(G[tasks], losses=losses[tasks]).isfinite().all()
    for problem in problems(3, seed=1):
        assert call(A, problem).isfinite().all()
    assert all(entry.isfinite().all() for entry in getattr(A, "memory", {}).values())


@every_aggregator
@pytest.mark.parametrize("first", [2, 5])
def test_a_state_with_gaps_goes_through_a_file(name, first, make_short):
    """After two steps, task 1 is unknown. After five, every task is known."""
    steps = list(zip(problems(10), [[0, 2], [3, 0], *SUBSETS, None, [1], None], strict=True))
    A, B = make_short(name), make_short(name)
    for problem, tasks in steps[:first]:
        call(A, problem, tasks)
    file = io.BytesIO()
    torch.save(A.state_dict(), file)
    file.seek(0)
    B.load_state_dict(torch.load(file, weights_only=True))
    assert same(bits(A), bits(B))
    for problem, tasks in steps[first:]:
        assert call(A, problem, tasks).equal(call(B, problem, tasks))
        assert same(bits(A), bits(B))


@pytest.mark.parametrize("name", ["dwa", "slaw"])
def test_a_state_with_one_count_for_all_tasks_goes_on(name, make):
    """Such states were saved when all tasks had to be present."""
    A, twin = make(name, T), make(name, T)
    for problem in problems(3):
        call(A, problem)
        call(twin, problem)
    A.load_state_dict({"_extra_state": {**A.memory, "count": torch.tensor(3)}})
    for problem, tasks in zip(problems(60, seed=1), itertools.cycle([None, [0, 2]])):
        assert call(A, problem, tasks).equal(call(twin, problem, tasks))
    assert same(bits(A), bits(twin))


# a block that fails -----------------------------------------------------------------------------------------


@every_aggregator
def test_a_block_that_fails_leaves_the_method_as_it_was(name, make_short):
    A, twin = make_short(name), make_short(name)
    first, problem, later = problems(3)
    call(A, first)
    call(twin, first)
    G, losses = problem[0][[0, 2]].clone(), problem[1][[0, 2]].clone()
    G[1, 3] = losses[1] = math.nan
    with pytest.raises(fm.NonFiniteGradient) as caught, A.present([0, 2], T):
        A(G, losses=losses)
    assert caught.value.tasks == [1]  # a row, as everywhere
    assert same(bits(A), bits(twin))
    # here the method has counted the step before the block fails
    with state_kept(A), contextlib.suppress(RuntimeError), A.present([0, 2], T):
        A(problem[0][[0, 2]], losses=problem[1][[0, 2]])
        raise RuntimeError
    assert same(bits(A), bits(twin))
    assert call(A, later).equal(call(twin, later))


@pytest.mark.parametrize(
    ("tasks", "count"),
    [([], 3), ([0, 0], 3), ([3], 3), ([-1], 3), ([0.0], 3), ([0], 0), ([0], None), ([0], 3.0)],
)
def test_present_tasks_are_distinct_and_in_range(tasks, count, make):
    A = make("dwa")
    message = r"Got tasks=\[.*\] of count=.*; expected at least one task, each once"
    with pytest.raises(ValueError, match=message), A.present(tasks, count):
        pass
    assert call(A, problems(1)[0]).isfinite().all()


@pytest.mark.parametrize("name", [*REMEMBERING, *LEARNED])
def test_another_number_of_rows_is_an_error(name, make_short):
    A, twin = make_short(name), make_short(name)
    [(G, losses)] = problems(1)
    message = r"Got 3 rows for the tasks \[0, 2\] of 4; expected one row and one loss per present task"
    with A.present([0, 2], T), pytest.raises(ValueError, match=message):
        A(G[:3], losses=losses[:3])
    assert call(A, (G, losses)).equal(call(twin, (G, losses)))


@every_rememberer
def test_another_number_of_all_tasks_is_an_error(name, make_short):
    A = make_short(name)
    [(G, losses)] = problems(1)
    call(A, (G, losses))
    before = bits(A)
    message = r"for the tasks \[0, 2\] of 5, but \w+ remembers \w+ of shape \(4.*Make a new one"
    with A.present([0, 2], 5), pytest.raises(ValueError, match=message):
        A(G[:2], losses=losses[:2])
    assert same(bits(A), before)


@pytest.mark.parametrize("name", ["si", "dwa", "famo", "stch"])
def test_a_loss_that_is_not_positive_is_named_by_its_task(name, make):
    A = make(name)
    with A.present([0, 2], T), pytest.raises(ValueError, match="Got a loss of 0 for task 2; expected"):
        A.loss_weights(torch.tensor([1.0, 0.0]))


# learned weightings -----------------------------------------------------------------------------------------


@every_learner
@pytest.mark.parametrize("in_block", [True, False])
def test_a_learner_learns_the_numbers_of_the_present_tasks(name, in_block, make_short):
    A, twin = make_short(name), make_short(name, [3, 1])
    [(_, losses)] = problems(1)
    with A.present([3, 1], T):
        A.loss_weights(losses[[3, 1]])
        if in_block:
            A.learn()
    if not in_block:
        A.learn()
    twin.loss_weights(losses[[3, 1]])
    twin.learn()
    assert A.s.grad[[3, 1]].equal(twin.s.grad)
    assert A.s.grad[[0, 2]].tolist() == [0, 0]
    A.loss_weights(losses)
    A.learn()
    assert A.s.grad.all()


@every_learner
def test_a_learner_wants_finite_numbers_of_the_present_tasks_alone(name, make_short):
    A = make_short(name)
    A.s.data[2] = math.nan
    with A.present([0, 3], T):
        assert A.loss_weights(torch.ones(2)).sum().item() == pytest.approx(1)
        A.learn()
    assert A.s.grad.isfinite().all()
    with A.present([0, 2], T), pytest.raises(ValueError, match="s = nan for task 2; expected finite"):
        A.loss_weights(torch.ones(2))


@every_learner
def test_a_learner_refuses_a_block_of_another_number_of_tasks(name, make_short):
    A = make_short(name)
    message = r"Got 2 losses for the tasks \[0, 2\] of 5 for \w+\(tasks=4\).*Make it with tasks=5"
    with A.present([0, 2], 5), pytest.raises(ValueError, match=message):
        A.loss_weights(torch.ones(2))


# contexts ---------------------------------------------------------------------------------------------------


@every_aggregator
@pytest.mark.parametrize("context", [torch.inference_mode, lambda: torch.device("meta")])
def test_inference_mode_and_the_default_device_do_not_matter(name, context, make_short):
    """Every second step is in the context, so that memory goes into it and comes out."""
    A, twin = make_short(name), make_short(name)
    for k, problem in enumerate(problems(8)):
        tasks = SUBSETS[k % len(SUBSETS)]
        expected = call(twin, problem, tasks)
        if k % 2:
            with context():
                assert call(A, problem, tasks).equal(expected)
        else:
            assert call(A, problem, tasks).equal(expected)
