"""Exercises of notebook 03: the flat part, the Hessian's prediction, three kinds of conflict, bf16."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...diagnostics import cosines_of_gramian
from ...diagnostics import predicted_flat as predicted
from ...perturbation import worst_case
from .exercise import Exercise
from .sharpness import gradient_of_a_bowl
from .vectors import unit, vector


def _difference(gradient: Callable, theta: Tensor, eps: Tensor) -> Tensor:
    return gradient(theta + eps) - gradient(theta)


flat_part = Exercise(
    arguments=("gradient", "theta", "rho"),
    cases=[
        (gradient_of_a_bowl, vector(1, 1), 0.1),
        (torch.sin, vector(0.4, 1), 0.3),
        (gradient_of_a_bowl, vector(-2, 0.3), 0.5),
        (gradient_of_a_bowl, vector(-2, 0.3), 0.0),
        (gradient_of_a_bowl, vector(0, 0), 0.2),
    ],
    edges=2,
    right=lambda gradient, theta, rho: _difference(gradient, theta, worst_case(gradient(theta), rho)),
    mistakes={
        "you return SAM's gradient, which is loss part plus flat part. Subtract the gradient at θ.": (
            lambda gradient, theta, rho: gradient(theta + worst_case(gradient(theta), rho))
        ),
        "your difference has the wrong sign. SAM's gradient is loss part plus flat part.": (
            lambda gradient, theta, rho: -_difference(gradient, theta, worst_case(gradient(theta), rho))
        ),
        "ρ is the length of ε. Divide the gradient by its own length before the step.": (
            lambda gradient, theta, rho: _difference(gradient, theta, rho * gradient(theta))
        ),
        "only one case is wrong: where the gradient is 0, yours is NaN. There the flat part must be 0.": (
            lambda gradient, theta, rho: _difference(gradient, theta, rho * unit(gradient(theta)))
        ),
        "ρ is missing: your ε has length 1. Multiply by ρ.": (
            lambda gradient, theta, rho: _difference(gradient, theta, worst_case(gradient(theta), 1.0))
        ),
        "where the gradient is 0 you return one number. Return a vector of zeros.": (
            lambda gradient, theta, rho: (
                _difference(gradient, theta, worst_case(gradient(theta), rho))
                if gradient(theta).any()
                else 0.0
            )
        ),
        "you return ε. Return the change of the gradient along ε.": (
            lambda gradient, theta, rho: worst_case(gradient(theta), rho)
        ),
        "you take the gradient at ε. Add ε to θ first: take it at θ+ε.": (
            lambda gradient, theta, rho: gradient(worst_case(gradient(theta), rho)) - gradient(theta)
        ),
        "your ε goes downhill. It must go along the gradient, not against it.": (
            lambda gradient, theta, rho: _difference(gradient, theta, -worst_case(gradient(theta), rho))
        ),
        "you divide by ρ: this is the slope of the gradient along the step. The flat part is not divided.": (
            lambda gradient, theta, rho: _difference(gradient, theta, worst_case(gradient(theta), rho)) / rho
        ),
    },
    praise="the flat part is a difference of two gradients, and it is 0 at ρ = 0.",
)


def quartic(theta: Tensor) -> Tensor:
    """Return (x⁴ + y⁴)/4 + x y."""
    return (theta**4).sum() / 4 + theta.prod()


def logistic(theta: Tensor) -> Tensor:
    """Return the logistic loss of three samples."""
    samples = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [3.0, -1.0]], dtype=torch.float64)
    return torch.nn.functional.softplus(samples @ theta).mean()


def _hessian_times(loss: Callable, theta: Tensor, direction: Callable[[Tensor], Tensor]) -> Tensor:
    """Return H times a function of the gradient g, which is held fixed."""
    w = theta.clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(w), w, create_graph=True)
    return torch.autograd.grad(g, w, direction(g.detach()))[0]


def _predicted(loss: Callable, theta: Tensor, rho: float) -> Tensor:
    w = theta.clone().requires_grad_()
    return predicted(lambda: loss(w), [w], rho)


def _flat_of(loss: Callable, theta: Tensor, rho: float) -> Tensor:
    gradient = torch.func.grad(loss)
    return _difference(gradient, theta, worst_case(gradient(theta), rho))


predicted_flat = Exercise(
    arguments=("loss", "theta", "rho"),
    cases=[(quartic, vector(1, -0.5), 0.1), (logistic, vector(0.3, 0.4), 0.5), (quartic, vector(2, 1), 0.2)],
    right=_predicted,
    mistakes={
        "ρ is missing. You return Hg/‖g‖.": lambda loss, theta, rho: _hessian_times(loss, theta, unit),
        "divide the gradient by its length. You return ρHg.": (
            lambda loss, theta, rho: _hessian_times(loss, theta, lambda g: rho * g)
        ),
        "divide the gradient by its length, and multiply by ρ. You return Hg.": (
            lambda loss, theta, rho: _hessian_times(loss, theta, lambda g: g)
        ),
        "divide by the length of the gradient once. You return ρHg/‖g‖².": (
            lambda loss, theta, rho: _hessian_times(loss, theta, lambda g: rho * g / (g @ g))
        ),
        "your vector is twice too long. With u = g/‖g‖, the slope of ⟨g, u⟩ counts H twice. Hold u "
        "fixed: u.detach().": (lambda loss, theta, rho: 2 * _predicted(loss, theta, rho)),
        "you return the curvature along g, one number. Return the whole vector ρHg/‖g‖.": (
            lambda loss, theta, rho: _predicted(loss, theta, rho) @ unit(torch.func.grad(loss)(theta))
        ),
        "you return the flat part itself. Return the prediction of it by the Hessian at θ.": _flat_of,
    },
    praise=(
        "nobody needs to write out the Hessian. Your vector is also the gradient of ρ‖g‖, a penalty "
        "on the slope."
    ),
)


def _gramian(*rows: tuple[float, ...]) -> Tensor:
    R = vector(*[v for row in rows for v in row]).view(len(rows), -1)
    return R @ R.T


def _of_pairs(C: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    return torch.stack([C[pair] for pair in pairs])


KINDS = ((0, 1), (2, 3), (0, 2), (1, 3))

conflicts = Exercise(
    arguments=("M",),
    cases=[
        (_gramian((1, 2, 0), (-2, 1, 1), (0, 3, 1), (1, -1, 2)),),
        (_gramian((2, 0, 1), (1, 1, -1), (-1, 0.5, 0), (0, 2, 3)),),
    ],
    right=lambda M: _of_pairs(cosines_of_gramian(M), KINDS),
    mistakes={
        "you return inner products. Divide each by both lengths, the roots of the diagonal of M.": (
            lambda M: _of_pairs(M, KINDS)
        ),
        "you divide by the squared lengths. The diagonal of M holds squares: take roots.": (
            lambda M: _of_pairs(M / torch.outer(M.diagonal(), M.diagonal()), KINDS)
        ),
        "you divide by the squared length of one row. Divide by the lengths of both.": (
            lambda M: _of_pairs(M / M.diagonal(), KINDS)
        ),
        "you divide by the squared length of one row. Divide by both lengths.": (
            lambda M: _of_pairs(M.T / M.diagonal()[:, None], KINDS)
        ),
        "you divide by one length only. Divide by the lengths of both rows.": (
            lambda M: _of_pairs(M / M.diagonal().sqrt(), KINDS)
        ),
        "an absolute value hides every conflict. A negative cosine must stay negative.": (
            lambda M: _of_pairs(cosines_of_gramian(M).abs(), KINDS)
        ),
        "you return angles in degrees. Return the cosines.": (
            lambda M: torch.rad2deg(torch.acos(_of_pairs(cosines_of_gramian(M), KINDS)))
        ),
        "the rows of M are loss 1, loss 2, flat 1, flat 2. You read them as loss 1, flat 1, "
        "loss 2, flat 2.": (lambda M: _of_pairs(cosines_of_gramian(M), ((0, 2), (1, 3), (0, 1), (2, 3)))),
        "your last two compare different tasks. Within a task, compare its loss part with its flat part.": (
            lambda M: _of_pairs(cosines_of_gramian(M), ((0, 1), (2, 3), (0, 3), (1, 2)))
        ),
    },
    praise="one product of the four rows holds all three kinds of conflict.",
)


def _stays(theta: Tensor, epsilon: Tensor) -> Tensor:
    return ((theta.float() + epsilon).bfloat16() == theta).double()


unmoved = Exercise(
    arguments=("theta", "epsilon"),
    cases=[
        (torch.tensor([1.0, 1.0, -3.0, 0.5, 8.0]).bfloat16(), torch.tensor([0.001, 0.01, 0.002, -0.001, 0])),
        (torch.tensor([1.9, 0.0, -0.25, 2.0, 7.0]).bfloat16(), torch.tensor([0.0038, 1e-6, 0.0, 0.1, -0.01])),
        # the first step is a little more than half a gap, and rounded to bf16 it is half a gap
        (torch.tensor([1.0, 1.0, -3.0]).bfloat16(), torch.tensor([2**-8 + 2**-18, 0.5, 0.001])),
    ],
    right=lambda theta, epsilon: _stays(theta, epsilon).mean(),
    mistakes={
        "θ + ε is float32 here, so it keeps the small step. Round the sum back to bf16, the format of "
        "the weights.": (lambda theta, epsilon: (theta.float() + epsilon == theta).double().mean()),
        "you round ε to bf16 before you add it. Add ε as it is, and round only the sum.": (
            lambda theta, epsilon: _stays(theta, epsilon.bfloat16()).mean()
        ),
        "you return the share of weights that move. Return the share that stays.": lambda theta, epsilon: (
            1 - _stays(theta, epsilon).mean()
        ),
        "you return the number of weights that stay. Return their share: use .mean().": (
            lambda theta, epsilon: _stays(theta, epsilon).sum()
        ),
        "2⁻⁹|θ| is only the smallest step that can move a weight. The numbers of bf16 are evenly "
        "spaced between "
        "powers of two, so round the sum and compare.": lambda theta, epsilon: (
            (epsilon.abs() < theta.float().abs() * 2**-9).double().mean()
        ),
    },
    praise="a weight stays where it is if ε is less than half the gap to the next bf16 number.",
)
