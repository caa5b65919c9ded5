"""Choose ε as SAMO does: along the gradient of the mean loss, and a little along each task's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LOCAL_PARTS = ("forward", "coin", "exact")


@dataclass(frozen=True)
class SAMO:
    """One ε per task, from a global and a local part: ε_i = ρ q_i/‖q_i‖, q_i = α g₀ + (1-α) ĝ_i.

    g₀ is the gradient of the mean loss. ĝ_i estimates the task's own gradient from two forward passes: along
    a random z it is (l_i(θ+μz) - l_i(θ-μz))/2μ · z. In every parameter tensor it is scaled to the length that
    g₀ has there. So only its direction counts, and the two losses give no more than the sign of z.

    With α = 1 no forward pass runs, and all tasks share the trunk's ε: that is G-SAM. With α = 0 and
    ``local="exact"`` ε is as with ``perturb="task"``: that is L-SAM. Each head moves along its own gradient.

    Paper: SAMO, arXiv 2507.07883.

    The released code parts from the paper, and this follows the paper: the code for NYUv2 leaves out the
    scaling; that for CityScapes adds the gradient of the step before to g₀; it copies the model for every
    task; it seeds the global generator; its two forward passes run in evaluation mode (here
    ``evaluate=True``). Its ``beta`` is 1 - α.

    Args:
        alpha: weight of the global part, from 0 to 1.
        mu: distance of the two forward passes from θ along z, > 0.
        local: "forward": as above; "coin": a coin replaces the sign, and no forward pass runs (a control);
            "exact": the task's own gradient, unscaled, at the price of a backward pass.
        one_draw: whether all tasks share one z. Then two forward passes serve all tasks, and tasks of one
            sign share their perturbed forward pass.
        evaluate: whether the two forward passes run in evaluation mode.

    Raises:
        ValueError: ``alpha`` is outside [0, 1], ``mu`` is not finite and > 0, or ``local`` is unknown.

    Example:
        >>> g0, z = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])
        >>> SAMO(alpha=0.5).mix(g0, z, sign=torch.tensor(-1.0), sizes=[2])
        tensor([-1.,  2.])
    """

    alpha: float = 0.5
    mu: float = 0.01
    local: str = "forward"
    one_draw: bool = False
    evaluate: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"Got alpha={self.alpha!r}; expected a number from 0 (local) to 1 (global).")
        if not 0 < self.mu < float("inf"):
            raise ValueError(f"Got mu={self.mu!r}; expected a finite distance > 0, for example 0.01.")
        if self.local not in LOCAL_PARTS:
            raise ValueError(f"Got local={self.local!r}; expected one of {', '.join(LOCAL_PARTS)}.")

    def directions(
        self,
        mean: Tensor,
        rows: Tensor,
        tasks: int,
        out: Tensor,
        sizes: Sequence[int],
        differences: Callable[[Tensor, Sequence[int]], Tensor],
        seed: int,
    ) -> tuple[Tensor, Tensor]:
        """Return q (n, P), and (T,) which of its n rows belongs to each task.

        Args:
            mean: g₀, (P,).
            rows: the tasks' own gradients (T, P), which ``local="exact"`` reads.
            tasks: their number T.
            out: memory for q: (T, P), or (2, P) with ``one_draw``.
            sizes: number of entries of each parameter tensor, in order.
            differences: z (P,), tasks -> l_i(θ+μz) - l_i(θ-μz) of these tasks.
            seed: seed of z and of the coin.

        Raises:
            ValueError: ``mu`` is too small for the dtype.
        """
        own = torch.arange(tasks, device=mean.device)
        if self.alpha == 1:
            return mean.unsqueeze(0), torch.zeros_like(own)
        if self.local == "exact":
            return torch.mul(rows, 1 - self.alpha, out=out).add_(mean, alpha=self.alpha), own
        self.check_distance(mean.dtype)
        generator = torch.Generator(mean.device).manual_seed(seed)
        if self.one_draw:
            plus, minus = out[0].normal_(generator=generator), out[1]
            signs = self._signs(plus, range(tasks), differences, generator)
            self.mix(mean, minus.copy_(plus), mean.new_tensor(-1.0), sizes)
            self.mix(mean, plus, mean.new_tensor(1.0), sizes)
            return out, (signs < 0).long()
        for k in range(tasks):
            z = out[k].normal_(generator=generator)
            self.mix(mean, z, self._signs(z, [k], differences, generator)[0], sizes)
        return out, own

    def _signs(
        self,
        z: Tensor,
        tasks: Sequence[int],
        differences: Callable[[Tensor, Sequence[int]], Tensor],
        generator: torch.Generator,
    ) -> Tensor:
        """Return the sign of each task's local part along z; equal losses count as a rise."""
        if self.local == "coin":
            rises = torch.randint(0, 2, (len(tasks),), generator=generator, device=z.device)
        else:
            rises = (differences(z, tasks) >= 0).long()
        return 2 * rises - 1

    def mix(self, mean: Tensor, z: Tensor, sign: Tensor, sizes: Sequence[int]) -> Tensor:
        """Turn z into α g₀ + (1-α) ĝ, in place, and return it.

        Args:
            mean: g₀, (..., P).
            z: (..., P).
            sign: sign of the difference of the two losses, (...).
            sizes: number of entries of each parameter tensor, in order.
        """
        largest = mean.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(mean.dtype).tiny)
        for part, layer in zip(z.split(sizes, -1), mean.split(sizes, -1), strict=True):
            lengths = [torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (layer / largest, part)]
            scale = (1 - self.alpha) * sign[..., None] * largest * lengths[0] / lengths[1]
            part.mul_(scale.to(part)).add_(layer, alpha=self.alpha)
        return z

    def check_distance(self, dtype: torch.dtype) -> None:
        """Raise ValueError if the difference of two losses at distance ``mu`` is mostly rounding."""
        if self.mu < (least := 8 * torch.finfo(dtype).eps):
            raise ValueError(
                f"Got mu={self.mu:g} for weights in {dtype}: the difference of two losses that close is "
                f"mostly rounding; expected at least {least:.0e}, for example 0.01."
            )
