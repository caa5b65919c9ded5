"""Every exercise: a right answer, the classic wrong ones, and nonsense."""

import copy
import math

import pytest
import torch

from flatmtl_lite.lab import checks
from flatmtl_lite.lab.checks import Exercise, Feedback
from flatmtl_lite.lab.checks.exercise import _equal, _outcome

EXERCISES = {name: value for name, value in vars(checks).items() if isinstance(value, Exercise)}
EACH = pytest.mark.parametrize("name", EXERCISES)


def test_there_are_at_least_three_a_notebook():
    assert set(EXERCISES) == {
        *("angle", "mean_step", "pcgrad"),
        *("perturbation", "sam_gradient", "shared_epsilon", "adaptive_epsilon"),
        *("good_for_all", "mgda", "pcgrad_in_order", "keeps_scale"),
        *("flat_part", "predicted_flat", "conflicts", "unmoved"),
        *("rescale", "union_bound", "rayleigh", "expected_calibration_error"),
        *("decomposed_rule", "rule_weights", "additive", "f_method"),
        *("pulls", "depth_error", "delta_m"),
        *("paired_difference", "noisy_accuracy", "judge"),
        *("samo_passes", "samo_direction", "reused_flat", "polar"),
    }
    assert min(len(exercise.mistakes) for exercise in EXERCISES.values()) >= 4


def f_method(w, losses, rho, A):
    start, clean, flat = w.detach().clone(), [], []
    for loss in losses:
        clean.append(torch.autograd.grad(loss(), w)[0])
    for loss, g in zip(losses, clean, strict=True):
        with torch.no_grad():
            w += rho * g / (g.norm() + 1e-12)
        flat.append(torch.autograd.grad(loss(), w)[0] - g)
        with torch.no_grad():
            w.copy_(start)
    return A(torch.stack(clean)) + A(torch.stack(flat))


def pcgrad_in_order(G, order):
    total = torch.zeros_like(G[0])
    for i, v in enumerate(G):
        for g in (G[j] for j in order if j != i):
            v = v - torch.clamp(v @ g, max=0) / g.norm() ** 2 * g
        total += v / len(G)
    return total


def rule_weights(M, A):
    T = len(M) // 2
    add = torch.cat([torch.eye(T)] * 2, 1).double()  # the sums are add @ [loss; flat]
    direct = A.weights(add @ M @ add.T)
    return torch.stack([direct @ add, torch.cat([A.weights(M[:T, :T]), A.weights(M[T:, T:])])])


def depth_error(pred, depth):
    total, count = 0, 0
    for p, d in zip(pred, depth):
        total += (p - d)[d > 0].abs().sum()
        count += (d > 0).sum()
    return total / count


def samo_direction(g0, z, plus, minus, alpha):
    local = (plus - minus) / 0.02 * z
    return alpha * g0 + (1 - alpha) * local * g0.norm() / local.norm()


def reused_flat(flat, then, now):
    if not then.any():
        return torch.zeros_like(flat)
    return now.norm() / then.norm() * flat


def polar(matrix):
    """From the eigenvectors of M Mᵀ or MᵀM, whichever has full rank."""
    if len(matrix) > matrix.shape[1]:
        return polar(matrix.T).T
    squares, U = torch.linalg.eigh(matrix @ matrix.T)
    return U / squares.sqrt() @ U.T @ matrix


# written as a learner would, without the core
WRITTEN = {
    "pcgrad_in_order": pcgrad_in_order,
    "rule_weights": rule_weights,
    "decomposed_rule": lambda loss, flat, A: A(loss) + A(flat),
    "additive": lambda A, G, H: bool((A(G + H) - A(G) - A(H)).norm() < 1e-9),
    "f_method": f_method,
    "angle": lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2 / g1.norm() / g2.norm())),
    "mean_step": lambda theta, G, lr: theta - lr * (G[0] + G[1]) / 2,
    "pcgrad": lambda g1, g2: (
        sum(g - min(g @ o / (o @ o), torch.zeros(())) * o for g, o in ((g1, g2), (g2, g1))) / 2
    ),
    "perturbation": lambda g, rho: rho * g / g.norm() if g.norm() > 0 else 0 * g,
    "sam_gradient": lambda gradient, theta, rho: gradient(
        theta + rho * gradient(theta) / gradient(theta).norm()
    ),
    "shared_epsilon": lambda G, rho: rho * G.mean(0) / G.mean(0).norm(),
    "adaptive_epsilon": lambda g, theta, rho: rho * theta**2 * g / (theta * g).norm(),
    "good_for_all": lambda G, d: all(g @ d > 0 for g in G),
    "mgda": lambda g1, g2: (
        g2
        if g1 @ g2 >= g2 @ g2
        else g1
        if g1 @ g2 >= g1 @ g1
        else g1 - (g1 @ (g1 - g2)) / (g1 - g2).norm() ** 2 * (g1 - g2)
    ),
    "keeps_scale": lambda A, G: bool(
        (A(torch.stack([G[1]] * len(G))) - G[1]).norm() < 1e-9 and (A(G / 2) - A(G) / 2).norm() < 1e-9
    ),
    "flat_part": lambda gradient, theta, rho: (
        gradient(theta + rho * gradient(theta) / gradient(theta).norm().clamp_min(1e-12)) - gradient(theta)
    ),
    "predicted_flat": lambda loss, theta, rho: (
        torch.autograd.functional.hessian(loss, theta)
        @ torch.func.grad(loss)(theta)
        * (rho / torch.func.grad(loss)(theta).norm())
    ),
    "conflicts": lambda M: [
        M[i, j] / (M[i, i] * M[j, j]).sqrt() for i, j in ((0, 1), (2, 3), (0, 2), (1, 3))
    ],
    "unmoved": lambda theta, epsilon: ((theta + epsilon).to(torch.bfloat16) == theta).float().mean(),
    "rescale": lambda W1, b1, W2, b2, alpha: [alpha * W1, alpha * b1, 1 / alpha * W2, b2],
    "union_bound": lambda tasks, delta: math.log(tasks) - math.log(delta),
    "rayleigh": lambda product, v: v @ product(v) / (v @ v),
    "expected_calibration_error": lambda count, confidence, accuracy: sum(
        n / sum(count) * abs(a - c) for n, c, a in zip(count, confidence, accuracy)
    ),
    "paired_difference": lambda one, other: [
        sum(one - other) / len(one),
        (((one - other) - sum(one - other) / len(one)) ** 2).sum().div(len(one) - 1).sqrt(),
    ],
    "noisy_accuracy": lambda accuracy, noise, classes: (
        accuracy - accuracy * noise + noise * (1 - accuracy) / (classes - 1)
    ),
    "judge": lambda low, high, matters: [bool(low > 0), bool(high < matters and not low > 0)],
    "pulls": lambda M: [
        sum(row) / len(M) / row[i].sqrt() / (M.sum() / len(M) ** 2).sqrt() for i, row in enumerate(M)
    ],
    "depth_error": depth_error,
    "samo_passes": lambda tasks, ratio: 1 + ratio + tasks * (2 + 1 + ratio),
    "samo_direction": samo_direction,
    "reused_flat": reused_flat,
    "polar": polar,
    "delta_m": lambda values, base, higher: sum(
        100 / len(base) * (b - m if up else m - b) / b for m, b, up in zip(values, base, higher)
    ),
}


@EACH
def test_a_right_answer_is_correct_and_each_classic_mistake_gets_its_own_hint(name):
    """A hint whose mistake gives the answers of another mistake would tell a learner the wrong thing."""
    exercise = EXERCISES[name]
    for answer in (WRITTEN[name], exercise.right):
        assert exercise(answer) == Feedback("correct", exercise.praise)
    answers = {
        hint: [_outcome(mistake, copy.deepcopy(case)) for case in exercise.cases]
        for hint, mistake in exercise.mistakes.items()
    }
    for hint, mistake in exercise.mistakes.items():
        assert exercise(mistake) == Feedback("almost", hint)
        alike = [other for other in answers if all(map(_equal, answers[hint], answers[other]))]
        assert alike == [hint]


TASKS = slice(0, 2), slice(2, 4), slice(4, 9)


def pcgrad_in_place(G, order):
    vectors = []
    for i in range(len(G)):
        v = G[i]
        for j in order:
            if j != i and v @ G[j] < 0:
                v -= v @ G[j] / (G[j] @ G[j]) * G[j]
        vectors.append(v)
    return torch.stack(vectors).mean(0)


def pcgrad_of_originals(G, order):
    V = G.clone()
    for i in order:
        for j in order:
            if G[i] @ G[j] < 0:
                V[i] -= (G[i] @ G[j]) / (G[j] @ G[j]) * G[j]
    return V.sum(0) / len(G)


def weights_of_two_blocks(M, A):
    T = len(M) // 2
    loss, flat = M[:T, :T], M[T:, T:]
    return torch.stack([A.weights(loss + flat).repeat(2), torch.cat([A.weights(loss), A.weights(flat)])])


def one_weighting_for_both_parts(M, A):
    T = len(M) // 2
    return torch.stack([rule_weights(M, A)[0], A.weights(M[:T, :T]).repeat(2)])


def step(gradient, theta, epsilon):
    return gradient(theta + epsilon) - gradient(theta)


def slope_of_twice(loss, theta, rho):
    w = theta.clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(w), w, create_graph=True)
    return rho * torch.autograd.grad(g @ g / g.norm().detach(), w)[0]


def pcgrad_overwrites(g1, g2):
    dot = g1 @ g2
    if dot < 0:
        g1 = g1 - dot / (g2 @ g2) * g2
        g2 = g2 - dot / (g1 @ g1) * g1
    return (g1 + g2) / 2


def pcgrad_overwrites_and_asks_again(g1, g2):
    if g1 @ g2 < 0:
        g1 = g1 - g1 @ g2 / (g2 @ g2) * g2
        g2 = g2 - g1 @ g2 / (g1 @ g1) * g1
    return (g1 + g2) / 2


CLASSIC = [
    ("pcgrad", pcgrad_overwrites, "project g2 on the changed g1"),
    ("pcgrad", pcgrad_overwrites_and_asks_again, "keep the original g1"),
    ("pcgrad", lambda g1, g2: (g1 + g2) / 2, "project both first"),
    ("angle", lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2 / g1.norm() * g2.norm())), "brackets"),
    ("mean_step", lambda theta, G, lr: theta - lr * G.mean(), "one number"),
    ("mean_step", lambda theta, G, lr: theta - G.mean(0), "learning rate is missing"),
    ("perturbation", lambda g, rho: rho * g / g.norm() if g.any() else 0, "one number"),
    ("sam_gradient", lambda gradient, t, rho: t + rho * gradient(t) / gradient(t).norm(), "the point"),
    ("shared_epsilon", lambda G, rho: rho * G.mean(0) / G.norm(), "the whole matrix"),
    ("adaptive_epsilon", lambda g, theta, rho: rho * theta.norm() * g / g.norm(), "the length of θ"),
    ("good_for_all", lambda G, d: G @ d > 0, "one answer per task"),
    ("good_for_all", lambda G, d: (d @ G > 0).all(), "mixes the tasks"),
    (
        "keeps_scale",
        lambda A, G: torch.allclose(A(G[:1]), G[0]) and torch.allclose(A(2 * G), 2 * A(G)),
        "T equal",
    ),
    ("decomposed_rule", lambda loss, flat, A: A(loss) + A(flat - loss), "already"),
    ("additive", lambda A, G, H: ((A(G + H) - A(G) - A(H)).abs() < 1e-8).any(), "not only some"),
    ("angle", lambda g1, g2: torch.acos(g1 @ g2 / g1.norm() / g2.norm()), "radians"),
    ("angle", lambda g1, g2: (g1 @ g2 / g1.norm() / g2.norm()).item(), "cosine"),
    ("mean_step", lambda theta, G, lr: theta - lr * (G[0] + G[1]), "sum"),
    ("mean_step", lambda theta, G, lr: theta + lr * G.mean(0), "climbs"),
    ("pcgrad", lambda g1, g2: (g1 - g1 @ g2 / (g2 @ g2) * g2 + g2 - g1 @ g2 / (g1 @ g1) * g1) / 2, "always"),
    ("pcgrad", lambda g1, g2: 2 * WRITTEN["pcgrad"](g1, g2), "you add the two"),
    ("perturbation", lambda g, rho: rho * g, "divided by its own length"),
    ("perturbation", lambda g, rho: rho * g / g.norm(), "NaN"),
    ("perturbation", lambda g, rho: rho * g / g.norm() ** 2, "squared"),
    ("sam_gradient", lambda gradient, theta, rho: gradient(theta), "θ+ε"),
    ("shared_epsilon", lambda G, rho: (rho * G / G.norm(dim=1, keepdim=True)).mean(0), "shorter"),
    ("adaptive_epsilon", lambda g, theta, rho: rho * theta.abs() * g / (theta * g).norm(), "twice"),
    ("good_for_all", lambda G, d: (G @ d).sum() > 0, "every row of G"),
    ("mgda", lambda g1, g2: g2 - ((g2 - g1) @ g2) / ((g1 - g2) @ (g1 - g2)) * (g2 - g1), "not yet cut"),
    ("pcgrad_in_order", pcgrad_in_place, "already changed"),
    ("pcgrad_in_order", pcgrad_of_originals, "present"),
    ("rule_weights", weights_of_two_blocks, "four terms"),
    ("rule_weights", one_weighting_for_both_parts, "asks A twice"),
    ("keeps_scale", lambda A, G: torch.allclose(A(3 * G), 3 * A(G)), "equal gradients come back"),
    ("flat_part", lambda gradient, theta, rho: step(gradient, theta, rho * gradient(theta)), "own length"),
    (
        "flat_part",
        lambda gradient, theta, rho: step(gradient, theta, rho * gradient(theta) / gradient(theta).norm()),
        "NaN",
    ),
    ("predicted_flat", slope_of_twice, "counts H twice"),
    ("conflicts", lambda M: [M[0, 1], M[2, 3], M[0, 2], M[1, 3]], "both lengths"),
    ("unmoved", lambda theta, epsilon: (theta + epsilon == theta).float().mean(), "float32"),
    ("unmoved", lambda t, e: ((t + e.bfloat16()) == t).float().mean(), "before you add"),
    ("additive", lambda A, G, H: torch.allclose(A(3 * G), 3 * A(G)), "every aggregator"),
    ("rescale", lambda W1, b1, W2, b2, alpha: [alpha * W1, b1, W2 / alpha, b2], "must grow with it"),
    ("union_bound", lambda tasks, delta: -math.log(delta), "δ/m"),
    ("rayleigh", lambda product, v: v @ product(v), "how long v is"),
    ("rayleigh", lambda product, v: product(v).norm() / v.norm(), "curves down"),
    ("expected_calibration_error", lambda n, c, a: (a - c).abs().mean(), "number of images"),
    ("pulls", lambda M: M.mean(1) / M.mean() / M.diagonal() ** 0.5, "take its root"),
    ("samo_passes", lambda T, b: 1 + b + T + T * (1 + b), "Each estimate takes two"),
    ("samo_passes", lambda T, b: 1 + T * b + 2 * T + T * (1 + b), "one backward pass of the mean loss"),
    ("samo_passes", lambda T, b: (1 + b) + 2 * T + (1 + b), "its own place"),
    ("samo_direction", lambda g0, z, p, m, a: a * g0 + (1 - a) * (p - m) * z, "the scaling is missing"),
    (
        "samo_direction",
        lambda g0, z, p, m, a: a * g0 + (1 - a) * (1 if p < m else -1) * z * g0.norm() / z.norm(),
        "turned round",
    ),
    (
        "samo_direction",
        lambda g0, z, p, m, a: a * g0 + (1 - a) * (p - m) * z / z.norm() * g0.norm(),
        "its sign is left",
    ),
    ("reused_flat", lambda flat, then, now: now.norm() / then.norm() * flat, "only a gradient of 0"),
    ("reused_flat", lambda flat, then, now: flat * (then.norm() / now.norm()), "upside down"),
    ("reused_flat", lambda flat, then, now: now.norm() * flat / flat.norm(), "the length of the gradient"),
    ("polar", lambda m: torch.linalg.svd(m).U @ torch.linalg.svd(m).Vh, "full_matrices"),
    ("polar", lambda m: torch.svd(m).U @ torch.svd(m).V, "already"),
    ("polar", lambda m: m / (m @ m.T).trace().sqrt(), "keep their ratios"),
    ("depth_error", lambda p, d: sum((a - b)[b > 0].abs().mean() for a, b in zip(p, d)) / len(p), "pixel"),
    ("depth_error", lambda p, d: sum((a - b).abs().sum() for a, b in zip(p, d)) / sum(map(len, d)), "holes"),
    ("delta_m", lambda v, b, up: (100 * (v - b) / b * (2 * up.double() - 1)).mean(), "turned round"),
    ("delta_m", lambda v, b, up: (100 * (v - b) / v * (1 - 2 * up.double())).mean(), "own values"),
    (
        "delta_m",
        lambda v, b, up: sum((100 * (v - b) / b * (1 - 2 * up.double()))[k].mean() for k in TASKS) / 3,
        "over the three tasks",
    ),
]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _, _ in CLASSIC))
def test_a_mistake_written_by_hand_gets_the_hint_about_it(name):
    for answer, word in [(answer, word) for other, answer, word in CLASSIC if other == name]:
        feedback = EXERCISES[name](answer)
        assert feedback.state == "almost"
        assert word in feedback.message


def not_written(*_):
    raise NotImplementedError


@EACH
def test_an_empty_answer_is_missing_and_nonsense_is_told_to_keep_working(name):
    for answer in (lambda *_: None, lambda *_: ..., not_written, None, ...):
        assert EXERCISES[name](answer).state == "missing"

    def several(*_):
        return [1, "x"]

    functions = (lambda *_: 1.25, lambda *_: "text", lambda *_: torch.ones(5), lambda: 0, several)
    for answer in (*functions, 3.0, object):
        feedback = EXERCISES[name](answer)
        assert feedback.state == "keep working"
        assert len(feedback.message) > 20


def constants(exercise):
    """Answers that pay no attention to the arguments, and those that give one of them back."""
    first, *others = [exercise.right(*copy.deepcopy(case)) for case in exercise.cases]
    for value in (first, others[0], True, False, 0, 0.0, 1.0, [0.0, 0.0]):
        yield lambda *_, value=value: value
    several = [0 * torch.as_tensor(value) for value in (first if isinstance(first, tuple) else [first])]
    zeros = tuple(several) if isinstance(first, tuple) else several[0]
    yield lambda *_: zeros
    if isinstance(first, torch.Tensor):
        yield lambda *case: 0 * exercise.right(*case)
    for k in range(len(exercise.arguments)):
        yield lambda *case, k=k: case[k]


@EACH
def test_a_constant_answer_and_an_argument_given_back_are_refused_and_told_why(name):
    exercise = EXERCISES[name]
    for answer in constants(exercise):
        feedback = exercise(answer)
        value = answer(*copy.deepcopy(exercise.cases[0]))
        assert feedback.state == "keep working"
        if isinstance(value, (torch.Tensor, bool, float)):
            assert "in every case" in feedback.message or "gives back" in feedback.message, value


def test_weights_that_come_back_by_subtraction_are_only_almost_right():
    def subtracts(w, losses, rho, A):
        clean = torch.stack([torch.autograd.grad(loss(), w)[0] for loss in losses])
        sam = []
        for loss, g in zip(losses, clean, strict=True):
            eps = rho * g / g.norm().clamp_min(1e-12)
            w.data += eps
            sam += [torch.autograd.grad(loss(), w)[0]]
            w.data -= eps
        return A(clean) + A(torch.stack(sam) - clean)

    feedback = checks.f_method(subtracts)
    assert feedback.state == "almost"
    assert "w is not bit for bit what it was" in feedback.message


def test_a_mistake_may_be_known_by_its_error():
    nan = next(message for message in checks.f_method.mistakes if "NaN" in message)
    with pytest.raises(ValueError, match="NaN"):  # the mistake is known by its error
        checks.f_method.mistakes[nan](*copy.deepcopy(checks.f_method.cases[-1]))


def test_rescaled_layers_compute_the_same_function():
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def f(W1, b1, W2, b2):
        return (x @ W1.T + b1).relu() @ W2.T + b2

    for *layers, alpha in checks.rescale.cases:
        torch.testing.assert_close(f(*checks.rescale.right(*layers, alpha)), f(*layers))
