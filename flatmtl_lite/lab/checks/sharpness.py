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
    edges=2,
    right=worst_case,
    mistakes={
        "ρ is the length of ε, so the gradient must first be divided by its own length.": (
            lambda g, rho: rho * g
        ),
        "your ε goes downhill. The worst case lies uphill.": lambda g, rho: -worst_case(g, rho),
        "you divide by the squared length. But g/‖g‖² does not have length 1: divide by the length.": (
            lambda g, rho: rho * g / (g @ g)
        ),
        "ρ is missing: your ε has length 1. Multiply by ρ.": lambda g, rho: unit(g),
        "only one case is wrong: where the gradient is 0, your ε is NaN. There ε must be 0.": (
            lambda g, rho: rho * unit(g)
        ),
        "where the gradient is 0 you return one number. Return a vector of zeros: torch.zeros_like(g).": (
            lambda g, rho: rho * unit(g) if g.any() else 0.0
        ),
        "the signs of the entries give the worst case in a box. In a ball the worst case is along g.": (
            lambda g, rho: rho * g.sign()
        ),
    },
    praise="ε points uphill and has length ρ, for a gradient of any length.",
)


def gradient_of_a_bowl(theta: Tensor) -> Tensor:
    """Return the gradient of (x² + 9 y²)/2."""
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
        "you return the gradient at θ. SAM takes it at θ+ε.": lambda gradient, theta, rho: gradient(theta),
        "you take the gradient at θ-ε. Go uphill, to θ+ε.": lambda gradient, theta, rho: gradient(
            2 * theta - _moved(theta, gradient, rho)
        ),
        "you add ε to the gradient. Add it to the point, and evaluate the gradient again at θ+ε.": (
            lambda gradient, theta, rho: gradient(theta) + worst_case(gradient(theta), rho)
        ),
        "you return the flat part g(θ+ε) - g(θ). SAM's gradient is the whole g(θ+ε).": (
            lambda gradient, theta, rho: gradient(_moved(theta, gradient, rho)) - gradient(theta)
        ),
        "divide the gradient by its length before you multiply by ρ.": (
            lambda gradient, theta, rho: gradient(theta + rho * gradient(theta))
        ),
        "ρ is missing: your ε has length 1. Multiply by ρ.": (
            lambda gradient, theta, rho: gradient(_moved(theta, gradient, 1.0))
        ),
        "divide the gradient by its length, not by its squared length.": (
            lambda gradient, theta, rho: gradient(theta + rho * gradient(theta) / gradient(theta).norm() ** 2)
        ),
        "you take the gradient at ε. Add ε to θ first: take it at θ+ε.": (
            lambda gradient, theta, rho: gradient(worst_case(gradient(theta), rho))
        ),
        "you return the point θ+ε. Return the gradient at that point.": (
            lambda gradient, theta, rho: _moved(theta, gradient, rho)
        ),
        "you add the gradients at θ and at θ+ε. SAM's gradient is the second one alone.": (
            lambda gradient, theta, rho: gradient(theta) + gradient(_moved(theta, gradient, rho))
        ),
    },
    praise="this is SAM's gradient: go uphill, take the gradient there, and use it at θ.",
)

shared_epsilon = Exercise(
    arguments=("G", "rho"),
    cases=[(torch.stack(pair), rho) for pair in PAIRS for rho in (0.1, 1.0)],
    right=lambda G, rho: worst_case(G.mean(0), rho),
    mistakes={
        "you take the mean of each task's ε. It is shorter than ρ. Take the mean of the gradients first.": (
            lambda G, rho: worst_case(G, rho).mean(0)
        ),
        "you give every task its own ε. The exercise asks for one ε for all, from the "
        "mean gradient.": worst_case,
        "you take the sum of each task's ε. Its length is not ρ. Take the mean of the "
        "gradients first.": lambda G, rho: worst_case(G, rho).sum(0),
        "ρ is the length of ε. Divide the mean gradient by its own length.": lambda G, rho: rho * G.mean(0),
        "divide the mean gradient by its own length, not by the length of the whole matrix G.": (
            lambda G, rho: rho * G.mean(0) / G.norm()
        ),
        "ρ is missing: your ε has length 1. Multiply by ρ.": lambda G, rho: worst_case(G.mean(0), 1.0),
        "take the mean over the tasks (the rows of G), not over the coordinates.": (
            lambda G, rho: worst_case(G.mean(1), rho)
        ),
    },
    praise="this ε is the worst case of the mean loss. It costs one pass for all tasks together.",
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
        "this is plain SAM. The size of each weight must enter.": lambda g, theta, rho: worst_case(g, rho),
        "|θ| enters twice: once inside the norm, and once more on the way back: ε = ρ |θ|²g/‖|θ|g‖.": (
            lambda g, theta, rho: worst_case(theta.abs() * g, rho)
        ),
        "the denominator must be the norm of |θ|g, not the norm of g.": (
            lambda g, theta, rho: rho * theta**2 * g / g.norm()
        ),
        "the denominator must be the norm of |θ|g, not the norm of |θ|²g.": (
            lambda g, theta, rho: worst_case(theta**2 * g, rho)
        ),
        "|θ| is missing from the numerator. It stands there squared: ε = ρ |θ|²g/‖|θ|g‖.": (
            lambda g, theta, rho: rho * g / (theta * g).norm()
        ),
        "|θ| is taken entry by entry: theta.abs(). You take the length of θ.": (
            lambda g, theta, rho: worst_case(g, rho) * theta.norm()
        ),
        "ρ is missing. Multiply by ρ.": lambda g, theta, rho: worst_case(g, 1.0, theta),
    },
    praise="in units of each weight, ‖ε/θ‖ = ρ. Rescaling a weight no longer changes the picture.",
)
