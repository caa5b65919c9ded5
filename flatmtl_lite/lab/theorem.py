"""The bound of Theorem 1 as numbers."""

import math

import torch
from torch import Tensor


def bound_terms(
    weights: float | Tensor,
    images: float | Tensor,
    norm_squared: float = 289.0,
    rho: float = 0.14,
    tasks: int = 2,
    delta: float = 0.05,
    largest_loss: float = 10.0,
) -> dict[str, Tensor]:
    """Return the terms of f. The test loss may exceed the perturbed training loss by at most f, their sum.

    arXiv 2211.13723, Theorem 1, after the bound of Foret et al. 2021 (arXiv 2010.01412, Theorem 2) and
    the PAC-Bayes bound of Alquier, Ridgway and Chopin (2016). The paper's main text says only that f
    grows with ‖θ‖². Its appendix with the constants was not available to us. **So the constants are
    uncertain.** The shape is the one of Foret et al., with a loss bounded by L,

        f = (½ + ½ P log(1 + ‖θ‖²/ρ² (1 + √(log N / P))²) + log(m/δ) + 6 log(N + P) + L²/8) / √N,

    It has log(m/δ) for m tasks (a union bound) where the paper has log(1/δ).

    Args:
        weights: P, the number of weights; a number or a tensor.
        images: N, the number of training images; a number or a tensor.
        norm_squared: ‖θ‖².
        rho: radius of the perturbation.
        tasks: m, the number of tasks.
        delta: the bound holds with probability 1 - δ over training sets.
        largest_loss: L, the bound of the loss.

    Returns:
        Name of a term -> its value, float64. weights and images broadcast to its shape.

    Raises:
        ValueError: a number is not above 0, or ``delta`` is not below 1.

    Example:
        >>> round(sum(bound_terms(weights=402964, images=2000).values()).item(), -3)
        43000.0
    """
    P, N = (torch.as_tensor(value, dtype=torch.float64) for value in (weights, images))
    numbers: dict[str, float | Tensor] = dict(weights=P, images=N, norm_squared=norm_squared, rho=rho)
    numbers |= dict(tasks=tasks, delta=delta, largest_loss=largest_loss)
    for name, value in numbers.items():
        if not torch.all(torch.as_tensor(value) > 0) or (name == "delta" and value >= 1):
            raise ValueError(
                f"Got {name}={value}; expected a number above 0{' and below 1' * (name == 'delta')}."
            )
    growth = norm_squared / rho**2 * (1 + (N.log() / P).sqrt()) ** 2
    terms = {
        "½ P log(1 + ‖θ‖²/ρ² …)": P / 2 * torch.log1p(growth),
        "6 log(N + P)": 6 * (N + P).log(),
        "L²/8": torch.full_like(growth, largest_loss**2 / 8),
        "confidence": torch.full_like(growth, math.log(tasks / delta)),
        "½": torch.full_like(growth, 0.5),
    }
    return {name: term / N.sqrt() for name, term in terms.items()}
