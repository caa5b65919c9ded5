"""Slices of the task losses through a network's weights: along a random direction, and in a random plane.

With the filter normalisation of Li et al. 2018 (arXiv 1712.09913, sec. 4), without which a slice shows the
scale of the weights rather than the shape of the loss.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...gradients import flatten
from ...perturbation import perturbed
from ..engine.rounding import rounded
from .evaluation import evaluation_mode


def filter_normalised(parameters: Iterable[Tensor], generator: torch.Generator) -> Tensor:
    """A random direction d in units of the weights: each filter of d is as long as that of the weights.

    Gaussian entries, then dᵢ ← dᵢ ‖θᵢ‖/‖dᵢ‖ for each filter i: what feeds one output, a row of a linear
    layer's or of a convolution's weights. Biases and BatchNorm's scales and shifts, which have one
    dimension, do not move, as in the authors' code. So where the weights of a ReLU layer are multiplied by
    s > 0 (its biases too) and those of the next are divided by s, the slice stays the same, as the function
    does.

    Args:
        parameters: P numbers in all.
        generator: on the CPU, so that the direction does not depend on the parameters' device.

    Returns:
        (P,), in the order of the parameters.
    """
    parts = []
    for p in parameters:
        if p.ndim < 2:
            parts.append(torch.zeros_like(p))
            continue
        rows = torch.randn(p.shape, generator=generator).to(p).flatten(1)
        lengths = p.detach().flatten(1).norm(dim=1, keepdim=True)
        parts.append(rows * (lengths / rows.norm(dim=1, keepdim=True)))
    return flatten(parts)


def line(
    model: nn.Module,
    features: Callable[[], Any],
    losses: Sequence[Callable[[Any], Tensor]],
    seed: int = 0,
    points: int = 21,
    reach: float = 1.0,
) -> dict[str, list]:
    """The task losses at θ + α d, d filter-normalised, α from -``reach`` to ``reach``.

    In evaluation mode (BatchNorm's statistics stay those of θ), without gradients. All parameters move at
    once, the heads too: task i sees the trunk and its own head, so one direction serves all tasks. At
    |α| = 1 each filter has moved by its own length. Afterwards the weights are as before, bit for bit, and
    every module is in its own mode, also if a loss raises.

    Args:
        model: whose parameters move.
        features, losses: on images that stay the same; one run of ``features`` serves all T losses.
        seed: of the direction.
        points: odd, so that α = 0 is one of them.
        reach: > 0.

    Returns:
        ``alpha`` (points,) and ``losses`` (points, T), lists of numbers.

    Raises:
        ValueError: ``points`` or ``reach`` is not as above, or a loss is not a scalar.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> found = line(model, lambda: model.weight, [lambda w: (w**2).sum()], points=3)
        >>> found["alpha"], found["losses"][1]
        ([-1.0, 0.0, 1.0], [2.0])
    """
    alpha = _positions(points, reach)
    [direction] = _directions(model, seed, 1)
    return {"alpha": alpha, "losses": _losses_at(model, features, losses, (a * direction for a in alpha))}


def plane(
    model: nn.Module,
    features: Callable[[], Any],
    losses: Sequence[Callable[[Any], Tensor]],
    seed: int = 0,
    points: int = 11,
    reach: float = 1.0,
) -> dict[str, list]:
    """The task losses at θ + α d + β e on a square grid: as :func:`line`, in two directions.

    d is the direction of :func:`line` for the same seed, e the next one drawn. As in the paper they are not
    made orthogonal: random vectors of many dimensions nearly are.

    Returns:
        ``alpha`` (points,), which holds for β too, and ``losses`` (points, points, T): those at α = alpha[i]
        and β = alpha[j] are ``losses[i][j]``.
    """
    alpha = _positions(points, reach)
    d, e = _directions(model, seed, 2)
    found = _losses_at(model, features, losses, (a * d + b * e for a in alpha for b in alpha))
    return {"alpha": alpha, "losses": [found[k : k + points] for k in range(0, len(found), points)]}


def _positions(points: int, reach: float) -> list[float]:
    if points < 3 or points % 2 == 0:
        raise ValueError(f"Got points={points}; expected an odd number >= 3, so that α = 0 is one of them.")
    if not 0 < reach < math.inf:
        raise ValueError(f"Got reach={reach}; expected a finite number > 0, for example 1.0.")
    return rounded([reach * (2 * k / (points - 1) - 1) for k in range(points)], 6)


def _directions(model: nn.Module, seed: int, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [filter_normalised(model.parameters(), generator) for _ in range(count)]


@torch.no_grad()
def _losses_at(
    model: nn.Module, features: Callable, losses: Sequence[Callable], steps: Iterable[Tensor]
) -> list[list[float]]:
    parameters = list(model.parameters())
    theta = flatten(parameters)
    found = []
    with evaluation_mode(model):
        for step in steps:
            with perturbed(parameters, theta, step):
                z = features()
                values = [loss(z) for loss in losses]
            if not values or any(value.numel() != 1 for value in values):
                raise ValueError(
                    f"Got losses of shapes {[tuple(value.shape) for value in values]}; expected one scalar "
                    "per task. Reduce them, for example with .mean()."
                )
            found.append(torch.stack([value.reshape(()) for value in values]))
    return rounded(torch.stack(found), 5)
