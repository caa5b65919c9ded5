"""MGDA: the shortest vector in the convex hull of the task gradients."""

from torch import Tensor

from .base import GramianAggregator, zero_where_cancelling
from .cone import cone_minimum
from .simplex import simplex_scale


class MGDA(GramianAggregator):
    """The multiple-gradient descent algorithm: the shortest vector in the convex hull of the gradients.

    d = argmin ‖g‖ over the hull; 0 means ‖d‖ below 1e-7 of Σ wᵢ‖gᵢ‖ (the weights then are 0; float32 may
    leave 1e-6). A task whose gradient is 0 stops all. Solved exactly, where the published code iterates.

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
        # ⟨gᵢ, d⟩ >= ‖d‖², divided by ‖gᵢ‖ and by ‖d‖², are the conditions of the minimum over a cone
        a = simplex_scale(norms)
        v = cone_minimum(C, a, eps)
        # in units of the shortest row, Σ aᵢvᵢ is Σ wᵢ; a zero row, the shortest, makes all 0
        shortest = norms.amin(-1, keepdim=True)
        return zero_where_cancelling(v * (shortest / (a * v).sum(-1, keepdim=True)), C)
