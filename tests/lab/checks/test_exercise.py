"""The four answers of an exercise: missing, keep working, almost, correct."""

import torch

from flatmtl_lite.lab import checks
from flatmtl_lite.lab.checks import Feedback


def test_keep_working_shows_the_first_case_that_differs():
    feedback = checks.perturbation(lambda g, rho: g)
    text = "for g = [3.0, 4.0], rho = 0.05 your function gives [3.0, 4.0], expected [0.03, 0.04]"
    assert text in feedback.message


def test_an_answer_cannot_spoil_the_cases():
    def spoils(g, rho):
        return g.mul_(0)

    assert checks.perturbation(spoils).state == "keep working"
    assert checks.perturbation(checks.perturbation.right).state == "correct"


def test_a_right_answer_that_changes_its_argument_is_only_almost_right():
    def never_comes_back(gradient, theta, rho):
        theta += rho * gradient(theta) / gradient(theta).norm()
        return gradient(theta)

    def steps_in_place(theta, G, lr):
        theta -= lr * G.mean(0)
        return theta

    for feedback in (checks.sam_gradient(never_comes_back), checks.mean_step(steps_in_place)):
        assert feedback.state == "almost"
        assert "changes theta in place" in feedback.message


def test_an_answer_of_several_tensors():
    right = checks.rescale.right
    for answer in (lambda *case: right(*case)[:3], lambda *case: right(*case)[0], lambda *case: ("a",) * 4):
        assert checks.rescale(answer).state == "keep working"
    feedback = checks.rescale(lambda W1, b1, W2, b2, alpha: (b1, b1, b1, b2))
    assert "your function gives ([0.2, -0.1, 1.0], [0.2," in feedback.message

    def grows_in_place(W1, b1, W2, b2, alpha):
        W1 *= alpha
        return W1, alpha * b1, W2 / alpha, b2

    assert "changes W1 in place" in checks.rescale(grows_in_place).message


def test_half_an_answer_is_not_missing():
    assert checks.angle(lambda g1, g2: None if g1[0] == 1 else 45.0).state == "keep working"


def test_keep_working_names_losses_and_aggregator():
    feedback = checks.f_method(lambda w, losses, rho, A: torch.ones(2))
    assert "losses = [bowl, wave], rho = 0.3, A = MGDA your function gives [1.0, 1.0]" in feedback.message


def test_feedback_is_readable_as_text_and_as_html():
    feedback = Feedback("almost", "a < b")
    assert repr(feedback) == "◑ almost: a < b"
    assert "a &lt; b" in feedback._repr_html_()
