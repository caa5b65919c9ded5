"""The base class of methods that remember numbers of each parameter, and the inner products they need."""

import torch
from torch import Tensor

from .base import StepDirection
from .checks import check_one_loss_per_row, check_rows, check_sum, checked_losses
from .gramians import scale_free
from .memory import Remembering
from .products import inner_products, matmul
from .unit_rows import per_norm


class RememberingRows(Remembering):
    """An aggregator that reads the rows and remembers numbers of each parameter for each task.

    An entry of ``memory`` has the shape (..., T, P), or (..., T, 1) if it holds one number per task. Every
    part of a step ("loss", "flat", "sam") has entries of its own. They lie on the device of the rows, and no
    step waits for that device. A method implements :meth:`solve`. It remembers no tensor that it was given,
    because a training step writes into the rows again.
    """

    task_dims = (-2,)
    reads = keeps = "gradients"
    reads_losses = False

    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_rows(G)
        check_sum(G)
        check_one_loss_per_row(losses, G)
        return self.for_step(losses)(G)

    def for_step(self, losses: Tensor | None) -> StepDirection:
        read = checked_losses(losses, type(self).__name__) if self.reads_losses else torch.empty(0)

        @torch.no_grad()
        def direction(rows: Tensor, part: str | None = None) -> Tensor:
            finer = rows.detach().to(torch.promote_types(rows.dtype, torch.float32))
            return self.solve(finer, part or "loss", read).to(rows.dtype)

        return direction

    def solve(self, rows: Tensor, part: str, losses: Tensor) -> Tensor:
        """Return the direction (..., P) of a part.

        Args:
            rows: finite rows (..., T, P) in float32 or finer.
            part: the name of the part.
            losses: (..., T) at θ, finite, float64, on the CPU; empty unless the method ``reads_losses``.
        """
        raise NotImplementedError

    def running_mean(self, rows: Tensor, part: str, share: float) -> Tensor:
        """Return the exponential mean of the rows of all steps, each task's own, and remember it.

        The present row counts ``share``, and a row k steps ago (1 - share)ᵏ of that. Divided by the sum of
        these weights, the mean of one row is the row.
        """
        before = self.recall(f"{part} gradients", rows)
        count = 1 + self.recall(f"{part} count", rows.new_zeros(()).expand(*rows.shape[:-1], 1))
        mean = torch.lerp(before, rows, share / (1 - (1 - share) ** count))
        self.remember({f"{part} gradients": mean, f"{part} count": count})
        return mean


class UnitRows:
    """The cosines and norms of rows, and sums of their unit rows, on the device of the rows.

    Rows are rescaled to a largest entry of 1 first, so that no square leaves the range of the dtype. Nothing
    waits for the device, unlike :func:`~flatmtl_lite.aggregation.gramians.gramian`.

    Args:
        rows: (..., T, P), finite, in float32 or float64.

    Attributes:
        cosines: (..., T, T), in float64; 0 for a zero row.
        norms: (..., T), in float64.
    """

    def __init__(self, rows: Tensor) -> None:
        largest = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True)
        self._rescaled = rows / torch.where(largest > 0, largest, 1.0)
        M = inner_products(self._rescaled).double()
        self.cosines, _ = scale_free(M)
        self._lengths = M.diagonal(dim1=-2, dim2=-1).sqrt()
        self.norms = self._lengths * largest.squeeze(-1).double()

    def combine(self, u: Tensor) -> Tensor:
        """Return Σ uᵢ ĝᵢ (..., P) of the unit rows ĝᵢ, for coefficients (..., T) in float64."""
        weights = per_norm(u, self._lengths).to(self._rescaled)
        return matmul(weights.unsqueeze(-2), self._rescaled).squeeze(-2)
