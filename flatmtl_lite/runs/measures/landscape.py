"""Slices of the task losses through a network's weights: along a random direction, and in a random plane.

Directions are normalised by filters (Li et al. 2018, arXiv 1712.09913, sec. 4). Without this a slice shows
the scale of the weights rather than the shape of the loss.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...diagnostics import top_eigenvalue
from ...perturbation import perturbed
from ...trunk_and_heads import flatten
from ..engine.model import MultiTaskNet
from ..engine.rounding import rounded
from .evaluation import evaluation_mode, run_task
from .twins import Closures, measure_networks

ITERATIONS = 20  # of the search for an eigenvalue; they take 1 + ITERATIONS Hessian products
LINE_POINTS, PLANE_POINTS = 21, 11


def filter_normalised(parameters: Iterable[Tensor], generator: torch.Generator) -> Tensor:
    """A random direction d in which each filter is as long as the same filter of the weights.

    Entries are Gaussian, then dᵢ ← dᵢ ‖θᵢ‖/‖dᵢ‖ for each filter i. A filter is the row of a linear layer's or
    of a convolution's weights that feeds one output. Biases and BatchNorm's scales and shifts have one
    dimension and do not move, as in the authors' code. So if the weights and biases of a ReLU layer are
    multiplied by s > 0 and the weights of the next layer are divided by s, neither the function nor its
    slice changes.

    Args:
        parameters: P numbers in all.
        generator: a CPU generator, so that the direction does not depend on the parameters' device.

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
    points: int = LINE_POINTS,
    reach: float = 1.0,
) -> dict[str, list]:
    """The task losses at θ + α d, d filter-normalised, α from -``reach`` to ``reach``.

    Losses are taken in evaluation mode (BatchNorm keeps its statistics at θ), without gradients. All
    parameters move at once, the heads too: task i sees the trunk and its head, so one direction serves all
    tasks. At |α| = 1 each filter has moved by its length. Afterwards the weights are as before, bit for bit,
    and every module is in its former mode, also if a loss raises.

    Args:
        model: the network whose parameters move.
        features, losses: closures on images that stay the same; one run of ``features`` serves all T losses.
        seed: seed of the direction.
        points: an odd number, so that α = 0 is one of the points.
        reach: > 0.

    Returns:
        ``alpha`` (points,) and ``losses`` (points, T), lists of numbers.

    Raises:
        ValueError: ``points`` or ``reach`` is not as above, or a loss is not a scalar.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> curve = line(model, lambda: model.weight, [lambda w: (w**2).sum()], points=3)
        >>> curve["alpha"], curve["losses"][1]
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
    points: int = PLANE_POINTS,
    reach: float = 1.0,
) -> dict[str, list]:
    """The task losses at θ + α d + β e on a square grid: as :func:`line`, in two directions.

    d is the direction of :func:`line` for the same seed, e is the next direction drawn. As in the paper they
    are not made orthogonal, since random vectors of many dimensions nearly are.

    Returns:
        ``alpha`` (points,), which holds for β too, and ``losses`` (points, points, T):
        ``losses[i][j]`` are the losses at α = alpha[i] and β = alpha[j].
    """
    alpha = _positions(points, reach)
    d, e = _directions(model, seed, 2)
    values = _losses_at(model, features, losses, (a * d + b * e for a in alpha for b in alpha))
    return {"alpha": alpha, "losses": [values[k : k + points] for k in range(0, len(values), points)]}


def landscape_of(model: nn.Module, closures: Closures) -> dict[str, Any]:
    """The top Hessian eigenvalue of each task's loss, and slices along a line and in a plane.

    Args:
        model: a network for all tasks, or single-task twins.
        closures: gives features and losses of a network on fixed data.
    """
    return {
        **measure_networks(model, closures, _top_eigenvalues),
        "slices": {
            "line": measure_networks(model, closures, line),
            "plane": measure_networks(model, closures, plane),
        },
    }


def rehearse_landscape(
    model: nn.Module, closures: Closures, seconds: Callable[[Callable[[], Any]], float]
) -> float:
    """Take a small part of :func:`landscape_of`, which needs as much memory; estimate its seconds.

    Args:
        model, closures: as :func:`landscape_of` takes them.
        seconds: calls a function and returns the seconds that it took.
    """
    products = seconds(lambda: measure_networks(model, closures, partial(_top_eigenvalues, iterations=1)))
    points = seconds(lambda: measure_networks(model, closures, partial(line, points=3)))
    return products * (1 + ITERATIONS) / 2 + points * (LINE_POINTS + PLANE_POINTS**2) / 3


def _top_eigenvalues(
    model: MultiTaskNet,
    features: Callable[[], Any],
    losses: Sequence[Callable[[Any], Tensor]],
    iterations: int = ITERATIONS,
) -> dict[str, list[float]]:
    eigenvalues = [
        top_eigenvalue(partial(run_task, features, loss), model.shared_parameters() + head, iterations)
        for head, loss in zip(model.head_parameters(), losses, strict=True)
    ]
    return {"top_eigenvalue": rounded(eigenvalues, 6)}


def _positions(points: int, reach: float) -> list[float]:
    if points < 3 or points % 2 == 0:
        raise ValueError(f"Got points={points}; expected an odd number >= 3, so that α = 0 is a point.")
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
    points = []
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
            points.append(torch.stack([value.reshape(()) for value in values]))
    return rounded(torch.stack(points), 5)
