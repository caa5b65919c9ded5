"""MoCo: step towards the shortest combination of running means of the gradients."""

import torch
from torch import Tensor

from .checks import check_nonnegative_number, check_positive_number, is_number
from .row_memory import RememberingRows


class MoCo(RememberingRows):
    """Multi-objective gradient correction: average the gradients over steps, and move weights towards MGDA's.

    The shortest combination of noisy gradients is biased. So yᵢ is the running mean of gᵢ. The weights w move
    one step down the slope of ½‖Σ wᵢyᵢ‖² + ½ρ‖w‖², back to w ≥ 0 with Σ w = 1, and d = Σ wᵢyᵢ. The slope is
    divided by the mean of ‖yᵢ‖², so that γ has no unit; the authors' code does not divide. β and γ stay
    constant, as in their small experiments. Other published code divides them by √step, makes gᵢ as long as
    the loss lᵢ, and has a softmax in place of the projection. The authors' y starts at 0 and is too short at
    first. Here the mean is divided by the sum of its weights. Each part has its own y and w.

    Guarantees: for gradients that stay as they are, ρ = 0 and γT < 2, d comes to MGDA's.
    Scale: as it is. If all gradients so far are s times as long, so is d. (The authors' code: at step k,
        1 - (1 - β)ᵏ of it.)
    Cost: G Gᵀ and w G, and four more passes over G; P numbers per task and part.
    Paper: Fernando et al., ICLR 2023, arXiv 2210.12624.

    Args:
        beta: weight of the present gradient in the mean, in (0, 1]. With 1, the past counts only through w.
        gamma: step size of the weights, a finite number > 0.
        rho: regularisation ρ, a finite number >= 0; a larger one makes the weights more equal.

    Raises:
        ValueError: an argument is out of range, or a later call has another number of tasks or parameters.

    Example:
        >>> A = MoCo(gamma=0.25)
        >>> A(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))  # the slope is (0.1, 0.9)
        tensor([0.6000, 1.2000])
    """

    remembers = frozenset({"gradients", "bound", "total", "weights"})

    def __init__(self, beta: float = 0.1, gamma: float = 0.1, rho: float = 0.0) -> None:
        super().__init__()
        if not (is_number(beta) and 0 < beta <= 1):
            raise ValueError(
                f"Got beta={beta!r}; expected a number in (0, 1]. Published code has 0.1 and 0.5."
            )
        self.beta = beta
        self.gamma = check_positive_number(gamma, "gamma")
        self.rho = check_nonnegative_number(rho, "rho")

    def solve(self, rows: Tensor, part: str, losses: Tensor) -> Tensor:
        y = self.running_mean(rows, part, 1 - self.beta)
        norms = y.norms.unsqueeze(-1)
        unit = norms / norms.square().mean(-2, keepdim=True).sqrt().clamp_min(torch.finfo(norms.dtype).tiny)
        w, total = self.recall_shares(f"{part} weights", norms)
        slope = unit * (y.cosines @ (unit * w)) + self.rho * w
        w = onto_simplex(w - self.gamma * slope)
        self.remember({f"{part} weights": w * total})
        return y.combine((w * norms).squeeze(-1))

    def extra_repr(self) -> str:
        return f"beta={self.beta}, gamma={self.gamma}, rho={self.rho}"


def onto_simplex(v: Tensor) -> Tensor:
    """Return the nearest w ≥ 0 with Σ w = 1, for v and w (..., T, 1)."""
    sums = v.sort(-2, descending=True).values.cumsum(-2)
    # the quotients rise as long as the next entry stays above 0, so the largest one is the shift
    shift = ((sums - 1) / torch.ones_like(v).cumsum(-2)).amax(-2, keepdim=True)
    return (v - shift).clamp_min(0.0)
