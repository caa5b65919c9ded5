"""All loss weightings take their weights from the losses alone and refuse losses that have none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmtl_lite as fm

NAMES = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.LossWeighting)]
LEARNED = [name for name in NAMES if issubclass(fm.AGGREGATORS[name], fm.LearnedWeighting)]
READING = [name for name in NAMES if name != "constant"]
POSITIVE = ["si", "gls", "dwa", "stch", "famo"]  # they take ratios or logarithms of losses
every_weighting = pytest.mark.parametrize("name", NAMES)
every_learner = pytest.mark.parametrize("name", LEARNED)
LOSSES = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def test_all_are_here():
    assert NAMES == ["rlw", "dwa", "uw", "si", "gls", "slaw", "imtl_l", "bmtl", "famo", "stch", "constant"]
    assert LEARNED == ["uw", "imtl_l"]


def series(steps, T=3, seed=0):
    """Return the losses of that many steps, all > 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps, T, generator=generator, dtype=torch.float64) * 3 + 0.1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    losses=st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=6),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    steps=st.integers(1, 4),
)
@every_weighting
def test_weights_are_finite_not_negative_and_sum_to_1(name, losses, dtype, steps, make):
    A = make(name, len(losses))
    if name in ("dwa", "stch"):
        A.window = 1
    for step in range(steps):
        weights = A.loss_weights(torch.tensor(losses, dtype=dtype) * (step + 1))
        assert weights.dtype == torch.float64
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))


@every_weighting
def test_the_direction_is_the_weights_times_the_rows(name, sample, make):
    G = sample("normal", 3, 7, batch=6, decades=2)
    losses = series(6)
    weights = make(name).loss_weights(losses)
    expected = torch.einsum("bi,bip->bp", weights, G)
    torch.testing.assert_close(make(name)(G, losses=losses), expected, rtol=1e-10, atol=1e-12)


@every_weighting
def test_losses_may_have_a_graph_and_half_precision(name, make):
    losses = LOSSES.to(torch.bfloat16).requires_grad_()
    direction = make(name)(torch.eye(3), losses=losses)
    assert not direction.requires_grad
    torch.testing.assert_close(direction.sum(), torch.tensor(1.0))


# errors -----------------------------------------------------------------------------------------------------


def test_missing_losses_are_an_error(make):
    for name in READING:
        method = type(make(name)).__name__
        message = f"Got no losses, which {method} needs; expected"
        with pytest.raises(ValueError, match=message):
            make(name)(torch.eye(3))
        with pytest.raises(ValueError, match=message):
            fm.decomposed(fm.Decomposition(torch.eye(3), torch.eye(3)), make(name))


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), (2, 3)])
def test_losses_that_do_not_fit_the_gradients_are_an_error(shape, make):
    for name in ("rlw", "si", "dwa", "uw"):
        with pytest.raises(ValueError, match=r"Got losses of shape .* for task gradients of shape \(3, 3\)"):
            make(name)(torch.eye(3), losses=torch.ones(shape))


@pytest.mark.parametrize("losses", [torch.tensor(1.0), torch.ones(0), torch.ones(3, dtype=torch.int64)])
def test_losses_must_be_floating_with_a_task_dimension(losses, make):
    for name in ("rlw", "si", "dwa", "uw"):
        message = r"Got losses of shape .* expected a floating tensor \(\.\.\., T\)"
        with pytest.raises(ValueError, match=message):
            make(name).loss_weights(losses)


@pytest.mark.parametrize("name", READING)
def test_a_loss_that_is_not_finite_is_named_and_moves_nothing_on(name, make):
    A, twin = make(name), make(name)
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(fm.NonFiniteGradient, match="The loss of task 1 holds NaN or infinity") as caught:
            A(torch.eye(3), losses=torch.tensor([1.0, value, 1.0]))
        assert caught.value.tasks == [1]
        with pytest.raises(fm.NonFiniteGradient) as caught:
            A.loss_weights(torch.tensor([[1.0, 1.0, value], [value, 1.0, 1.0]]))
        assert caught.value.tasks == [0, 2]
    assert A.loss_weights(LOSSES).equal(twin.loss_weights(LOSSES))


@pytest.mark.parametrize("name", POSITIVE)
def test_a_loss_that_is_not_positive_is_an_error_where_ratios_are_taken(name, make):
    A, twin = make(name), make(name)
    for value in (0.0, -2.5):
        message = rf"Got a loss of {value:g} for task 1; expected losses > 0"
        with pytest.raises(ValueError, match=message) as caught:
            A(torch.eye(3), losses=torch.tensor([1.0, value, 1.0]))
        assert not isinstance(caught.value, fm.NonFiniteGradient)
    assert A.loss_weights(LOSSES).equal(twin.loss_weights(LOSSES))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(POSITIVE)))
def test_losses_of_any_sign_have_weights_elsewhere(name, make):
    A = make(name)
    for losses in ([1.0, 0.0, -2.0], [-1.0, 0.0, 3.0]):
        weights = A.loss_weights(torch.tensor(losses))
        assert weights.isfinite().all()
        assert weights.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("part", [0, 1])
def test_a_part_that_is_not_finite_is_an_error_that_names_the_task(part, make):
    parts = torch.ones(2, 3, 5)
    parts[part, 1, 4] = torch.inf
    for name in ("rlw", "si", "dwa", "uw"):
        with pytest.raises(fm.NonFiniteGradient, match="gradient of task 1 ") as caught:
            fm.decomposed(fm.Decomposition(*parts, losses=LOSSES), make(name))
        assert caught.value.tasks == [1]


def test_the_base_class_leaves_the_weights_to_the_methods():
    with pytest.raises(NotImplementedError):
        fm.LossWeighting().loss_weights(LOSSES)
    with pytest.raises(NotImplementedError):
        fm.LearnedWeighting(3).loss_weights(LOSSES)
    with pytest.raises(NotImplementedError):
        fm.LearnedWeighting(3).slope(LOSSES, LOSSES)


# learned weightings -----------------------------------------------------------------------------------------


@every_learner
def test_a_learner_has_one_parameter_per_task_before_any_call(name):
    A = fm.aggregator(name, tasks=4)
    assert [tuple(p.shape) for p in A.parameters()] == [(4,)]
    assert list(A.state_dict()) == ["s"]


@every_learner
def test_a_learner_refuses_another_number_of_losses(name):
    for tasks in (4, 2):
        A = fm.aggregator(name, tasks=tasks)
        message = rf"Got 3 losses for \w+\(tasks={tasks}\).*Make it with tasks=3, before the"
        with pytest.raises(ValueError, match=message):
            A(torch.eye(3), losses=LOSSES)


@every_learner
def test_a_parameter_that_is_not_finite_is_an_error(name):
    A = fm.aggregator(name, tasks=3)
    with torch.no_grad():
        A.s[1] = math.nan
    with pytest.raises(ValueError, match=r"Got \w+ with s = nan for task 1.*Lower the learning rate"):
        A(torch.eye(3), losses=LOSSES)


@every_learner
def test_a_learner_learns_only_from_the_losses_of_one_step(name, sample):
    A = fm.aggregator(name, tasks=3)
    expected = r"expected one loss per task, shape \(3,\)\. Call it with the losses of one step first"
    with pytest.raises(ValueError, match=rf"Got no losses to learn from.*{type(A).__name__}.*{expected}"):
        A.learn()
    A(sample("normal", 3, 6, batch=4), losses=series(4))
    with pytest.raises(ValueError, match=rf"Got losses of shape \(4, 3\) to learn from.*{expected}"):
        A.learn()
    assert A.s.grad is None
    A.loss_weights(LOSSES)
    A.learn()
    assert A.s.grad.shape == (3,)
