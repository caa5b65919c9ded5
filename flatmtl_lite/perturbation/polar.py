"""Choose ε layer by layer along the polar factor of the mean gradient, as SAGE does."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# x -> a x + b x³ + c x⁵ on the singular values. The first five are quick and land between 0.6 and 1.2
# (Muon's numbers); the last three converge to 1.
QUINTICS = 5 * [(3.4445, -4.7750, 2.0315)] + 3 * [(1.875, -1.25, 0.375)]


@dataclass(frozen=True)
class Polar:
    """One ε for all tasks, in every layer along the polar factor of the mean gradient.

    A layer's weights, as a matrix of outputs × all the rest, have the gradient U S Vᵀ. Its polar factor U Vᵀ
    has the same singular vectors and all singular values 1. A layer without a matrix (a bias, a norm's
    scale) takes g/‖g‖. The heads form one block.

    The whole ε has length ρ, as with every choice of ε. The source takes ρ' U Vᵀ in each layer, which is
    ρ = ρ' √(sum of the layers' ranks).

    Paper: SAGE, arXiv 2605.07914.

    SAGE's noise is ``FlatMTL(noise=...)``. This follows the paper's abstract and the released code
    (aristotelisballas/mtl-desam at ad823fb). The paper's text was not at hand.

    Example:
        >>> Polar().directions(torch.tensor([3.0, 0.0, 0.0, 1.0]), [torch.empty(2, 2)]).round(decimals=2)
        tensor([1., 0., 0., 1.])
    """

    def directions(self, mean: Tensor, like: Sequence[Tensor]) -> Tensor:
        """Return the direction of ε (P,), from the mean gradient and tensors of the layers' shapes."""
        factors = [mean[:0]]
        for layer, p in zip(mean.split([p.numel() for p in like]), like, strict=True):
            matrix = layer.reshape(p.shape[0], -1) if p.ndim > 1 else layer[:, None]
            factors.append(polar_factor(matrix).flatten())
        return torch.cat(factors)


def polar_factor(matrix: Tensor) -> Tensor:
    """Return U Vᵀ of a matrix U S Vᵀ (m, n), by the Newton-Schulz iteration, in float32 or better.

    Singular values of at least a thousandth of the matrix's norm come out within 1e-4 of 1, and smaller ones
    smaller. A matrix of zeros, or one that is not finite, gives zeros.

    Example:
        >>> polar_factor(torch.tensor([[0.0, 2.0], [0.5, 0.0]])).round(decimals=2)
        tensor([[0., 1.],
                [1., 0.]])
    """
    X = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    X = X / X.abs().amax().clamp_min(torch.finfo(X.dtype).tiny)
    X = X / torch.linalg.matrix_norm(X).clamp_min(1e-30)
    X = X.mT if (is_tall := X.shape[0] > X.shape[1]) else X
    for a, b, c in QUINTICS:
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    factor: Tensor = X.mT if is_tall else X
    return factor.nan_to_num(0.0).to(matrix.dtype)
