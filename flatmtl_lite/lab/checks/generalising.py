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
        "the bias of the first layer must grow with it. You need α(W₁x + b₁), not αW₁x + b₁.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, b1, W2 / alpha, b2)
        ),
        "the last bias is added after the division, so it stays as it is.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, W2 / alpha, b2 / alpha)
        ),
        "divide the second layer by α. Otherwise the outputs grow.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, W2, b2)
        ),
        "you multiply both layers, so the outputs grow by α². Divide the second layer.": (
            lambda W1, b1, W2, b2, alpha: (alpha * W1, alpha * b1, alpha * W2, b2)
        ),
        "do it the other way round: multiply the first layer by α, and divide the second.": (
            lambda W1, b1, W2, b2, alpha: (W1 / alpha, b1 / alpha, alpha * W2, b2)
        ),
    },
    praise="the function is the same for every α > 0, since relu(αz) = α relu(z).",
)


def _union_bound(tasks: int, delta: float) -> Tensor:
    """Return the term log(m/δ) of the bound. With one image the division by √N changes nothing."""
    return bound_terms(weights=1, images=1, tasks=tasks, delta=delta)["confidence"]


union_bound = Exercise(
    arguments=("tasks", "delta"),
    cases=[(1, 0.05), (2, 0.05), (40, 0.01)],
    right=_union_bound,
    mistakes={
        "you return log(1/δ) for one task. Each of the m bounds may fail, so each gets only δ/m.": (
            lambda tasks, delta: math.log(1 / delta)
        ),
        "you return m times log(1/δ). The m belongs inside the logarithm: log(m/δ).": (
            lambda tasks, delta: tasks * math.log(1 / delta)
        ),
        "you give each task mδ instead of δ/m. The chances of failing add up, so each must be smaller.": (
            lambda tasks, delta: math.log(1 / (tasks * delta))
        ),
        "you assume that the m bounds are independent. Without this, their chances of failing at most "
        "add up: log(m/δ).": (lambda tasks, delta: -math.log(1 - (1 - delta) ** (1 / tasks))),
        "you use the logarithm to base 10. The bound has the natural logarithm.": lambda tasks, delta: (
            math.log10(tasks / delta)
        ),
    },
    praise=(
        "each bound fails with probability at most δ/m, so all hold together with probability at least 1 - δ."
    ),
)


def product_with(H: Tensor):
    """Return the core's function v -> Hv for the quadratic loss with the Hessian H."""
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
        "divide by vᵀv. The curvature along v must not depend on how long v is.": lambda product, v: (
            v @ product(v)
        ),
        "you divide by the length of v once. It enters vᵀHv twice, so divide by vᵀv.": (
            lambda product, v: v @ product(v) / v.norm()
        ),
        "the length of Hv is never negative, so it cannot show that the loss curves down. Take vᵀHv.": (
            lambda product, v: product(v).norm() / v.norm()
        ),
        "you return the vector Hv/‖Hv‖. Return the curvature along v, one number.": (
            lambda product, v: unit(product(v))
        ),
        "leave out the half. The loss has ½ vᵀHv, and its curvature is vᵀHv.": (
            lambda product, v: unit(v) @ product(unit(v)) / 2
        ),
    },
    praise="this is the curvature along v. It is never above the top eigenvalue.",
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
        "every bin counts the same here. Weigh each bin by its number of images.": (
            lambda count, confidence, accuracy: (accuracy - confidence).abs().mean()
        ),
        "a bin that is too sure and a bin that is too timid cancel out. Take |accuracy - confidence|.": (
            lambda count, confidence, accuracy: _calibration(count, accuracy - confidence)
        ),
        "a bin that is too sure and a bin that is too timid cancel out. Take |confidence - accuracy|.": (
            lambda count, confidence, accuracy: _calibration(count, confidence - accuracy)
        ),
        "divide by the number of all images, so that the weights sum to 1.": (
            lambda count, confidence, accuracy: (count * (accuracy - confidence).abs()).sum()
        ),
        "you return the worst bin, the maximum calibration error. Return the mean over the images.": (
            lambda count, confidence, accuracy: (accuracy - confidence).abs().max()
        ),
        "you take squares, which gives another score. ECE takes the plain distance.": (
            lambda count, confidence, accuracy: _calibration(count, (accuracy - confidence) ** 2)
        ),
    },
    praise="this is the average distance between how sure the network is and how often it is right.",
)
