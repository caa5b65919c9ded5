"""Constant is the weighted mean with the given weights, whatever the losses are."""

import math
import re

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from tests.optim.nets import WAYS, Net

G = torch.tensor([[4.0, 0.0], [0.0, 8.0], [2.0, 2.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1.0, 1.0, 2.0], [2.0, 3.0]),
        ([0.0, 1.0, 0.0], [0.0, 8.0]),
        ([3, 0, 1], [3.5, 0.5]),
        ((5e307, 5e307, 1e308), [2.0, 3.0]),  # their sum is beyond float64
        ([1e-310, 1e-310, 2e-310], [2.0, 3.0]),
        (None, [2.0, 10 / 3]),
    ],
)
def test_it_gives_the_directions_by_hand(weights, expected):
    direction = fm.Constant(weights)(G)
    assert direction.tolist() == pytest.approx(expected)
    for losses in ([1.0, 2.0, 3.0], [-1.0, 0.0, 1e30], [math.nan, math.inf, 1.0]):
        assert fm.Constant(weights)(G, losses=torch.tensor(losses)).equal(direction)


def test_it_is_linear_so_that_both_parts_of_a_step_have_the_same_weights(sample):
    loss, flat = sample("normal", 3, 8, batch=2)
    A, d = fm.Constant([1.0, 2.0, 5.0]), fm.Decomposition(loss, flat)  # without losses
    expected = torch.tensor([1.0, 2.0, 5.0]).double() / 8 @ (loss + flat)
    for rule in (fm.decomposed, fm.direct):
        torch.testing.assert_close(rule(d, A), expected)


def test_equal_weights_are_the_mean_and_do_not_know_the_number_of_tasks(sample):
    for T in (1, 2, 5):
        rows = sample("normal", T, 6)
        torch.testing.assert_close(fm.Constant()(rows), fm.Mean()(rows))
        torch.testing.assert_close(fm.Constant([7.0] * T)(rows), fm.Mean()(rows))


def test_each_problem_of_a_batch_may_have_weights_of_its_own():
    W = torch.tensor([[1.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
    assert fm.Constant(W)(G.expand(2, 3, 2)).tolist() == [[2.0, 3.0], [0.0, 8.0]]
    assert fm.Constant(W)(G.expand(5, 2, 3, 2), losses=torch.ones(5, 2, 3)).shape == (5, 2, 2)
    with pytest.raises(ValueError, match="at least one of them > 0"):
        fm.Constant(W * torch.tensor([[1.0], [-1.0]]))
    with pytest.raises(ValueError, match="at least one of them > 0"):
        fm.Constant(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("batch", [(), (4,), (3, 4), (1,)])
def test_a_batch_that_the_weights_do_not_fit_is_an_error(batch):
    A = fm.Constant(torch.ones(3, 2))
    message = rf"Got a batch of problems of shape {re.escape(str(batch))} for Constant with weights of shape"
    with pytest.raises(
        ValueError, match=message + r" \(3, 2\); expected one problem for each list of weights"
    ):
        A(torch.ones(*batch, 2, 5))
    with pytest.raises(ValueError, match=message):
        A.loss_weights(torch.ones(*batch, 2))


@pytest.mark.parametrize("options", WAYS)
def test_a_training_step_refuses_a_batch_of_weights_and_leaves_the_gradients(options):
    net = Net(tasks=2)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    before = net.gradients()
    step = net.step(aggregate=fm.Constant(torch.tensor([[0.5, 0.5], [0.1, 0.9]])), **options)
    with pytest.raises(ValueError, match=r"Got a batch of problems of shape \(\) for Constant with weights"):
        step.backward([net.batch()])
    assert all(p.equal(q) for p, q in zip(net.gradients(), before, strict=True))


def test_absent_tasks_leave_the_others_their_ratios():
    A = fm.Constant([1.0, 3.0, 4.0])
    with A.present([2, 0], 3):
        assert A.loss_weights(torch.ones(2)).tolist() == pytest.approx([0.8, 0.2])
        assert A(G[[2, 0]]).tolist() == pytest.approx([2.4, 1.6])
    assert A(G).tolist() == pytest.approx([1.5, 4.0])


def test_the_direction_is_0_if_every_present_task_has_the_weight_0():
    A = fm.Constant([0.0, 0.0, 1.0])
    with A.present([0, 1], 3):
        assert A(G[:2]).tolist() == [0, 0]


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0] * 4])
def test_another_number_of_tasks_is_an_error(weights):
    A = fm.Constant(weights)
    message = rf"Got 3 tasks for Constant\(weights=\[1\.0, .*expected {len(weights)}, one per weight\."
    with pytest.raises(ValueError, match=message + " Make it with 3 weights"):
        A(G)
    with pytest.raises(ValueError, match=message):
        A.loss_weights(torch.ones(3))
    with A.present([0, 1], 3), pytest.raises(ValueError, match=r"Got 2 tasks for the tasks \[0, 1\] of 3"):
        A(G[:2])


def test_weights_need_losses_only_to_count_the_tasks():
    with pytest.raises(ValueError, match="Got no losses to count the tasks by; expected one per task"):
        fm.Constant([1.0, 2.0]).loss_weights(None)
    assert (
        fm.Constant([1.0, 3.0]).loss_weights(torch.tensor([[math.nan] * 2] * 5)).tolist()
        == [[0.25, 0.75]] * 5
    )


@pytest.mark.parametrize(
    "weights",
    [
        [],
        [0.0, 0.0],
        [-1.0, 2.0],
        [math.nan, 1.0],
        [math.inf, 1.0],
        ["a"],
        "12",
        3.0,
        1j,
        torch.tensor(1.0),
        np.array([0.3, 0.7]),
    ],
)
def test_weights_that_are_not_numbers_from_0_on_are_refused(weights):
    got = re.escape(f"Got weights={weights!r} of type {type(weights).__name__}; ")
    with pytest.raises(
        ValueError, match=got + "expected a list or a tensor of one finite number >= 0 per task"
    ):
        fm.Constant(weights)


def test_later_changes_of_a_list_do_not_matter():
    weights = [1.0, 3.0]
    A = fm.aggregator("constant", weights=weights)
    weights[0] = 9.0
    assert repr(A) == "Constant(weights=[1.0, 3.0])"
    assert repr(fm.Constant()) == "Constant()"
