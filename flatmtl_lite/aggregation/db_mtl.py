"""DB-MTL: sum unit gradients of the logarithms of the losses, averaged over steps."""

import torch
from torch import Tensor

from .checks import is_number
from .row_memory import RememberingRows
from .unit_rows import mean_norm, safe_length


class DBMTL(RememberingRows):
    """Dual balancing: average the gradients of log losses over steps, and sum them as unit vectors.

    bᵢ is the running mean of gᵢ/lᵢ, the gradient of log lᵢ, and d is along Σ bᵢ/‖bᵢ‖. The flat part has a
    mean of its own, of its rows divided by the same lᵢ, the losses of the step at θ. In one step lᵢ changes
    no direction; over several it decides how much each step counts. The code in LibMTL adds 1e-8 to the loss
    and starts bᵢ at 0, which changes no direction. It can let β fall with the step, but not by default. Tasks
    with bᵢ = 0 are left out. Where the unit vectors cancel to 1e-7 of their number (to 2e-3 in float32), d
    is 0.

    Guarantees: when a loss is multiplied by a constant, only the length of the direction changes.
    Scale: the unit direction times the mean of ‖bᵢ‖ over the running mean of 1/lᵢ. If all gradients so far
        are s times as long, so is d. With β = 0 this is NGDiff (the paper: Σ bᵢ/‖bᵢ‖ times the largest ‖bᵢ‖).
    Cost: G Gᵀ and w G, and four more passes over G; P numbers per task and part.
    Paper: Lin et al., Neural Networks, arXiv 2308.12029.

    Args:
        beta: weight of the past in the running mean, in [0, 1). With 0, no call depends on earlier ones.

    Raises:
        ValueError: ``beta`` is out of range, losses are missing or not > 0, or a later call has another
            number of tasks or parameters.

    Example:
        >>> A = DBMTL()
        >>> A(torch.tensor([[3.0, 0.0], [0.0, 5.0]]), losses=torch.tensor([1.0, 2.0]))
        tensor([2.8284, 2.8284])
    """

    reads_losses = True
    remembers = frozenset({"gradients", "bound", "total"})

    def __init__(self, beta: float = 0.9) -> None:
        super().__init__()
        if not (is_number(beta) and 0 <= beta < 1):
            raise ValueError(f"Got beta={beta!r}; expected a number in [0, 1). Published code has 0.9.")
        self.beta = beta

    def solve(self, rows: Tensor, part: str, losses: Tensor) -> Tensor:
        self.check_positive(losses)
        b = self.running_mean(rows, part, self.beta, 1 / losses.to(rows.device))
        u = b.norms.sign()
        length = mean_norm(b.norms) / safe_length(b.cosines, u, torch.finfo(rows.dtype).eps)
        return b.combine(u * length)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"
