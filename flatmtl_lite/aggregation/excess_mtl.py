"""ExcessMTL: give more weight to a task that is further from convergence than others."""

import torch
from torch import Tensor

from .checks import check_positive_number
from .memory import LEAST_WEIGHT
from .products import matmul
from .row_memory import RememberingRows


class ExcessMTL(RememberingRows):
    """Excess risks: give more weight to tasks that are far from their best loss, whatever that loss is.

    The excess risk of task i, its loss above the best loss that it could reach, is estimated as
    Eᵢ = Σₚ gᵢₚ²/√Sᵢₚ (eq. 6 and 7), where Sᵢₚ sums gᵢₚ² over all steps, the present one included, as Adagrad
    does. Then w ∝ w exp(η Eᵢ/Eᵢ⁰) (eq. 9). Eᵢ⁰ is the first estimate above 0, as in the authors' code.
    All ratios are then 1 at the first step, and w stays equal. The page of TorchJD says that the paper
    averages three epochs. A task without such an estimate keeps its w, as if it were absent. The code adds
    1e-7 to S, which has a unit. Here a parameter with a gradient of 0 adds 0 to E. Each part has its own S,
    E⁰ and w.

    Guarantees: the weights do not change when a loss is multiplied by a constant.
    Scale: Σ w = 1 (the authors' code: T). If all gradients so far are s times as long, so is d.
    Cost: no Gramian; w G and five more passes over G; P numbers per task and part.
    Paper: He et al., ICML 2024, arXiv 2402.02009.

    Args:
        eta: step size η of the weights, a finite number > 0. The authors' code has 0.01, its example 1.

    Raises:
        ValueError: ``eta`` is out of range, or a later call has another number of tasks or parameters.

    Example:
        >>> A = ExcessMTL(eta=1.0)
        >>> for G in ([[1.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 4.0]]):  # E = (1, 3), then (0, 16/5)
        ...     d = A(torch.tensor(G))
        >>> d
        tensor([0.0000, 2.9758])
    """

    remembers = frozenset({"roots", "baseline", "weights"})

    def __init__(self, eta: float = 0.01) -> None:
        super().__init__()
        self.eta = check_positive_number(eta, "eta")

    def solve(self, rows: Tensor, part: str, losses: Tensor) -> Tensor:
        info = torch.finfo(rows.dtype)
        # √S in place of S: no square leaves the range of the dtype
        roots = torch.hypot(self.recall_rows(f"{part} roots", rows), rows).clamp_min_(info.tiny)
        estimates = (rows / roots).mul_(rows).sum(-1, keepdim=True).clamp_max_(info.max).double()
        baseline = self.recall(f"{part} baseline", estimates)
        baseline = torch.where(baseline > 0, baseline, estimates)
        ratios = estimates / baseline
        # an exponent beyond the range of float64 would be inf, and the softmax would make inf - inf NaN
        exponents = (self.eta * ratios).clamp_max(torch.finfo(torch.float64).max)
        w, total = self.recall_shares(f"{part} weights", estimates)
        w = self.exchange(w, exponents, baseline > 0)
        weights = (w * total).clamp_min(LEAST_WEIGHT)
        self.remember({f"{part} roots": roots, f"{part} baseline": baseline, f"{part} weights": weights})
        return matmul(w.mT.to(rows), rows).squeeze(-2)

    def extra_repr(self) -> str:
        return f"eta={self.eta}"
