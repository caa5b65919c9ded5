"""The four answers of an exercise: missing, keep working, almost, correct."""

import pytest
import torch

from flatmtl_lite.lab import checks
from flatmtl_lite.lab.checks import Feedback
from flatmtl_lite.lab.checks.exercise import LOOKS, NEARLY, TINT
from tests.lab.figures.test_style import contrast


def test_keep_working_shows_the_first_case_that_differs():
    feedback = checks.perturbation(lambda g, rho: 2 * g)
    text = "for g = [3.0, 4.0], rho = 0.05 your function gives [6.0, 8.0], expected [0.03, 0.04]"
    assert text in feedback.message


@pytest.mark.parametrize("state", LOOKS)
def test_feedback_stands_out_on_light_and_dark_pages(state):
    box = Feedback(state, "words")._repr_html_()
    color = LOOKS[state][1]
    assert f"color:var(--jp-content-font-color1, inherit);background:{color}{TINT};" in box
    share = int(TINT, 16) / 255
    for ink, paper in (("#212121", "#ffffff"), ("#ffffff", "#111111")):  # JupyterLab's, light and dark
        mixed = (
            round(share * int(color[k : k + 2], 16) + (1 - share) * int(paper[k : k + 2], 16))
            for k in (1, 3, 5)
        )
        assert contrast(ink, "#" + "".join(f"{part:02x}" for part in mixed)) >= 4.5
        assert contrast(color, paper) >= 3


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
    feedback = checks.f_method(lambda w, losses, rho, A: rho * torch.ones(2))
    assert "losses = [bowl, wave], rho = 0.3, A = MGDA your function gives [0.3, 0.3]" in feedback.message


@pytest.mark.parametrize(
    ("name", "answer", "plain"),
    [
        (
            "additive",
            lambda A, G, H: A(G + H) == A(G) + A(H),
            "gives several answers, [True, False]. Return one",
        ),
        ("angle", lambda g1, g2: torch.acos(g1 * g2), "gives several numbers, [3.1416, 1.5708]. Return one"),
        ("pcgrad", lambda g1, g2: g1 / 2 if g1 @ g2 < 0 else None, "gives [0.5, 0.0], expected [0.25, 0.75]"),
        ("mean_step", lambda theta, G, lr: None if lr > 0.1 else theta - lr * G.mean(0), "returns nothing"),
        (
            "rule_weights",
            lambda M, A: checks.rule_weights.right(M, A).flatten(),
            "have the shape (8,), expected (2, 4)",
        ),
        ("rule_weights", lambda M, A: tuple(checks.rule_weights.right(M, A)), "not one tensor"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_told_in_plain_words(name, answer, plain):
    feedback = getattr(checks, name)(answer)
    assert feedback.state == "keep working"
    assert plain in feedback.message


def test_the_ordinary_cases_are_judged_before_the_edges():
    for exercise in (checks.perturbation, checks.flat_part, checks.f_method):
        edge = exercise.cases[-exercise.edges :]
        assert 0 < exercise.edges < len(exercise.cases) - 1
        assert any(isinstance(value, torch.Tensor) and not value.all() for case in edge for value in case)
    feedback = checks.perturbation(lambda g, rho: rho * g / (g @ g))  # NaN at 0 too
    assert "squared length" in feedback.message
    assert "is NaN" not in feedback.message
    feedback = checks.perturbation(lambda g, rho: 3 * rho * g / g.norm())
    assert "for g = [3.0, 4.0]" in feedback.message


def test_feedback_is_readable_as_text_and_as_html():
    feedback = Feedback("almost", "a < b")
    assert repr(feedback) == "◑ almost: a < b"
    assert "a &lt; b" in feedback._repr_html_()


@pytest.mark.parametrize("added", [1e-6, 1e-5])
def test_an_answer_that_is_nearly_right_is_told_so(added):
    feedback = checks.perturbation(lambda g, rho: rho * g / (g.norm() + added))
    assert feedback == Feedback("almost", NEARLY)


def test_two_values_that_differ_read_differently():
    feedback = checks.perturbation(lambda g, rho: rho * g / (g.norm() + 2e-3))
    assert "gives [0.029988, 0.039984], expected [0.03, 0.04]" in feedback.message


def errs(body):
    """Return an F-method whose loop over the tasks does this with w, a loss and a step e."""

    def f_method(w, losses, rho, A):
        flat = [body(w, loss, rho * torch.ones_like(w)) for loss in losses]
        return A(torch.stack(flat))

    return f_method


def moves_a_leaf(w, loss, e):
    w += e
    return torch.autograd.grad(loss(), w)[0]


def makes_a_new_tensor(w, loss, e):
    w = w + e
    return torch.autograd.grad(loss(), w)[0]


def makes_a_new_tensor_without_grad(w, loss, e):
    with torch.no_grad():
        w = w + e
    return torch.autograd.grad(loss(), w)[0]


def asks_twice(w, loss, e):
    value = loss()
    return torch.autograd.grad(value, w)[0] + torch.autograd.grad(value, w)[0]


def changes_too_late(w, loss, e):
    value = loss()
    with torch.no_grad():
        w += e
    return torch.autograd.grad(value, w)[0]


def records_nothing(w, loss, e):
    with torch.no_grad():
        return torch.autograd.grad(loss(), w)[0]


def multiplies_the_tuple(w, loss, e):
    return 0.1 * torch.autograd.grad(loss(), w)


def asks_the_tuple(w, loss, e):
    return torch.autograd.grad(loss(), w).norm()


def differentiates_a_vector(w, loss, e):
    return torch.autograd.grad(loss() * e, w)[0]


def asks_a_vector(w, loss, e):
    return e if e > 0 else -e


def stacks_two_lengths(w, loss, e):
    return torch.stack([e, e[:1]])


PLAIN = [
    (records_nothing, "outside torch.no_grad()", "does not have a grad_fn"),
    (multiplies_the_tuple, "returns a tuple", "can't multiply sequence"),
    (asks_the_tuple, "returns a tuple", "'tuple' object has no attribute"),
    (differentiates_a_vector, "only a single number", "scalar outputs"),
    (asks_a_vector, "one answer per entry", "Boolean value of Tensor"),
    (stacks_two_lengths, "torch.cat joins", "equal size"),
    (moves_a_leaf, "cannot be changed in place while PyTorch records", "a leaf Variable"),
    (makes_a_new_tensor, "w = w + ε makes a new tensor that no loss ever reads", "not have been used"),
    (makes_a_new_tensor_without_grad, "makes a new, untracked tensor", "does not require grad"),
    (asks_twice, "Compute the loss again", "a second time"),
    (changes_too_late, "was changed after the loss was computed", "inplace operation"),
]


@pytest.mark.parametrize(("body", "plain", "torch_says"), PLAIN)
def test_an_error_of_pytorch_is_explained(body, plain, torch_says):
    feedback = checks.f_method(errs(body))
    assert feedback.state == "keep working"
    assert plain in feedback.message
    assert torch_says in feedback.message  # to search for


def test_another_error_is_told_as_it_is():
    feedback = checks.angle(lambda g1, g2: g1[7])
    assert feedback.message.startswith("your function raised IndexError: index 7")
