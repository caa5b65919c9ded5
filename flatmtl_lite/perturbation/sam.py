"""Choose the worst-case step ε as sharpness-aware minimisation (SAM) and adaptive SAM do."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

from .polar import Polar
from .samo import SAMO

# The one place for the defaults of core, command line and notebooks; presets name other values. SAM's default
# radius is 0.05 (arXiv 2010.01412), within the range that the papers search. arXiv 2211.13723 has one norm
# for the trunk and one for each head (eqs. 7 and 11).
DEFAULT_RHO = 0.05
DEFAULT_NORM = "separate"


class Step(NamedTuple):
    """ε = factor · direction."""

    direction: Tensor
    factor: float


def worst_case(gradient: Tensor, rho: float | Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the step that raises a linearised loss most within radius ρ: ε = ρ g/‖g‖.

    This is the step of SAM (Foret et al. 2021, arXiv 2010.01412, eq. 2; arXiv 2211.13723, eqs. 7 and 11).
    With ``weights`` it is the adaptive form, ε = ρ D²g/‖Dg‖ with D = |w|, so that ‖D⁻¹ε‖ = ρ (Kwon et al.
    2021, arXiv 2102.11600). Where the gradient is 0 or not finite, ε is 0. Entries are taken relative to
    the largest, so that no square overflows or underflows.

    Args:
        gradient: (..., P).
        rho: the radius, >= 0; a number or (..., 1).
        weights: (P,) or (..., P), for the adaptive form.

    Returns:
        ε (..., P).

    Example:
        >>> worst_case(torch.tensor([3.0, 4.0]), rho=0.5)
        tensor([0.3000, 0.4000])
    """
    scaled = gradient if weights is None else weights.abs() * gradient
    largest = scaled.abs().amax(-1, keepdim=True)
    scaled = scaled / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    epsilon = torch.where(length > 0, scaled * (rho / length), 0.0)
    return epsilon if weights is None else weights.abs() * epsilon


@dataclass
class Perturbation:
    """How far the weights are perturbed, and in which measure.

    Args:
        rho: radius for the shared parameters, >= 0.
        rho_heads: radius for each head; None: ``rho``.
        adaptive: adaptive SAM, see :func:`worst_case`.
        norm: "separate": trunk and head each have their own norm (arXiv 2211.13723, eqs. 7 and 11);
            "together": one norm and one radius over both, as in the paper's Multi-MNIST code.
        perturb: "task": one ε per task; "mean": one ε for all, from the mean loss (plain SAM; the
            heads then form one block); or :class:`SAMO` or :class:`Polar`.

    Raises:
        ValueError: a radius is negative or not finite, ``norm`` or ``perturb`` is unknown, or
            "together" comes with a ``rho_heads`` of its own.

    Example:
        >>> Perturbation(rho=0.1).is_zero
        False
    """

    rho: float
    rho_heads: float | None = None
    adaptive: bool = False
    norm: str = DEFAULT_NORM
    perturb: str | SAMO | Polar = "task"

    def __post_init__(self) -> None:
        check_radius(self.rho)
        check_radius(self.radius_of_heads, "rho_heads")
        if self.norm not in ("separate", "together"):
            raise ValueError(f'Got norm={self.norm!r}; expected "separate" or "together".')
        check_perturb(self.perturb)
        if self.norm == "together" and self.radius_of_heads != self.rho:
            raise ValueError(
                f'Got rho_heads={self.rho_heads} with norm="together", where one radius rho={self.rho} '
                'holds for trunk and head; leave rho_heads out or use norm="separate".'
            )

    @property
    def radius_of_heads(self) -> float:
        """The radius for each head: ``rho_heads``, or ``rho`` if that is None."""
        return self.rho if self.rho_heads is None else self.rho_heads

    @property
    def is_zero(self) -> bool:
        """Whether nothing moves."""
        return self.rho == 0 and self.radius_of_heads == 0

    @property
    def is_common(self) -> bool:
        """Whether all tasks share one ε, and the heads form one block."""
        return self.perturb == "mean" or isinstance(self.perturb, Polar)

    @property
    def reads_tasks(self) -> bool:
        """Whether ε needs the gradient of each task at θ; else the gradient of the mean loss is enough."""
        return self.perturb == "task" or (isinstance(self.perturb, SAMO) and self.perturb.local == "exact")

    @property
    def spare_rows(self) -> int:
        """How many vectors of the trunk's size ε needs in addition to the gradients."""
        return (3 if self.perturb.one_draw else 1) if isinstance(self.perturb, SAMO) else 0

    def steps(
        self,
        shared: Tensor,
        heads: Sequence[Tensor],
        shared_weights: Tensor,
        head_weights: Sequence[Tensor],
        scratch: Tensor | None = None,
        rows: Tensor | None = None,
        to_cpu: Callable[[Tensor], Tensor] = Tensor.cpu,
    ) -> list[tuple[Step, Step]]:
        """Return each task's ε for the trunk and for its head. Tasks with one row share one trunk vector.

        The host waits once for all lengths. A length that overflows, underflows or is not finite is looked
        at again by :func:`worst_case`.

        Args:
            shared: gradients of the trunk, or what ε follows in their place, (n, P).
            heads: gradients of the heads, T vectors.
            shared_weights: (P,).
            head_weights: T vectors.
            scratch: (n, P), memory that will hold the trunk's directions if ``adaptive``.
            rows: (T,), per task its row of ``shared``; None: n = T, and each has its own.
            to_cpu: copies numbers to the CPU; a caller may send others in the same copy.
        """
        directions, head_directions = shared, list(heads)
        if self.adaptive:
            directions = torch.mul(shared, shared_weights, out=scratch)
            head_directions = [g * w for g, w in zip(heads, head_weights, strict=True)]
        lengths = torch.cat([_lengths(directions), *(_lengths(h[None]) for h in head_directions)])
        if self.adaptive:
            directions.mul_(shared_weights)
            head_directions = [d * w for d, w in zip(head_directions, head_weights, strict=True)]
        numbers = to_cpu(lengths if rows is None else torch.cat([lengths, rows.to(lengths)])).tolist()
        n, T = len(shared), len(heads)
        row_of = range(T) if rows is None else [int(row) for row in numbers[n + T :]]
        trunks, steps = directions.unbind(), []
        for i, (row, head, head_length) in enumerate(zip(row_of, head_directions, numbers[n:], strict=False)):
            length, trunk = numbers[row], trunks[row]
            exact = _is_exact(length, trunk, self.rho) and _is_exact(head_length, head, self.radius_of_heads)
            if not exact:
                trunk, head = self.step(shared[row], heads[i], shared_weights, head_weights[i])
                steps.append((Step(trunk, 1.0), Step(head, 1.0)))
                continue
            if self.norm == "together":
                length = head_length = math.hypot(length, head_length)
            head_factor = self.radius_of_heads / head_length if len(head) else 0.0
            steps.append((Step(trunk, self.rho / length), Step(head, head_factor)))
        return steps

    def step(
        self, shared: Tensor, head: Tensor, shared_weights: Tensor, head_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return ε for the trunk (P,) and for the head (H,), from their gradients and weights."""
        if self.norm == "together":
            weights = torch.cat([shared_weights, head_weights]) if self.adaptive else None
            epsilon = worst_case(torch.cat([shared, head]), self.rho, weights)
            return epsilon[: len(shared)], epsilon[len(shared) :]
        epsilon = worst_case(shared, self.rho, shared_weights if self.adaptive else None)
        if len(head) == 0:
            return epsilon, head
        return epsilon, worst_case(head, self.radius_of_heads, head_weights if self.adaptive else None)


def _lengths(rows: Tensor) -> Tensor:
    """Return the length of each row, (T, P) -> (T,), in float32 or better."""
    dtype = torch.promote_types(rows.dtype, torch.float32)
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=dtype)
    return lengths


def _is_exact(length: float, vector: Tensor, rho: float) -> bool:
    """Return whether no square of the entries overflowed or underflowed, and ρ/length fits their dtype."""
    if rho > length * torch.finfo(vector.dtype).max / 2:
        return len(vector) == 0
    info = torch.finfo(torch.promote_types(vector.dtype, torch.float32))
    return len(vector) == 0 or (len(vector) * info.tiny / info.eps) ** 0.5 <= length < math.inf


def check_radius(rho: float | Tensor, name: str = "rho") -> None:
    """Raise ValueError unless ``rho``, a number or a tensor of radii, is finite and >= 0."""
    if isinstance(rho, Tensor):
        if not bool((rho.isfinite() & (rho >= 0)).all()):
            raise ValueError(f"Got {name}={rho.tolist()}; expected finite radii >= 0, for example 0.05.")
    elif not (isinstance(rho, Real) and math.isfinite(rho) and rho >= 0):
        raise ValueError(f"Got {name}={rho!r}; expected a finite radius >= 0, for example 0.05.")


def check_perturb(perturb: str | SAMO | Polar) -> None:
    """Raise ValueError unless ``perturb`` is "task", "mean", a :class:`SAMO` or a :class:`Polar`."""
    if not isinstance(perturb, (SAMO, Polar)) and perturb not in ("task", "mean"):
        raise ValueError(f'Got perturb={perturb!r}; expected "task", "mean", SAMO(...) or Polar().')
