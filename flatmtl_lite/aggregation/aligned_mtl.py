"""Aligned-MTL: make the gradients orthogonal and equally long, then take the mean."""

import torch
from torch import Tensor

from .base import GramianAggregator
from .unit_rows import identity


class AlignedMTL(GramianAggregator):
    """Independent component alignment: make the gradients orthogonal and equally long, then take the mean.

    d = σ Σ wᵢ ĝᵢ', w = 1/T. The rows ĝ' = (G Gᵀ)^(-1/2) G are the orthonormal rows nearest to G. Their
    length σ is the smallest singular value of G, so no component of G is ever amplified (Alg. 1).
    Gradients of 0 are left out.

    If G has a lower rank r, only r singular vectors take part. The rank r counts the eigenvalues of the
    cosines above 10 T eps of the largest (eps: the accuracy of the Gramian), and among them the singular
    values of G above 10 T 2e-16 of the largest. σ is the smallest singular value that counts, so d jumps
    where the rank changes.

    Guarantees: descends on the mean loss; with full rank ‖d‖ = σ/√T. A single task may ascend.
    Scale: as it is.
    Cost: G Gᵀ and w G, an eigenvalue and a singular value decomposition of T × T numbers.
    Paper: Senushkin et al., CVPR 2023, arXiv 2305.19000.

    Example:
        >>> AlignedMTL()(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        tensor([0.5000, 0.5000])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        T = norms.shape[-1]
        values, vectors = torch.linalg.eigh(C)
        counts = values > 10 * T * eps * values[..., -1:]
        # the singular values of a factor of G Gᵀ keep digits that the eigenvalues of G Gᵀ would lose;
        # rows in the order of their norms keep the digits of the small singular values too
        order = identity(T)[norms.argsort(-1, descending=True)]
        rows = order @ (norms.unsqueeze(-1) * vectors)
        U, S, _ = torch.linalg.svd(rows * (values * counts).sqrt().unsqueeze(-2))
        noise = 10 * T * torch.finfo(S.dtype).eps * S[..., :1]
        S = S.masked_fill(noise >= S, torch.inf)  # includes the values that do not count
        smallest = S.amin(-1, keepdim=True).clamp_max(torch.finfo(S.dtype).max)  # finite if all rows are 0
        nonzero = norms.sign()
        mean = (nonzero / nonzero.sum(-1, keepdim=True).clamp_min(1.0)).unsqueeze(-2)
        U = order.mT @ U
        coefficients: Tensor = ((mean @ U * (smallest / S).unsqueeze(-2)) @ U.mT).squeeze(-2)
        return norms * coefficients
