"""The memory, parameters and generator of an aggregator go through files, copies and failed blocks."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation.base import state_kept

NAMES = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.LossWeighting)]
LOSSES = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def series(steps, seed=0):
    """Return the losses of that many steps of three tasks, all > 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps, 3, generator=generator, dtype=torch.float64) * 3 + 0.1


def make_with_short_window(make, name):
    A = make(name)
    if name in ("dwa", "stch"):
        A.window = 3
    return A


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("calls", [0, 7])
def test_a_weighting_goes_through_a_file_into_a_new_object(name, calls, tmp_path, make):
    """It does so also before the first call, when a running one does not have its number of tasks yet."""
    old = make_with_short_window(make, name)
    for p in old.parameters():
        p.data = torch.tensor([0.3, -1.0, 2.0])
    if name == "rlw":
        old.generator.manual_seed(9)
    for losses in series(calls):
        old.loss_weights(losses)
        old.observe(losses.sqrt())
    torch.save(old.state_dict(), tmp_path / "state.pt")
    expected = [old.loss_weights(losses).tolist() for losses in series(9, seed=1)]

    new = make_with_short_window(make, name)
    if name not in ("si", "gls", "bmtl", "constant"):
        without_state = [new.loss_weights(losses).tolist() for losses in series(9, seed=1)]
        assert (without_state != expected) == (calls > 0 or name in ("rlw", "uw", "imtl_l"))
    new.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [new.loss_weights(losses).tolist() for losses in series(9, seed=1)] == expected


@pytest.mark.parametrize("name", ["dwa", "slaw", "stch"])
def test_a_running_weighting_wants_the_same_tasks_at_every_step(name, make):
    A = make(name)
    A.loss_weights(LOSSES)
    before = A.get_extra_state()
    for shape in ((2,), (4,), (5, 3)):
        message = (
            r"Got losses of shape .* remembers some of shape \(3,\); expected the same tasks and the same"
        )
        with pytest.raises(ValueError, match=message):
            A.loss_weights(torch.ones(shape))
    assert all(A.get_extra_state()[key].equal(value) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "other"), [("dwa", "slaw"), ("slaw", "dwa"), ("stch", "dwa"), ("slaw", "stch")]
)
@pytest.mark.parametrize("calls", [1, 60])
def test_the_state_of_another_method_is_refused_and_changes_nothing(name, other, calls, make):
    A, B = make(name), make(other)
    for losses in series(calls):
        A.loss_weights(losses)
        B.loss_weights(losses)
    before = A.state_dict()
    entries = ", ".join(map(repr, sorted(B.memory)))
    with pytest.raises(ValueError, match=rf"Got a state of \[{entries}\] for {type(A).__name__}.*saved from"):
        A.load_state_dict(B.state_dict())
    assert str(A.state_dict()) == str(before)
    A.load_state_dict(make(other).state_dict())  # before its first call, the state is the same for all


@pytest.mark.parametrize("name", ["dwa", "slaw", "stch"])
def test_the_state_of_another_number_of_tasks_is_refused_at_the_next_step(name, make):
    A, B = make(name), make(name)
    B.loss_weights(LOSSES[:2])
    A.load_state_dict(B.state_dict())
    with pytest.raises(ValueError, match=r"shape \(3,\).*remembers some of shape \(2,\).*Make a new one"):
        A.loss_weights(LOSSES)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_copy_that_later_steps_do_not_change(name, make):
    A, twin = make(name), make(name)
    A.loss_weights(LOSSES)
    twin.loss_weights(LOSSES)
    state = A.state_dict()
    for losses in series(4):
        A.loss_weights(losses)
    A.load_state_dict(state)
    for losses in series(4, seed=2):
        assert A.loss_weights(losses).equal(twin.loss_weights(losses))


@pytest.mark.parametrize("name", fm.AGGREGATORS)
def test_state_kept_restores_memory_and_generators(name, make, sample):
    G, losses = sample("normal", 3, 6), series(50)
    for fails in (False, True):
        A, twin = make(name), make(name)
        steps = iter(range(0, 50, 2))

        def step(*aggregators, steps=steps):
            k = next(steps)
            return [a(G[k : k + 2], losses=losses[k : k + 2]) for a in aggregators]

        def try_a_step(A, only_on_error, step=step, fails=fails):
            try:
                with state_kept(A, only_on_error=only_on_error):
                    step(A)
                    if fails:
                        raise RuntimeError
            except RuntimeError:
                pass

        step(A, twin)
        try_a_step(A, only_on_error=False)
        direction, expected = step(A, twin)
        assert direction.equal(expected)
        try_a_step(A, only_on_error=True)
        if not fails:  # the step counts, so the twin makes it too
            twin(G[6:8], losses=losses[6:8])
        direction, expected = step(A, twin)
        assert direction.equal(expected)


class Counting(fm.Aggregator):
    """A user's own aggregator, with a buffer that it changes in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, G, losses=None):
        self.calls += 1
        return G.mean(-2)


def test_state_kept_restores_a_buffer_that_changes_in_place():
    A = Counting()
    A(torch.eye(2))
    with state_kept(A):
        A(torch.eye(2))
    assert A.calls == 1
