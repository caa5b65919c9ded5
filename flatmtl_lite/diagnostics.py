"""What to look at while tasks train together: angles, conflict, sharpness."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .aggregation import GramianAggregator, gramian, state_kept
from .aggregation.base import check_gramian, scale_free
from .decomposition import coefficients
from .gradients import flatten, unflatten
from .perturbation import StateGuard, perturbed, worst_case


def cosines(G: Tensor) -> Tensor:
    """Cosines between task gradients: (..., T, P) -> (..., T, T), on the CPU; 0 for a zero gradient."""
    return cosines_of_gramian(gramian(G))


def cosines_of_gramian(M: Tensor) -> Tensor:
    """Cosines (..., T, T) from inner products (..., T, T); 0 for a zero gradient."""
    return scale_free(M.double())[0]


def angles(G: Tensor) -> Tensor:
    """Angles between task gradients in degrees, (..., T, T); 90 for a zero gradient.

    Example:
        >>> angles(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))[0, 1].item()
        135.0
    """
    return torch.rad2deg(torch.acos(cosines(G)))


def conflict_ratio(cosine: Tensor) -> Tensor:
    """Share of conflicting task pairs, those with a negative cosine: (..., T, T) -> (...); 0 for T = 1."""
    T = cosine.shape[-1]
    pairs = torch.triu_indices(T, T, offset=1, device=cosine.device)
    conflicts = cosine[..., pairs[0], pairs[1]] < 0
    return conflicts.double().sum(-1) / max(pairs.shape[1], 1)


def rule_cosine(M: Tensor, aggregate: GramianAggregator, one: str, other: str) -> float:
    """Cosine between the directions of two rules, such as "decomposed" and "direct".

    Args:
        M: (2T, 2T), ``Decomposition.gramian`` or ``Report.gramian``.
        aggregate: the aggregator that both use.
        one, other: keys of ``flatmtl_lite.decomposition.RULES``.

    The aggregator's memory and generator are afterwards as before.
    """
    check_gramian(M)
    for rule in (one, other):
        aggregate.check_rule(rule)
    with state_kept(aggregate):
        rows = torch.stack([coefficients(M, aggregate, rule) for rule in (one, other)])
    return scale_free(rows @ M.double() @ rows.mT)[0][0, 1].item()


def predicted_flat(loss: Callable[[], Tensor], parameters: Iterable[Tensor], rho: float = 0.05) -> Tensor:
    """What the Hessian at θ predicts for the flat part: ρHg/‖g‖, to first order in ρ.

    By two backward passes, the Hessian is never formed. It is the gradient of ρ‖g‖, the penalty by which
    SAM's loss exceeds the loss (arXiv 2211.13723, eq. 13). Kinks, such as those of ReLU, do not show in
    it. 0 where the gradient is 0.

    Args:
        loss: () -> scalar.
        parameters: those that move together.
        rho: radius, >= 0.

    Returns:
        A vector (P,) in the order of the parameters.

    Raises:
        ValueError: ``rho`` is negative or not finite.

    Example:
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> predicted_flat(lambda: (w**2).sum() / 2, [w], rho=0.5)
        tensor([0.3000, 0.4000])
    """
    _check_radius(rho)
    parameters = list(parameters)
    with torch.enable_grad():
        grads = torch.autograd.grad(
            loss(), parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        epsilon = unflatten(worst_case(flatten(grads), rho), parameters)
        slope = sum((g * e).sum() for g, e in zip(grads, epsilon, strict=True))
        if not slope.requires_grad:  # the loss is linear
            return torch.zeros_like(flatten(parameters))
        return flatten(torch.autograd.grad(slope, parameters, allow_unused=True, materialize_grads=True))


def ascent_step(epsilon: Tensor, gradient: Tensor, rho: float | Tensor, first: bool) -> Tensor:
    """One step of projected ascent in the ball ‖ε‖ <= ρ: along the gradient, the first by ρ, then by ρ/2.

    Args:
        epsilon: where the ascent is, (..., P).
        gradient: of the loss at θ+ε, (..., P).
        rho: radius, a number or (..., 1).
        first: whether this is the first step.
    """
    moved = epsilon + worst_case(gradient, rho if first else rho / 2)
    norm = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
    return torch.where(norm > rho, moved * (rho / norm), moved)


def sharpness(
    loss: Callable[[], Tensor], parameters: Iterable[Tensor], rho: float = 0.05, steps: int = 10
) -> float:
    """How much the loss can rise within a ball: max of L(θ+ε) - L(θ) over ‖ε‖ <= ρ, found by ascent.

    Projected gradient ascent: the first step goes the whole radius along the gradient (that alone is
    SAM's one-step estimate, ``steps=1``); each further step moves by ρ/2 along the gradient and back
    into the ball. The largest rise met is returned, never less than 0 (ε = 0). A lower bound of the
    true maximum. Weights, buffers and generators are afterwards as before.

    Args:
        loss: () -> scalar, a deterministic function of the parameters.
        parameters: those that move together (for one task: trunk and own head).
        rho: radius, >= 0.
        steps: >= 1.

    Raises:
        ValueError: ``rho`` is negative or not finite, or ``steps`` < 1.
    """
    _check_radius(rho)
    if steps < 1:
        raise ValueError(f"Got steps={steps}; expected at least 1.")
    parameters = list(parameters)
    theta = flatten(parameters)
    epsilon = torch.zeros_like(theta)
    values = []
    with StateGuard(), torch.enable_grad():
        for step in range(steps + 1):
            with perturbed(parameters, theta, epsilon):
                value = loss()
                values.append(value.detach())
                if step < steps:
                    grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
                    epsilon = ascent_step(epsilon, flatten(grads), rho, first=step == 0)
    return (torch.stack(values).max() - values[0]).item()


def _check_radius(rho: float) -> None:
    if not (math.isfinite(rho) and rho >= 0):
        raise ValueError(f"Got rho={rho}; expected a finite radius >= 0, for example 0.05.")
