"""The exercise on the F-method: what a learner is told who does not put w back, and of a gradient of 0."""

import pytest
import torch

from flatmtl_lite.lab import checks
from flatmtl_lite.lab.checks.errors import NOT_FINITE
from flatmtl_lite.lab.checks.whole_method import ADOPTED, FORGOTTEN, SAME, SHARED


def nan_at_zero(g, rho):
    return rho * g / g.norm()


def safe(g, rho):
    return rho * g / g.norm().clamp_min(1e-12)


def written(keep=lambda w: w.detach().clone(), back=torch.Tensor.copy_, epsilon=safe, flat=torch.sub):
    """Return an F-method as a learner writes it, with one loop over the tasks."""

    def f_method(w, losses, rho, A):
        old, clean, flat_parts = keep(w), [], []
        for loss in losses:
            g = torch.autograd.grad(loss(), w)[0]
            with torch.no_grad():
                w.add_(epsilon(g, rho))
            clean.append(g)
            flat_parts.append(flat(torch.autograd.grad(loss(), w)[0], g))
            with torch.no_grad():
                back(w, old)
        return A(torch.stack(clean)) + A(torch.stack(flat_parts))

    return f_method


def never(w, old):
    pass


def into_data(w, old):
    w.data = old


def into_slice(w, old):
    w[:] = old


@pytest.mark.parametrize("epsilon", [safe, nan_at_zero])
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"back": never}, FORGOTTEN),
        ({"back": never, "flat": lambda sam, g: sam}, FORGOTTEN),
        ({"keep": lambda w: w}, SAME),
        ({"keep": lambda w: w.detach()}, SHARED),
        ({"keep": lambda w: w.data, "back": into_slice}, SHARED),
        ({"keep": lambda w: w.detach(), "back": into_data}, SHARED),
        ({"back": into_data}, ADOPTED),
    ],
)
def test_why_w_does_not_come_back_is_said_whatever_else_is_wrong(options, hint, epsilon):
    feedback = checks.f_method(written(epsilon=epsilon, **options))
    assert (feedback.state, feedback.message) == ("almost", hint)


def test_a_copy_may_be_attached_and_put_back_in_two_ways():
    for back in (torch.Tensor.copy_, into_slice):
        assert checks.f_method(written(back=back)).state == "correct"
    assert checks.f_method(written(keep=torch.clone)).state == "correct"


def test_a_right_direction_whose_weights_stay_moved():
    def stays(w, losses, rho, A):
        old = w.detach().clone()
        clean, flat = [torch.autograd.grad(loss(), w)[0] for loss in losses], []
        for loss, g in zip(losses, clean, strict=True):
            with torch.no_grad():
                w.copy_(old + safe(g, rho))
            flat.append(torch.autograd.grad(loss(), w)[0] - g)
        return A(torch.stack(clean)) + A(torch.stack(flat))

    assert checks.f_method(stays).message == FORGOTTEN


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "only a task whose gradient is 0"),
        ({"flat": lambda sam, g: sam}, "counts the loss twice"),
        ({"epsilon": lambda g, rho: g / g.norm()}, "ρ is missing"),
        ({"epsilon": lambda g, rho: rho * g / g.norm() ** 2}, "squared length"),
    ],
)
def test_a_gradient_of_0_is_named_only_when_all_else_is_right(options, word):
    feedback = checks.f_method(written(**{"epsilon": nan_at_zero, **options}))
    assert feedback.state == "almost"
    assert word in feedback.message


def test_the_core_does_not_speak_of_batches_to_a_learner():
    def unknown_mistake(w, losses, rho, A):
        return A(torch.stack([w.detach() / 0 for _ in losses]))

    feedback = checks.f_method(unknown_mistake)
    assert (feedback.state, feedback.message) == ("keep working", NOT_FINITE)
