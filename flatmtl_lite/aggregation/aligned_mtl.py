"""Aligned-MTL: the gradients are made orthogonal and equally long, then the mean is taken."""

import torch
from torch import Tensor

from .base import GramianAggregator, identity


class AlignedMTL(GramianAggregator):
    """Independent component alignment: make the gradients orthogonal and equally long, then take the mean.

    d = σ Σ wᵢ ĝᵢ', w = 1/T, where the rows ĝ' = (G Gᵀ)^(-1/2) G are the orthonormal ones nearest to G,
    and σ, the smallest singular value of G, is their length: no component of G is ever amplified (Alg. 1).
    Gradients of 0 are left out.

    Of a G of lower rank, only the singular vectors of its rank r take part. r counts eigenvalues of the
    cosines above 10 T eps of the largest (eps: the accuracy of the Gramian), and singular values of G
    above 10 T 2e-16 of the largest. d jumps there: σ is the smallest one that counts.

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
        counted = values > 10 * T * eps * values[..., -1:]
        # a factor of G Gᵀ: its singular values keep the digits that the eigenvalues of G Gᵀ would lose,
        # and the small ones too if the rows come in the order of their norms
        order = identity(T)[norms.argsort(-1, descending=True)]
        rows = order @ (norms.unsqueeze(-1) * vectors)
        U, S, _ = torch.linalg.svd(rows * (values * counted).sqrt().unsqueeze(-2))
        noise = 10 * T * torch.finfo(S.dtype).eps * S[..., :1]
        S = S.masked_fill(noise >= S, torch.inf)  # what is not counted is among these
        smallest = S.amin(-1, keepdim=True).clamp_max(torch.finfo(S.dtype).max)  # of all rows 0
        live = norms.sign()
        mean = (live / live.sum(-1, keepdim=True).clamp_min(1.0)).unsqueeze(-2)
        U = order.mT @ U
        return norms * ((mean @ U * (smallest / S).unsqueeze(-2)) @ U.mT).squeeze(-2)
