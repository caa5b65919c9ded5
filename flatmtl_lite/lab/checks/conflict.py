"""Exercises of notebook 01: the angle, a step on the mean, PCGrad."""

import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...diagnostics import angles
from .exercise import Exercise
from .vectors import PAIRS, unit, vector


def _cosine(g1: Tensor, g2: Tensor) -> Tensor:
    return (unit(g1) * unit(g2)).sum()


def _deconflict(g: Tensor, other: Tensor, always: bool = False, by: Tensor | None = None) -> Tensor:
    dot = g @ other
    by = other if by is None else by
    return g - dot / (by @ by) * other if always or dot < 0 else g


angle = Exercise(
    arguments=("g1", "g2"),
    cases=PAIRS,
    right=lambda g1, g2: angles(torch.stack([g1, g2]))[0, 1],
    mistakes={
        "these are radians; the angle is asked for in degrees (torch.rad2deg).": lambda g1, g2: torch.acos(
            _cosine(g1, g2)
        ),
        "this is the cosine; its angle is still to be taken (torch.acos), in degrees.": _cosine,
        "divide the inner product by both lengths before torch.acos, else the lengths enter the angle.": (
            lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2))
        ),
        "an absolute value hides every conflict: angles above 90° must come out above 90°.": (
            lambda g1, g2: torch.rad2deg(torch.acos(_cosine(g1, g2).abs()))
        ),
    },
    praise="your angle is the core's; above 90° the tasks are in conflict.",
)

mean_step = Exercise(
    arguments=("theta", "G", "lr"),
    cases=[
        (vector(1, 2), torch.stack(PAIRS[0]), 0.1),
        (vector(-3, 0.5), torch.stack(PAIRS[2]), 0.5),
    ],
    right=lambda theta, G, lr: theta - lr * Mean()(G),
    mistakes={
        "you add up the gradients; their mean is asked for (a sum silently doubles the learning rate).": (
            lambda theta, G, lr: theta - lr * G.sum(0)
        ),
        "this climbs: the step goes against the gradient.": lambda theta, G, lr: theta + lr * G.mean(0),
        "the mean runs over the tasks (the rows of G), not over the coordinates.": (
            lambda theta, G, lr: theta - lr * G.mean(1)
        ),
        "this is only the direction; the new point θ is asked for.": lambda theta, G, lr: -lr * G.mean(0),
    },
    praise="that is gradient descent on the mean loss, linear scalarisation.",
)

pcgrad = Exercise(
    arguments=("g1", "g2"),
    cases=PAIRS,
    right=lambda g1, g2: PCGrad()(torch.stack([g1, g2])),
    mistakes={
        "you project always; only gradients that conflict (inner product below 0) give something up.": (
            lambda g1, g2: (_deconflict(g1, g2, always=True) + _deconflict(g2, g1, always=True)) / 2
        ),
        "you add the two up; here PCGrad takes their mean, so that equal gradients stay as they are.": (
            lambda g1, g2: _deconflict(g1, g2) + _deconflict(g2, g1)
        ),
        "the inner product must be divided by the squared length of the gradient that is projected out.": (
            lambda g1, g2: (_deconflict(g1, g2, by=g1) + _deconflict(g2, g1, by=g2)) / 2
        ),
        "only one of the two gives something up; each must, measured against the other as it was at first.": (
            lambda g1, g2: (_deconflict(g1, g2) + g2) / 2
        ),
    },
    praise="for two tasks this is PCGrad.",
)
