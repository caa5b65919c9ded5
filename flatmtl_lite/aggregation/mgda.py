"""MGDA: the shortest vector in the convex hull of the task gradients."""

from torch import Tensor

from .base import GramianAggregator
from .cone import cone_minimum
from .simplex import simplex_scale
from .unit_rows import zero_where_cancelling


class MGDA(GramianAggregator):
    """The multiple-gradient descent algorithm: the shortest vector in the convex hull of the gradients.

    d = argmin ‖g‖ over the hull. A ‖d‖ below 1e-7 of Σ wᵢ‖gᵢ‖ counts as 0, and the weights are then 0
    (float32 may leave a d of 1e-6). A task whose gradient is 0 makes d = 0. We solve the problem exactly;
    the published code iterates.

    Guarantees: descends on every task, ⟨gᵢ, d⟩ >= ‖d‖², or is 0 at a Pareto-stationary point.
    Scale: as it is (some published code multiplies by T or 40).
    Cost: G Gᵀ and w G, and a search for the active tasks on T × T numbers.
    Paper: Désidéri 2012, https://doi.org/10.1016/j.crma.2012.03.014; Sener and Koltun, NeurIPS 2018,
        arXiv 1810.04650.

    Example:
        >>> import torch
        >>> MGDA()(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
        tensor([1., 1.])
    """

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        # ⟨gᵢ, d⟩ >= ‖d‖², divided by ‖gᵢ‖ and by ‖d‖², is the optimality condition of the cone's minimum
        a = simplex_scale(norms)
        v = cone_minimum(C, a, eps)
        # in units of the shortest row, Σ aᵢvᵢ is Σ wᵢ; the shortest row may be a zero row, and then u = 0
        shortest = norms.amin(-1, keepdim=True)
        return zero_where_cancelling(v * (shortest / (a * v).sum(-1, keepdim=True)), C)
