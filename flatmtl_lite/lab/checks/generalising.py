"""Exercises of notebook 06: the same function at another scale, the union bound, curvature, calibration."""

import math

import torch
from torch import Tensor, nn

from ...diagnostics import hessian_product
from ..theorem import bound_terms
from .exercise import Exercise
from .vectors import unit, vector

W1 = torch.stack([vector(1, -2), vector(0.5, 3), vector(-1, 1)])
B1, W2 = vector(0.2, -0.1, 1), torch.stack([vector(2, -1, 0.5)])

rescale = Exercise(
    arguments=("W1", "b1", "W2", "b2", "alpha"),
    cases=[(W1, B1, W2, vector(0.3), alpha) for alpha in (2.0, 0.1)],
    right=lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, W2 / alpha, b2),
    mistakes={
        "the bias of the first layer must grow with it: α(W₁x + b₁) is wanted, not αW₁x + b₁.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, b1, W2 / alpha, b2)
        ),
        "the last bias is added after the division: it stays as it is.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, W2 / alpha, b2 / alpha)
        ),
        "the second layer must be divided by α, else the outputs grow.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, W2, b2)
        ),
        "both layers are multiplied, so the outputs grow by α²: divide the second.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, alpha * W2, b2)
        ),
        "the other way round: the first layer is multiplied by α, the second divided.": (
            lambda W1, b1, W2, b2, alpha: (W1 / alpha, b1 / alpha, alpha * W2, b2)
        ),
    },
    praise="the same function for every α > 0, since relu(αz) = α relu(z).",
)


def _union_bound(tasks: int, delta: float) -> Tensor:
    """The term log(m/δ) of the bound; for one image it is not divided."""
    return bound_terms(weights=1, images=1, tasks=tasks, delta=delta)["confidence"]


union_bound = Exercise(
    arguments=("tasks", "delta"),
    cases=[(1, 0.05), (2, 0.05), (40, 0.01)],
    right=_union_bound,
    mistakes={
        "this is one task's log(1/δ); each of the m bounds may fail, so each is given only δ/m.": (
            lambda tasks, delta: math.log(1 / delta)
        ),
        "not m times log(1/δ): the m belongs inside the logarithm, log(m/δ).": (
            lambda tasks, delta: tasks * math.log(1 / delta)
        ),
        "this gives each task mδ instead of δ/m: the chances of failing add up, so each must be smaller.": (
            lambda tasks, delta: math.log(1 / (tasks * delta))
        ),
        "the m bounds need not be independent: what always holds is that their chances of failing add up.": (
            lambda tasks, delta: -math.log(1 - (1 - delta) ** (1 / tasks))
        ),
        "a logarithm to base 10; the bound has the natural one.": lambda tasks, delta: math.log10(
            tasks / delta
        ),
    },
    praise="each task's bound holds but for δ/m, so all of them hold together but for δ.",
)


def product_with(H: Tensor):
    """v -> Hv by the core, for the quadratic loss whose Hessian H is."""
    w = nn.Parameter(torch.zeros(len(H), dtype=H.dtype))
    return hessian_product(lambda: w @ H @ w / 2, [w])


DIPPED = torch.stack([vector(1, 2), vector(2, -3)])  # one eigenvalue is negative
BOWL = torch.stack([vector(4, 1, 0), vector(1, 2, 0), vector(0, 0, 1)])

rayleigh = Exercise(
    arguments=("product", "v"),
    cases=[
        (product_with(DIPPED), vector(0.5, 2)),
        (product_with(DIPPED), vector(3, 1)),
        (product_with(BOWL), vector(1, -1, 2)),
    ],
    right=lambda product, v: unit(v) @ product(unit(v)),
    mistakes={
        "divide by vᵀv: curvature along v must not depend on how long v is.": lambda product, v: (
            v @ product(v)
        ),
        "divided by the length of v once; it enters vᵀHv twice, so divide by vᵀv.": (
            lambda product, v: v @ product(v) / v.norm()
        ),
        "the length of Hv is never negative: it cannot say that the loss curves down. Take vᵀHv.": (
            lambda product, v: product(v).norm() / v.norm()
        ),
        "this is the vector Hv/‖Hv‖ to go on with; the curvature along v is asked for, one number.": (
            lambda product, v: unit(product(v))
        ),
        "without the half: it is the loss that has ½ vᵀHv, its curvature is vᵀHv.": (
            lambda product, v: unit(v) @ product(unit(v)) / 2
        ),
    },
    praise="the curvature along v, never above the top eigenvalue.",
)


def _calibration(count: Tensor, gap: Tensor) -> Tensor:
    return (count * gap).sum() / count.sum()


expected_calibration_error = Exercise(
    arguments=("count", "confidence", "accuracy"),
    cases=[
        (vector(10, 30, 60), vector(0.3, 0.6, 0.9), vector(0.4, 0.5, 0.7)),
        (vector(0, 5, 15), vector(0, 0.55, 0.95), vector(0, 0.8, 0.6)),
    ],
    right=lambda count, confidence, accuracy: _calibration(count, (accuracy - confidence).abs()),
    mistakes={
        "every bin counts the same here; weigh each by its number of images.": (
            lambda count, confidence, accuracy: (accuracy - confidence).abs().mean()
        ),
        "too sure in one bin and too timid in another cancel out: take |accuracy - confidence|.": (
            lambda count, confidence, accuracy: _calibration(count, accuracy - confidence)
        ),
        "too sure in one bin and too timid in another cancel out: take |confidence - accuracy|.": (
            lambda count, confidence, accuracy: _calibration(count, confidence - accuracy)
        ),
        "divide by the number of images, so that the weights sum to 1.": (
            lambda count, confidence, accuracy: (count * (accuracy - confidence).abs()).sum()
        ),
        "this is the worst bin (the maximum calibration error); the mean over the images is asked for.": (
            lambda count, confidence, accuracy: (accuracy - confidence).abs().max()
        ),
        "squares are another score; ECE takes the plain distance.": (
            lambda count, confidence, accuracy: _calibration(count, (accuracy - confidence) ** 2)
        ),
    },
    praise="on average over the images, so far is what it says from how often it is right.",
)
