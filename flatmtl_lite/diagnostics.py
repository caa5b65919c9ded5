"""Measure angles, conflict and sharpness while tasks train together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypedDict

import torch
from torch import Tensor

from .aggregation import GramianAggregator, gramian, state_kept
from .aggregation.base import check_aggregator, check_gramian, scale_free
from .decomposition import coefficients
from .perturbation import perturbed, worst_case
from .perturbation.sam import check_radius
from .state import StateGuard
from .trunk_and_heads import flatten, unflatten


def cosines(G: Tensor) -> Tensor:
    """Return cosines between task gradients: (..., T, P) -> (..., T, T), on the CPU; 0 for a zero gradient.

    Raises:
        NonFiniteGradient: a gradient holds NaN or infinity.
    """
    return cosines_of_gramian(gramian(G))


def cosines_of_gramian(M: Tensor) -> Tensor:
    """Return cosines (..., T, T) from inner products (..., T, T); 0 for a zero gradient."""
    return scale_free(M.double())[0]


def angles(G: Tensor) -> Tensor:
    """Return angles between task gradients in degrees, (..., T, T); 90 for a zero gradient.

    Example:
        >>> angles(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))[0, 1].item()
        135.0
    """
    return torch.rad2deg(torch.acos(cosines(G)))


def conflict_ratio(cosine: Tensor) -> Tensor:
    """Return the share of task pairs with a negative cosine: (..., T, T) -> (...); 0 for T = 1.

    Example:
        >>> conflict_ratio(torch.tensor([[1.0, -0.5], [-0.5, 1.0]])).item()
        1.0
    """
    T = cosine.shape[-1]
    pairs = torch.triu_indices(T, T, offset=1, device=cosine.device)
    conflicts = cosine[..., pairs[0], pairs[1]] < 0
    return conflicts.double().sum(-1) / max(pairs.shape[1], 1)


def sum_by_thirds(times: Sequence[float], length: float, counts: Sequence[object] | Tensor) -> Tensor:
    """Sum counts over the first, the middle and the last third of training.

    Args:
        times: when each row was counted, (N,), in 0..``length``.
        length: how long training lasted, in the unit of ``times``.
        counts: (N, ...), for example histograms of cosines.

    Returns:
        (3, ...), float64.

    Example:
        >>> sum_by_thirds([0, 1, 2, 2], 3, [[1, 0], [0, 1], [2, 0], [3, 0]])
        tensor([[1., 0.],
                [0., 1.],
                [5., 0.]], dtype=torch.float64)
    """
    rows = torch.as_tensor(counts, dtype=torch.float64)
    thirds = torch.tensor([min(int(3 * time / length), 2) for time in times], dtype=torch.long)
    return rows.new_zeros(3, *rows.shape[1:]).index_add_(0, thirds, rows)


def share_in_conflict(histograms: Tensor) -> Tensor:
    """Return the share of negative cosines in histograms (..., bins) over -1..1: (...); NaN without counts.

    The number of bins is even, so the lower half holds the negative cosines.

    Example:
        >>> share_in_conflict(torch.tensor([3.0, 0.0, 0.0, 1.0])).item()
        0.75
    """
    return histograms[..., : histograms.shape[-1] // 2].sum(-1) / histograms.sum(-1)


def rule_cosine(M: Tensor, aggregate: GramianAggregator, one: str, other: str) -> float:
    """Return the cosine between the directions of two rules, such as "decomposed" and "direct".

    The aggregator's memory and generator are afterwards as before.

    Args:
        M: (2T, 2T), ``Decomposition.gramian`` or ``Report.gramian``.
        aggregate: the aggregator that both use.
        one, other: keys of ``flatmtl_lite.decomposition.RULES``.

    Raises:
        ValueError: ``M`` is not a finite Gramian, or the aggregator cannot take a rule's rows.
    """
    check_gramian(M)
    for rule in (one, other):
        check_aggregator(aggregate, rule)
    with state_kept(aggregate):
        rows = torch.stack([coefficients(M, aggregate, rule) for rule in (one, other)])
    return scale_free(rows @ M.double() @ rows.mT)[0][0, 1].item()


def predicted_flat(loss: Callable[[], Tensor], parameters: Iterable[Tensor], rho: float = 0.05) -> Tensor:
    """Predict the flat part from the Hessian at θ: ρHg/‖g‖, to first order in ρ.

    Two backward passes compute it; the Hessian is never formed. The prediction is the gradient of ρ‖g‖, the
    penalty by which SAM's loss exceeds the loss (arXiv 2211.13723, eq. 13). The Hessian does not see kinks,
    such as the kinks of ReLU. The prediction is 0 where the gradient is 0. Buffers and generators are
    afterwards as before.

    Args:
        loss: () -> scalar.
        parameters: the parameters that move together.
        rho: radius, >= 0.

    Returns:
        A vector (P,), in the order of the parameters.

    Raises:
        ValueError: ``rho`` is negative or not finite.

    Example:
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> predicted_flat(lambda: (w**2).sum() / 2, [w], rho=0.5)
        tensor([0.3000, 0.4000])
    """
    check_radius(rho)
    with StateGuard():
        gradient, product = _gradient_and_hessian(loss, list(parameters))
        return product(worst_case(gradient, rho))


def ascent(
    slope: Callable[[Tensor], Tensor], start: Tensor, rho: float | Tensor, steps: int
) -> Iterator[Tensor]:
    """Climb within the ball ‖ε‖ <= ρ by projected gradient ascent, and yield every point on the way.

    The first step goes the whole radius along the gradient. Each later step moves by ρ/2 along the
    gradient and then back into the ball.

    Args:
        slope: ε (..., P) -> gradient of the loss at θ+ε, (..., P).
        start: ε to begin with, (..., P).
        rho: radius, a number or (..., 1).
        steps: number of steps.

    Yields:
        ``steps`` + 1 tensors ε (..., P); the first is ``start``.
    """
    epsilon = start
    yield epsilon
    for step in range(steps):
        moved = epsilon + worst_case(slope(epsilon), rho if step == 0 else rho / 2)
        norm = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
        epsilon = torch.where(norm > rho, moved * (rho / norm), moved)
        yield epsilon


def sharpness(
    loss: Callable[[], Tensor],
    parameters: Iterable[Tensor],
    rho: float = 0.05,
    steps: int = 10,
    adaptive: bool = False,
) -> float:
    """Return how much the loss can rise within a ball: max of L(θ+ε) - L(θ) over ‖ε‖ <= ρ, by ascent.

    The ascent is :func:`ascent`; its first step alone (``steps=1``) is SAM's estimate. The result is the
    largest rise on the way, and 0 if the loss never rises. It is a lower bound of the true maximum. Weights,
    buffers and generators are afterwards as before.

    Args:
        loss: () -> scalar, a deterministic function of the parameters.
        parameters: the parameters that move together (for one task: the trunk and its head).
        rho: radius, >= 0.
        steps: number of steps, >= 1.
        adaptive: measure the ball in units of the weights, ‖ε/|θ|‖ <= ρ (Kwon et al. 2021, arXiv
            2102.11600). Rescaling the layers of a ReLU network then changes nothing, as long as the
            function is the same. The ρ of this ball and the ρ of the plain ball are different quantities.

    Raises:
        ValueError: ``rho`` is negative or not finite, or ``steps`` < 1.

    Example:
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> sharpness(lambda: (w**2).sum() / 2, [w], rho=0.5)  # 5.5²/2 - 5²/2
        2.625
    """
    check_radius(rho)
    if steps < 1:
        raise ValueError(f"Got steps={steps}; expected at least 1.")
    parameters = list(parameters)
    theta = flatten(parameters)
    scale = theta.abs() if adaptive else 1.0
    values = []

    def slope(u: Tensor) -> Tensor:  # ε = scale u, so the ball of u is round
        with perturbed(parameters, theta, scale * u):
            value = loss()
            grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        values.append(value.detach())
        return scale * flatten(grads)

    with StateGuard(), torch.enable_grad():
        *_, last = ascent(slope, torch.zeros_like(theta), rho, steps)
        with perturbed(parameters, theta, scale * last):
            values.append(loss().detach())
    return float(torch.stack(values).max() - values[0])


def hessian_product(loss: Callable[[], Tensor], parameters: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the map v -> Hv, the Hessian of the loss times a vector. The Hessian is never formed.

    Hv is the gradient of ⟨∇L, v⟩. The loss is computed once, here; each product then costs about two
    backward passes. Buffers and generators move as in any forward pass. The weights must not change as long
    as the product is used.

    Args:
        loss: () -> scalar, a twice differentiable function of the parameters (a ReLU counts as linear on
            either side).
        parameters: the Hessian is taken in these, P numbers in all.

    Returns:
        A function of v (P,) that returns Hv (P,).

    Example:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hessian_product(lambda: w[0] ** 2 + 3 * w[1] ** 2, [w])(torch.tensor([1.0, 1.0]))
        tensor([2., 6.])
    """
    return _gradient_and_hessian(loss, list(parameters))[1]


def top_eigenvalue(
    loss: Callable[[], Tensor],
    parameters: Iterable[Tensor],
    iterations: int = 20,
    generator: torch.Generator | None = None,
) -> float:
    """Return the largest eigenvalue of the Hessian of the loss: its curvature where it curves up most.

    Power iteration goes from v to Hv, which lies in the plane of v and r = Hv - (vᵀHv)v. This iteration goes
    to the best vector of that plane instead. So the Rayleigh quotient vᵀHv only rises. Its limit is the
    largest eigenvalue even if a negative one is larger in size, which plain power iteration would find. The
    result is a lower bound. In the long run an iteration leaves at most the share
    ((λ₂ - λₙ)/(2λ₁ - λ₂ - λₙ))² of the error. That is slow if λ₂ is close to λ₁, but then the value is hardly
    wrong. The iteration ends early once ‖r‖ is a rounding error. Weights, buffers and generators are
    afterwards as before.

    Args:
        loss, parameters: as for :func:`hessian_product`.
        iterations: number of products Hv, >= 1.
        generator: draws the start, on the parameters' device; None: a new one with seed 0.

    Raises:
        ValueError: ``iterations`` < 1.

    Example:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> round(top_eigenvalue(lambda: w[0] ** 2 - 3 * w[1] ** 2, [w]), 4)
        2.0
    """
    if iterations < 1:
        raise ValueError(f"Got iterations={iterations}; expected at least 1.")
    parameters = list(parameters)
    with StateGuard():
        product = hessian_product(loss, parameters)
        v = torch.randn(flatten(parameters).shape, **_drawn_like(parameters, generator))
        v = v / v.norm()
        Hv = product(v)
        for _ in range(iterations):
            curvature = v.dot(Hv)  # autocast lowers v @ Hv to bfloat16, but not v.dot(Hv)
            r = Hv - curvature * v
            size = r.norm()
            if size <= torch.finfo(v.dtype).eps ** 0.5 * Hv.norm():
                break
            r = r / size
            Hr = product(r)
            plane = torch.stack([curvature, size, size, r.dot(Hr)]).view(2, 2)  # H on v and r
            a, b = torch.linalg.eigh(plane.double()).eigenvectors[:, -1].to(v.dtype)
            v, Hv = a * v + b * r, a * Hv + b * Hr
            length = v.norm()  # 1 up to rounding, which the next r would enlarge
            v, Hv = v / length, Hv / length
        return float(v.dot(Hv))


def hessian_trace(
    loss: Callable[[], Tensor],
    parameters: Iterable[Tensor],
    samples: int = 20,
    generator: torch.Generator | None = None,
) -> float:
    """Return the trace of the Hessian of the loss: its curvature summed over all directions.

    This is Hutchinson's estimate, the mean of vᵀHv over vectors v of random signs. It has no bias. Its
    variance is 2 Σ_{i≠j} H²_ij / samples, so it is exact if the Hessian is diagonal. Weights, buffers and
    generators are afterwards as before.

    Args:
        loss, parameters: as for :func:`hessian_product`.
        samples: number of products Hv, >= 1.
        generator: draws the signs, on the parameters' device; None: a new one with seed 0.

    Raises:
        ValueError: ``samples`` < 1.

    Example:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hessian_trace(lambda: w[0] ** 2 - 3 * w[1] ** 2, [w])
        -4.0
    """
    if samples < 1:
        raise ValueError(f"Got samples={samples}; expected at least 1.")
    parameters = list(parameters)
    size, options = flatten(parameters).shape, _drawn_like(parameters, generator)
    estimates = []
    with StateGuard():
        product = hessian_product(loss, parameters)
        for _ in range(samples):
            v = 2 * torch.randint(2, size, **options) - 1
            estimates.append(v.dot(product(v)))
    return torch.stack(estimates).mean().item()


class DrawOptions(TypedDict):
    """Keyword arguments of ``torch.randn`` and its kind."""

    generator: torch.Generator
    device: torch.device
    dtype: torch.dtype


def _drawn_like(parameters: list[Tensor], generator: torch.Generator | None) -> DrawOptions:
    """Return options that draw like the parameters and leave torch's default generators alone."""
    device = parameters[0].device
    generator = torch.Generator(device).manual_seed(0) if generator is None else generator
    return {"generator": generator, "device": device, "dtype": parameters[0].dtype}


def _gradient_and_hessian(
    loss: Callable[[], Tensor], parameters: list[Tensor]
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the gradient (P,) and the map v -> Hv."""
    grad = partial(torch.autograd.grad, allow_unused=True, materialize_grads=True)
    with torch.enable_grad():
        grads = grad(loss(), parameters, create_graph=True)
    curved = [g for g in grads if g.requires_grad]  # the loss is linear in the other parameters

    def product(v: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(v)
        parts = [part for part, g in zip(unflatten(v, parameters), grads, strict=True) if g.requires_grad]
        return flatten(grad(curved, parameters, parts, retain_graph=True))

    return flatten(grads).detach(), product
