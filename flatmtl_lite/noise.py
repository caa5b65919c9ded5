"""SAGE's noise: Gaussian noise on the final gradient, as large as the tasks disagree."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .aggregation.base import scale_free


def noise_scale(gramian: Tensor, noise: float) -> float:
    """Return γ (1 - s), where s is the mean cosine over pairs of task gradients (SAGE, arXiv 2605.07914).

    Args:
        gramian: inner products of the trunk's task gradients, (T, T), on the CPU. The source takes the
            heads into the gradients too; their zeros pull its cosines towards 0.
        noise: γ.

    Returns:
        0 for a single task, which agrees with itself.

    Example:
        >>> noise_scale(torch.eye(2), 0.1)
        0.1
    """
    T = len(gramian)
    if T < 2:
        return 0.0
    cosines = scale_free(gramian.double())[0]
    mean = (cosines.sum() - cosines.diagonal().sum()) / (T * (T - 1))
    return noise * (1 - float(mean))


def add_noise(parameters: Sequence[Tensor], scale: float, seed: int) -> None:
    """Add scale · N(0, 1) to every entry of ``.grad``; one seed gives the same noise in every process."""
    generator = torch.Generator(parameters[0].device).manual_seed(seed)
    for p in parameters:
        if p.grad is not None:
            p.grad += scale * torch.empty_like(p.grad).normal_(generator=generator)


def checked_noise(noise: float) -> float:
    """Return the size of the noise, or raise ValueError unless it is a finite number >= 0."""
    if not 0 <= noise < math.inf:
        raise ValueError(f"Got noise={noise!r}; expected a finite number >= 0, for example 1e-4.")
    return noise
