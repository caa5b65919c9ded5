"""DualProj: the direction nearest to the mean gradient that ascends on no task."""

from torch import Tensor

from .base import GramianAggregator
from .cone import cone_minimum


class DualProj(GramianAggregator):
    """Projection onto the dual cone: the direction nearest to the mean gradient that ascends on no task.

    d = argmin ‖d - g₀‖ over ⟨gⱼ, d⟩ >= 0 for all j, where g₀ is the mean gradient. If the mean gradient
    ascends on no task, d is that mean. Zero rows count in the mean, unlike in :class:`ConFIG`. In GEM, tasks
    come one after the other, and the gradient of the newest task is projected (Eq. 11). TorchJD projects the
    mean, under this name. UPGrad projects every gradient and then takes the mean.

    The minimum is exact up to a ridge of 8 eps on the cosines; TorchJD adds 1e-4 to the normalised Gramian.
    So where d should be 0, as for two opposite gradients, about 8 eps of the mean may remain.

    Guarantees: up to that ridge, ascends on no task, and descends on the mean loss unless d = 0.
    Scale: as it is.
    Cost: G Gᵀ and w G, and a search for the active tasks on T × T numbers.
    Paper: Lopez-Paz and Ranzato, NIPS 2017, arXiv 1706.08840.

    Example:
        >>> import torch
        >>> DualProj()(torch.tensor([[4.0, 0.0], [-1.0, 1.0]]))
        tensor([1.0000, 1.0000])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        mean = norms / norms.shape[-1]
        return mean + cone_minimum(C, -(C @ mean.unsqueeze(-1)).squeeze(-1), eps)
