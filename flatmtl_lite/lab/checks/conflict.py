"""Exercises of notebook 01: the angle, a step on the mean, PCGrad."""

import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...diagnostics import angles
from .exercise import Exercise
from .vectors import PAIRS, unit, vector


def _cosine(g1: Tensor, g2: Tensor) -> Tensor:
    return (unit(g1) * unit(g2)).sum()


def _overwritten(g1: Tensor, g2: Tensor) -> Tensor:
    """Return PCGrad whose second projection divides the old inner product by the changed first gradient."""
    dot = g1 @ g2
    if dot >= 0:
        return (g1 + g2) / 2
    g1 = g1 - dot / (g2 @ g2) * g2
    return (g1 + g2 - dot / (g1 @ g1) * g1) / 2


def _deconflict(g: Tensor, other: Tensor, always: bool = False, by: Tensor | None = None) -> Tensor:
    dot = g @ other
    by = other if by is None else by
    return g - dot / (by @ by) * other if always or dot < 0 else g


angle = Exercise(
    arguments=("g1", "g2"),
    cases=PAIRS,
    right=lambda g1, g2: angles(torch.stack([g1, g2]))[0, 1],
    mistakes={
        "your angle is in radians. The exercise asks for degrees: use torch.rad2deg.": lambda g1, g2: (
            torch.acos(_cosine(g1, g2))
        ),
        "you return the cosine. Turn it into an angle with torch.acos, and into degrees.": _cosine,
        "divide the inner product by both lengths before torch.acos. Otherwise the lengths "
        "change the angle.": (lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2))),
        "a / b * c is (a / b) * c. Put brackets around the product of the two lengths.": (
            lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2 / g1.norm() * g2.norm()))
        ),
        "you divide by the squared lengths. Divide by the two lengths.": (
            lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2 / (g1 @ g1) / (g2 @ g2)))
        ),
        "you turn the cosine itself into degrees. Take torch.acos first.": (
            lambda g1, g2: torch.rad2deg(_cosine(g1, g2))
        ),
        "an absolute value hides every conflict. An angle above 90° must stay above 90°.": (
            lambda g1, g2: torch.rad2deg(torch.acos(_cosine(g1, g2).abs()))
        ),
    },
    praise="your angle agrees with the core. Above 90° the tasks are in conflict.",
)

mean_step = Exercise(
    arguments=("theta", "G", "lr"),
    cases=[
        (vector(1, 2), torch.stack(PAIRS[0]), 0.1),
        (vector(-3, 0.5), torch.stack(PAIRS[2]), 0.5),
    ],
    right=lambda theta, G, lr: theta - lr * Mean()(G),
    mistakes={
        "you take the sum of the gradients. Take their mean: a sum silently doubles the learning rate.": (
            lambda theta, G, lr: theta - lr * G.sum(0)
        ),
        "your step climbs. It must go against the gradient.": lambda theta, G, lr: theta + lr * G.mean(0),
        "take the mean over the tasks (the rows of G), not over the coordinates.": (
            lambda theta, G, lr: theta - lr * G.mean(1)
        ),
        "you return only the step. Add it to theta and return the new point.": lambda theta, G, lr: (
            -lr * G.mean(0)
        ),
        "you return lr times the mean gradient. Subtract it from theta and return the new point.": (
            lambda theta, G, lr: lr * G.mean(0)
        ),
        "the learning rate is missing. Multiply the mean gradient by lr.": (
            lambda theta, G, lr: theta - G.mean(0)
        ),
        "G.mean() is one number, the mean of all entries. Take the mean over the tasks: G.mean(0).": (
            lambda theta, G, lr: theta - lr * G.mean()
        ),
    },
    praise="this is gradient descent on the mean loss. It is also called linear scalarisation.",
)

pcgrad = Exercise(
    arguments=("g1", "g2"),
    cases=PAIRS,
    right=lambda g1, g2: PCGrad()(torch.stack([g1, g2])),
    mistakes={
        "you always project. Project only if the gradients conflict: if their inner product is below 0.": (
            lambda g1, g2: (_deconflict(g1, g2, always=True) + _deconflict(g2, g1, always=True)) / 2
        ),
        "you add the two. Here PCGrad takes their mean, so that equal gradients stay as they are.": (
            lambda g1, g2: _deconflict(g1, g2) + _deconflict(g2, g1)
        ),
        "divide the inner product by the squared length of the other gradient, the one you remove.": (
            lambda g1, g2: (_deconflict(g1, g2, by=g1) + _deconflict(g2, g1, by=g2)) / 2
        ),
        "only g1 gives something up. Project each gradient against the other one. If your code replaces g1 "
        "first, keep the original g1: g2 must be projected on it.": (
            lambda g1, g2: (_deconflict(g1, g2) + g2) / 2
        ),
        "only g2 gives something up. Project each gradient against the other one. If your code replaces g2 "
        "first, keep the original g2: g1 must be projected on it.": (
            lambda g1, g2: (g1 + _deconflict(g2, g1)) / 2
        ),
        "you replace g1 first, and then project g2 on the changed g1. Keep the original g1: give the changed "
        "vector another name.": _overwritten,
        "you replace g2 first, and then project g1 on the changed g2. Keep the original g2: give the changed "
        "vector another name.": lambda g1, g2: _overwritten(g2, g1),
        "divide the inner product by the *squared* length of the other gradient, not by its length.": (
            lambda g1, g2: (
                (
                    _deconflict(g1, g2, by=g2 / g2.norm() ** 0.5)
                    + _deconflict(g2, g1, by=g1 / g1.norm() ** 0.5)
                )
                / 2
            )
        ),
        "you add the component along the other gradient. Subtract it.": (
            lambda g1, g2: g1 + g2 - (_deconflict(g1, g2) + _deconflict(g2, g1)) / 2
        ),
        "you project where the gradients agree. Project where their inner product is below 0.": (
            lambda g1, g2: (
                (g1 + g2) / 2
                if g1 @ g2 < 0
                else ((_deconflict(g1, g2, always=True) + _deconflict(g2, g1, always=True)) / 2)
            )
        ),
        "you return the mean of the two gradients. Where they conflict, project both first.": (
            lambda g1, g2: (g1 + g2) / 2
        ),
        "where the gradients agree you return their sum. Take their mean there too.": lambda g1, g2: (
            (_deconflict(g1, g2) + _deconflict(g2, g1)) / (2 if g1 @ g2 < 0 else 1)
        ),
        "you return both projected gradients. Return their mean.": (
            lambda g1, g2: (_deconflict(g1, g2), _deconflict(g2, g1))
        ),
        "you return only the first projected gradient. Return the mean of both.": _deconflict,
    },
    praise="for two tasks this is PCGrad.",
)
