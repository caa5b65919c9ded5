"""Methods that remember numbers of each parameter: per part, per problem, through files, on the device."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation.base import state_kept
from flatmtl_lite.aggregation.gramians import gramian, scale_free
from flatmtl_lite.aggregation.row_memory import RememberingRows, UnitRows
from tests.optim.nets import Net
from tests.optim.played_device import Device, OnDevice

NAMES = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, RememberingRows)]
every_name = pytest.mark.parametrize("name", NAMES)
LOSSES = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def steps(count, *batch, seed=0):
    """Return loss and flat rows (..., 3, 8) of that many steps, which partly agree."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 2, *batch, 3, 8, generator=generator, dtype=torch.float64)
    common = torch.randn(count, 2, *batch, 1, 8, generator=generator, dtype=torch.float64)
    return list(noise + common)


def losses_of(k, *batch):
    return (LOSSES * (1 + k % 3)).expand(*batch, 3)


def test_all_are_here():
    assert NAMES == ["db_mtl", "moco", "excess_mtl"]


@every_name
def test_within_decomposed_each_part_has_a_memory_that_moves_on_once_a_step(name, make):
    A, parts = make(name), [make(name), make(name)]
    for k, (loss, flat) in enumerate(steps(6)):
        losses = losses_of(k)
        expected = parts[0](loss, losses=losses) + parts[1](flat, losses=losses)
        torch.testing.assert_close(fm.decomposed(fm.Decomposition(loss, flat, losses=losses), A), expected)
    entries = {entry.split()[-1] for entry in A.memory}
    assert entries == A.remembers
    assert sorted(A.memory) == sorted(f"{part} {entry}" for part in ("loss", "flat") for entry in entries)
    for entry in entries:
        torch.testing.assert_close(A.memory[f"loss {entry}"], parts[0].memory[f"loss {entry}"])
        torch.testing.assert_close(A.memory[f"flat {entry}"], parts[1].memory[f"loss {entry}"])


@every_name
def test_direct_remembers_the_sam_gradients_and_erm_the_loss(name, make):
    A, alone = make(name), make(name)
    for loss, flat in steps(3):
        d = fm.Decomposition(loss, flat, losses=LOSSES)
        torch.testing.assert_close(fm.direct(d, A), alone(loss + flat, losses=LOSSES))
    assert {entry.split()[0] for entry in A.memory} == {"sam"}
    fm.erm(d, A)
    assert {entry.split()[0] for entry in A.memory} == {"sam", "loss"}


@every_name
def test_a_batch_has_a_memory_for_each_problem(name, make):
    A, alone = make(name), [make(name) for _ in range(4)]
    for k, (loss, _) in enumerate(steps(5, 4)):
        losses = losses_of(k, 4)
        expected = [a(g, losses=losses[0]) for a, g in zip(alone, loss, strict=True)]
        torch.testing.assert_close(A(loss, losses=losses), torch.stack(expected))


@every_name
def test_a_later_write_into_the_rows_does_not_reach_the_memory(name, make):
    """A training step writes the rows of every step into one block. Results are not overwritten either."""
    for dtype in (torch.float64, torch.float32):
        A, twin, block = make(name), make(name), torch.empty(2, 3, 8, dtype=dtype)
        for k, problem in enumerate(steps(4)):
            rows = problem.to(dtype)
            block.copy_(rows)
            direction = fm.decomposed(fm.Decomposition(*block, losses=losses_of(k)), A)
            before = {entry: value.clone() for entry, value in A.memory.items()}
            kept = direction.clone()
            block.fill_(torch.nan)
            expected = fm.decomposed(fm.Decomposition(*rows, losses=losses_of(k)), twin)
            assert direction.equal(expected)
            direction.fill_(torch.nan)
            assert all(A.memory[entry].equal(value) for entry, value in before.items())
            assert kept.equal(expected)


@every_name
@pytest.mark.parametrize("calls", [0, 3])
def test_the_state_goes_through_a_file_into_a_new_object(name, calls, tmp_path, make):
    def run(A, problems):
        return [
            fm.decomposed(fm.Decomposition(*rows, losses=losses_of(k)), A).tolist()
            for k, rows in enumerate(problems)
        ]

    old = make(name)
    run(old, steps(calls))
    torch.save(old.state_dict(), tmp_path / "state.pt")
    expected = run(old, steps(5, seed=1))
    fresh = make(name)
    assert (run(fresh, steps(5, seed=1)) != expected) == (calls > 0)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert run(fresh, steps(5, seed=1)) == expected


@every_name
def test_the_state_of_another_method_is_refused(name, make):
    [(loss, _)] = steps(1)
    A, B = make(name), make("dwa")
    B(loss, losses=LOSSES)
    with pytest.raises(ValueError, match=rf"Got a state of .* for {type(A).__name__}, which remembers"):
        A.load_state_dict(B.state_dict())
    assert A.memory == {}


def test_a_state_that_has_only_some_entries_of_a_method_is_refused(make):
    [(loss, _)] = steps(1)
    A, B = make("moco"), make("db_mtl")
    B(loss, losses=LOSSES)
    with pytest.raises(ValueError, match=r"Got a state of .* for MoCo, which remembers .*saved from"):
        A.load_state_dict(B.state_dict())
    assert A.memory == {}


@every_name
@pytest.mark.parametrize(
    "state",
    [
        None,
        3,
        ["loss weights"],
        {"": torch.ones(2)},
        {3: torch.ones(2)},
        {"loss gradients": torch.ones(3, 8)},
    ],
)
def test_what_is_no_state_is_refused(name, state, make):
    A = make(name)
    for extra in (state, {f"loss {entry}": 3.0 for entry in A.remembers}):
        with pytest.raises(ValueError, match=rf"Got a state of .* for {type(A).__name__}, which remembers"):
            A.set_extra_state(extra)
    assert A.memory == {}


@every_name
@pytest.mark.parametrize("shape", [(2, 8), (4, 8), (3, 9), (5, 3, 8)])
def test_another_number_of_tasks_or_parameters_is_an_error_and_changes_nothing(name, shape, make):
    A = make(name)
    [(loss, _)] = steps(1)
    A(loss, losses=LOSSES)
    before = A.get_extra_state()
    message = r"Got gradients of shape .* remembers gradients of shape \(3, 8\); expected the same tasks"
    with pytest.raises(ValueError, match=message):
        A(torch.ones(shape), losses=torch.ones(shape[:-1]))
    assert A.get_extra_state() is before


@every_name
def test_a_call_that_fails_leaves_no_half_state(name, make):
    A = make(name)
    [(loss, _)] = steps(1)
    with A.present([0, 1], 4), pytest.raises(ValueError, match="Got 3 rows for the tasks"):
        A(loss, losses=LOSSES)
    assert A.memory == {}


@every_name
def test_memory_of_half_precision_rows_has_more_digits(name, make):
    """A mean in bfloat16 would soon stop moving: a tenth of a new row is below its last digit."""
    A, finer = make(name), make(name)
    for k, (loss, _) in enumerate(steps(5)):
        rows = loss.bfloat16()
        direction = A(rows, losses=losses_of(k))
        assert direction.dtype == torch.bfloat16
        assert direction.equal(finer(rows.float(), losses=losses_of(k)).bfloat16())
    assert {value.dtype for value in A.memory.values()} <= {torch.float32, torch.float64}
    assert all(value.equal(finer.memory[entry]) for entry, value in A.memory.items())


@every_name
def test_memory_lies_on_the_device_of_the_rows_and_no_call_waits_for_it(name, make):
    A, twin, device = make(name), make(name), Device()
    for k, problem in enumerate(steps(4)):
        step = A.for_step(losses_of(k))
        with device:
            directions = [step(OnDevice(rows), part) for rows, part in zip(problem, ("loss", "flat"))]
            assert device.waits == []
            found = [direction.cpu() for direction in directions]
            device.waits.clear()
        assert all(isinstance(value, OnDevice) for value in A.memory.values())
        step = twin.for_step(losses_of(k))
        torch.testing.assert_close(found, [step(problem[0], "loss"), step(problem[1], "flat")])


@every_name
def test_a_step_that_fails_leaves_the_memory_as_it_was(name, make):
    net = Net()
    step = net.step(aggregate=make(name), rho=0.3)
    step(*net.batch())
    before = step.aggregate.memory
    features, losses = net.batch()
    losses[2] = lambda z: net.loss(2, z) * torch.inf
    with pytest.raises(fm.NonFiniteGradient):
        step(features, losses)
    assert step.aggregate.memory.keys() == before.keys()
    assert all(step.aggregate.memory[entry] is value for entry, value in before.items())


@every_name
def test_a_state_is_kept_without_a_copy(name, make):
    A = make(name)
    (one, _), (other, _) = steps(2)
    A(one, losses=LOSSES)
    before = dict(A.memory)
    with state_kept(A):
        A(other, losses=LOSSES)
        assert A.memory[f"loss {min(A.remembers)}"] is not before[f"loss {min(A.remembers)}"]
    assert all(A.memory[entry] is value for entry, value in before.items())


@every_name
def test_training_goes_on_from_a_saved_state(name, make, tmp_path):
    """Also with a task that is absent now and then."""

    def train(net, step, first, last):
        for k in range(first, last):
            features, losses = net.batch()
            if k % 3 == 1:
                losses[1] = lambda z: None
            step(features, losses)

    net, other = Net(), Net()
    step = net.step(aggregate=make(name), rho=0.3)
    train(net, step, 0, 3)
    state = {"net": net.state_dict(), "step": step.state_dict()}
    torch.save(state, tmp_path / "state.pt")
    train(net, step, 3, 7)
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    other.load_state_dict(loaded["net"])
    again = other.step(aggregate=make(name), rho=0.3)
    again.load_state_dict(loaded["step"])
    train(other, again, 3, 7)
    assert all(p.equal(q) for p, q in zip(net.parameters(), other.parameters(), strict=True))


# unit rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_unit_rows_have_the_cosines_and_norms_of_the_gramian(dtype, mixture):
    G, _ = mixture(["normal", "rank_2"], 4, 9, batch=10, decades=[0, 60])
    G[0, 1] = 0
    rows = G.to(dtype)
    units = rows.double().abs().amax(-1, keepdim=True)
    unit = UnitRows((rows / units).nan_to_num(0.0).to(dtype), units.squeeze(-1))
    cosines, _ = scale_free(gramian(rows.double()))
    torch.testing.assert_close(unit.cosines, cosines, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(unit.norms, rows.double().norm(dim=-1), rtol=1e-6, atol=0)
    sums = (rows.double() / rows.double().norm(dim=-1, keepdim=True)).nan_to_num(0.0).sum(-2)
    found = unit.combine(torch.ones(40, 4, dtype=torch.float64))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), sums, rtol=1e-5, atol=1e-6)
