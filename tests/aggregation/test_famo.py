"""FAMO: weights by hand, Adam's steps as torch takes them, and what it needs to be shown."""

import math

import pytest
import torch

import flatmtl_lite as fm

LOSSES = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def test_before_any_step_the_weights_are_those_of_the_sum_of_logarithms():
    A = fm.FAMO()
    assert A.loss_weights(LOSSES).tolist() == pytest.approx([4 / 7, 1 / 7, 2 / 7])
    torch.testing.assert_close(A.loss_weights(LOSSES), fm.SI().loss_weights(LOSSES))


def test_the_first_step_of_adam_has_length_lr():
    """The task whose loss fell gets less weight, and the other one more."""
    A = fm.FAMO(lr=0.5, decay=0.0)
    A.loss_weights(torch.ones(2))
    A.observe(torch.tensor([0.9, 1.0]))
    z = torch.tensor([-0.5, 0.5], dtype=torch.float64).softmax(-1)
    torch.testing.assert_close(A.loss_weights(torch.ones(2)), z, rtol=1e-6, atol=0)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_steps_as_torch_does(decay):
    """The logits follow Adam on the Jacobian of the softmax times the falls of the logarithms."""
    A, logits = fm.FAMO(lr=0.1, decay=decay), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.1, weight_decay=decay)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        before, after = torch.rand(2, 3, dtype=torch.float64, generator=generator) + 0.1
        z = logits.softmax(-1)
        weights = (z / before).detach()
        torch.testing.assert_close(A.loss_weights(before), weights / weights.sum())
        A.observe(after)
        (logits.grad,) = torch.autograd.grad(z, logits, before.log() - after.log())
        adam.step()
    assert logits.abs().max() > 0.05


def test_a_loss_in_another_unit_changes_nothing_that_it_learns():
    A, twin = fm.FAMO(lr=0.1), fm.FAMO(lr=0.1)
    unit = torch.tensor([1e6, 1.0, 1e-6], dtype=torch.float64)
    for k in range(5):
        A.loss_weights(LOSSES * 0.9**k)
        twin.loss_weights(LOSSES * 0.9**k * unit)
        A.observe(LOSSES.sqrt())
        twin.observe(LOSSES.sqrt() * unit)
    torch.testing.assert_close(A.memory["logits"], twin.memory["logits"])


def test_losses_count_from_the_lowest():
    A, twin = fm.FAMO(lowest=-20.0), fm.FAMO()
    for k in range(3):
        losses = LOSSES * 0.9**k
        torch.testing.assert_close(A.loss_weights(losses - 20), twin.loss_weights(losses))
        A.observe(LOSSES.sqrt() - 20)
        twin.observe(LOSSES.sqrt())
    with pytest.raises(ValueError, match="Got a loss of -20 for task 1; expected losses > -20"):
        A.loss_weights(torch.tensor([1.0, -20.0]))


def test_it_learns_only_from_losses_it_can_compare():
    A = fm.FAMO()
    with pytest.raises(ValueError, match="losses after a step, but none before it"):
        A.observe(LOSSES)
    A.loss_weights(LOSSES)
    with pytest.raises(fm.NonFiniteGradient, match="loss of task 1 holds NaN"):
        A.observe(torch.tensor([1.0, math.nan, 1.0]))
    with pytest.raises(ValueError, match="Got a loss of 0 for task 2; expected losses > 0"):
        A.observe(torch.tensor([1.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=r"losses of shape \(2,\) after a step with losses of shape \(3,\)"):
        A.observe(LOSSES[:2])
    assert A.memory == {}
    A.observe(LOSSES)
    assert A.memory["steps"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "options", [{"lr": 0.0}, {"lr": math.inf}, {"lr": "fast"}, {"decay": -1.0}, {"lowest": math.nan}]
)
def test_options_out_of_range_are_named(options):
    [(name, value)] = options.items()
    with pytest.raises(ValueError, match=rf"Got {name}={value!r}; expected a finite number"):
        fm.FAMO(**options)
