"""UPGrad: turn every gradient until it opposes none, then take the mean."""

from torch import Tensor

from .base import GramianAggregator
from .cone import cone_minimum


class UPGrad(GramianAggregator):
    """Unconflicting projection: turn every gradient until it opposes none, then take the mean.

    d is the mean of the projections of the gᵢ onto {d: ⟨gⱼ, d⟩ >= 0 for all j}, the nearest directions
    that ascend on no task (Eq. 3). We solve for them exactly; TorchJD adds 1e-4 to the normalised Gramian.

    Guarantees: ascends on no task.
    Scale: as it is (the paper's weights are 1/T).
    Cost: G Gᵀ and w G, and T searches for the active tasks at once on T × T numbers.
    Paper: Quinton and Rey 2024, arXiv 2406.16232.

    Example:
        >>> import torch
        >>> UPGrad()(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
        tensor([0.2500, 0.7500])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        # row i holds what projection adds to the unit gradient i, as coefficients of the unit gradients
        corrections = cone_minimum(C.unsqueeze(-3), -C, eps)
        return (norms + (norms.unsqueeze(-2) @ corrections).squeeze(-2)) / norms.shape[-1]
