"""The base class of methods that remember numbers of each parameter, and the inner products they need."""

import torch
from torch import Tensor

from .base import StepDirection
from .checks import check_call, checked_losses
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
    reads, keeps, same = "gradients", "gradients", "tasks and parameters"
    reads_losses = False

    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_call(G, losses)
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

    def recall_rows(self, name: str, rows: Tensor) -> Tensor:
        """Return the remembered numbers of each parameter, like ``rows``, and 0 where nothing is remembered.

        They cost no pass over the parameters, unlike an entry that :meth:`recall` searches for NaN.
        """
        if name not in self.memory:
            self.tasks_of(rows.shape[-2])  # raises before half a state is remembered
            self.memory = {**self.memory, name: rows.new_zeros(())}
        return self.entry(name, rows)

    def running_mean(self, rows: Tensor, part: str, keep: float, weights: Tensor | None = None) -> "UnitRows":
        """Return the weighted mean of the rows of all steps, each task's own, and remember it.

        Args:
            rows: (..., T, P).
            part: their part.
            keep: the factor of all earlier weights at each step, from 0 (no past counts) to below 1.
            weights: (..., T) > 0, in float64, on the device of the rows; by default all are 1.
        """
        before = self.recall_rows(f"{part} gradients", rows)
        zeros = rows.new_zeros((), dtype=torch.float64).expand(*rows.shape[:-1], 1)
        present = zeros + 1 if weights is None else weights.unsqueeze(-1)
        total = keep * self.recall(f"{part} total", zeros) + present
        rate = present / total
        # in units of a bound of the largest entry no square leaves the range of the dtype
        largest = torch.maximum(rows.amax(-1, keepdim=True), rows.amin(-1, keepdim=True).neg())
        rest = (1 - rate) * self.recall(f"{part} bound", zeros)
        bound = rest + rate * largest
        inverse = bound.reciprocal().nan_to_num(0.0, 0.0, 0.0)
        mean = before * (rest * inverse).to(rows)
        mean.addcmul_(rows, (rate * inverse).clamp_max(torch.finfo(rows.dtype).max).to(rows))
        self.remember({f"{part} gradients": mean, f"{part} bound": bound, f"{part} total": total})
        return UnitRows(mean, bound.squeeze(-1))


class UnitRows:
    """The cosines and norms of rows, and sums of their unit rows, on the device of the rows.

    Nothing waits for that device, unlike :func:`~flatmtl_lite.aggregation.gramians.gramian`.

    Args:
        rows: (..., T, P), finite, in float32 or float64, with entries from -1 to 1.
        units: (..., T), in float64; the rows are meant times these.

    Attributes:
        cosines: (..., T, T), in float64; 0 for a zero row.
        norms: (..., T), in float64.
    """

    def __init__(self, rows: Tensor, units: Tensor) -> None:
        M = inner_products(rows).double()
        self.cosines, _ = scale_free(M)
        self._rows, self._lengths = rows, M.diagonal(dim1=-2, dim2=-1).sqrt()
        self.norms = self._lengths * units

    def combine(self, u: Tensor) -> Tensor:
        """Return Σ uᵢ ĝᵢ (..., P) of the unit rows ĝᵢ, for coefficients (..., T) in float64."""
        return matmul(per_norm(u, self._lengths).to(self._rows).unsqueeze(-2), self._rows).squeeze(-2)
