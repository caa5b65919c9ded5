"""Mean of the task gradients: linear scalarisation with equal weights."""

import torch
from torch import Tensor

from .base import GramianAggregator
from .checks import check_finite, check_rows
from .products import matmul


class Mean(GramianAggregator):
    """The mean of the task gradients (LS, EW): plain gradient descent on the mean loss.

    The mean is linear in the gradients, so decomposing changes nothing: A(loss) + A(flat) = A(loss + flat).

    Guarantees: descends on the mean loss, at whatever price for one task.
    Scale: as it is.
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: linear scalarisation, the baseline of all papers here.

    Example:
        >>> Mean()(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
        tensor([1., 2.])
    """

    @torch.no_grad()
    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_rows(G)
        weights = G.new_full((1, G.shape[-2]), 1.0 / G.shape[-2])
        mean = matmul(weights, G).squeeze(-2)  # quicker than G.mean(-2)
        # the mean shows every NaN and infinity of the rows, and is shorter to check than the rows
        if not bool(torch.linalg.vector_norm(mean, dim=-1).isfinite().all()):
            check_finite(G)
        return mean

    def weigh(self, M: Tensor, eps: float, part: str | None = None) -> Tensor:
        return torch.full(M.shape[:-1], 1.0 / M.shape[-1], dtype=torch.float64, device="cpu")

    def loss_weights(self, losses: Tensor) -> Tensor:
        return torch.full(losses.shape, 1.0 / losses.shape[-1], dtype=torch.float64, device="cpu")
