"""Exercises of notebook 02: ε, the SAM gradient, one ε for all tasks, adaptive ε."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...perturbation import worst_case
from .exercise import Exercise
from .vectors import PAIRS, unit, vector

GRADIENTS = [vector(3, 4), vector(-0.2, 0.05), vector(0, 7), vector(0, 0)]

perturbation = Exercise(
    arguments=("g", "rho"),
    cases=[(g, rho) for g in GRADIENTS for rho in (0.05, 0.5)],
    right=worst_case,
    mistakes={
        "ρ is the length of ε, so the gradient must first be divided by its own length.": (
            lambda g, rho: rho * g
        ),
        "this goes downhill; the worst case lies uphill.": lambda g, rho: -worst_case(g, rho),
        "divided by the squared length: g/‖g‖² is not of length 1.": (
            lambda g, rho: torch.where(g.norm() > 0, rho * g / (g @ g).clamp_min(1e-300), 0.0)
        ),
        "divided by the squared length (and NaN where the gradient is 0): g/‖g‖² is not of length 1.": (
            lambda g, rho: rho * g / (g @ g)
        ),
        "right but for one case: where the gradient is 0 yours is NaN; there ε is 0.": (
            lambda g, rho: rho * unit(g)
        ),
        "the sign of each entry is the worst case in a box; in a ball it is the direction of g.": (
            lambda g, rho: rho * g.sign()
        ),
    },
    praise="ε points uphill and is ρ long, whatever the length of the gradient.",
)


def gradient_of_a_bowl(theta: Tensor) -> Tensor:
    """Gradient of (x² + 9 y²)/2."""
    return theta * vector(1, 9)


def _moved(theta: Tensor, gradient: Callable, rho: float) -> Tensor:
    return theta + worst_case(gradient(theta), rho)


sam_gradient = Exercise(
    arguments=("gradient", "theta", "rho"),
    cases=[
        (gradient_of_a_bowl, vector(1, 1), 0.1),
        (gradient_of_a_bowl, vector(-2, 0.3), 0.5),
        (torch.sin, vector(0.4, 1), 0.3),
    ],
    right=lambda gradient, theta, rho: gradient(_moved(theta, gradient, rho)),
    mistakes={
        "this is the gradient at θ; SAM takes it at θ+ε.": lambda gradient, theta, rho: gradient(theta),
        "taken at θ-ε: ε must go uphill.": lambda gradient, theta, rho: gradient(
            2 * theta - _moved(theta, gradient, rho)
        ),
        "ε moves the point, not the gradient: evaluate the gradient again at θ+ε.": (
            lambda gradient, theta, rho: gradient(theta) + worst_case(gradient(theta), rho)
        ),
        "this is the flat part g(θ+ε) - g(θ); SAM's gradient is the whole g(θ+ε).": (
            lambda gradient, theta, rho: gradient(_moved(theta, gradient, rho)) - gradient(theta)
        ),
        "the gradient was not divided by its length before the step of ρ.": (
            lambda gradient, theta, rho: gradient(theta + rho * gradient(theta))
        ),
    },
    praise="that is SAM's gradient: look uphill, come back, and step with what you saw there.",
)

shared_epsilon = Exercise(
    arguments=("G", "rho"),
    cases=[(torch.stack(pair), rho) for pair in PAIRS for rho in (0.1, 1.0)],
    right=lambda G, rho: worst_case(G.mean(0), rho),
    mistakes={
        "this is the mean of the tasks' own ε; it is shorter than ρ. Take the mean of the gradients first.": (
            lambda G, rho: worst_case(G, rho).mean(0)
        ),
        "this gives every task its own ε; one shared ε of the mean gradient is asked for.": worst_case,
        "the sum of the tasks' ε is not of length ρ.": lambda G, rho: worst_case(G, rho).sum(0),
        "ρ is the length of ε: divide the mean gradient by its own length.": lambda G, rho: rho * G.mean(0),
    },
    praise="one ε for all tasks: the worst case of the mean loss, at the price of one pass.",
)

adaptive_epsilon = Exercise(
    arguments=("g", "theta", "rho"),
    cases=[
        (vector(3, 4), vector(1, 2), 0.5),
        (vector(-1, 0.5), vector(-0.2, 3), 0.1),
        (vector(2, -1), vector(0.5, -0.5), 1.0),
    ],
    right=lambda g, theta, rho: worst_case(g, rho, theta),
    mistakes={
        "this is plain SAM: the size of each weight must enter.": lambda g, theta, rho: worst_case(g, rho),
        "|θ| enters twice: once inside the norm, and once more on the way back, ε = ρ |θ|²g/‖|θ|g‖.": (
            lambda g, theta, rho: worst_case(theta.abs() * g, rho)
        ),
        "the norm in the denominator is that of |θ|g, not that of g.": (
            lambda g, theta, rho: rho * theta**2 * g / g.norm()
        ),
        "the norm in the denominator is that of |θ|g, not that of |θ|²g.": (
            lambda g, theta, rho: worst_case(theta**2 * g, rho)
        ),
    },
    praise="measured in units of each weight, ‖ε/θ‖ = ρ: rescaling a weight no longer changes the picture.",
)
