"""The worst-case step ε of sharpness-aware minimisation, and how weights and state come back from it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn

from ..gradients import generator_states, set_generators, unflatten

# The one place for the defaults of the core, the command line and the notebooks. Radius 0.05 is the default of SAM
# (arXiv 2010.01412) and within the range that the papers search; a norm for the trunk and one for each head is
# what arXiv 2211.13723 writes in eqs. 7 and 11. An experiment that uses other values names them in its preset.
DEFAULT_RHO = 0.05
DEFAULT_NORM = "separate"


def worst_case(gradient: Tensor, rho: float | Tensor, weights: Tensor | None = None) -> Tensor:
    """The step that raises a linearised loss most within radius ρ: ε = ρ g/‖g‖.

    SAM (Foret et al. 2021, arXiv 2010.01412, eq. 2; arXiv 2211.13723, eqs. 7 and 11). With ``weights``
    the adaptive form, ε = ρ D²g/‖Dg‖ with D = |w|, so that ‖D⁻¹ε‖ = ρ (Kwon et al. 2021, arXiv
    2102.11600). Where the gradient is 0 or not finite, ε is 0. No square overflows or underflows: entries
    are taken relative to the largest.

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
    """How far and in what measure the weights are perturbed.

    Args:
        rho: radius for the shared parameters, >= 0.
        rho_heads: radius for each head; None: ``rho``.
        adaptive: adaptive SAM, see :func:`worst_case`.
        norm: "separate": trunk and head each have their own norm (arXiv 2211.13723, eqs. 7 and 11);
            "together": one norm and one radius over both, as in its Multi-MNIST code.
        perturb: "task": one ε per task; "mean": one ε for all, from the mean loss (plain SAM; the
            heads together are then one block).

    Raises:
        ValueError: a radius is negative or not finite, ``norm`` or ``perturb`` is unknown, or
            "together" comes with a ``rho_heads`` of its own.
    """

    rho: float
    rho_heads: float | None = None
    adaptive: bool = False
    norm: str = DEFAULT_NORM
    perturb: str = "task"

    def __post_init__(self):
        self.rho_heads = self.rho if self.rho_heads is None else self.rho_heads
        for name, value in (("rho", self.rho), ("rho_heads", self.rho_heads)):
            if not (isinstance(value, Real) and math.isfinite(value) and value >= 0):
                raise ValueError(f"Got {name}={value!r}; expected a finite radius >= 0, for example 0.05.")
        if self.norm not in ("separate", "together"):
            raise ValueError(f'Got norm={self.norm!r}; expected "separate" or "together".')
        if self.perturb not in ("task", "mean"):
            raise ValueError(f'Got perturb={self.perturb!r}; expected "task" or "mean".')
        if self.norm == "together" and self.rho_heads != self.rho:
            raise ValueError(
                f'Got rho_heads={self.rho_heads} with norm="together", where one radius rho={self.rho} '
                'holds for trunk and head; leave rho_heads out or use norm="separate".'
            )

    @property
    def is_zero(self) -> bool:
        """Whether nothing moves."""
        return self.rho == 0 and self.rho_heads == 0

    def step(
        self, shared: Tensor, head: Tensor, shared_weights: Tensor, head_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """ε for the trunk (P,) and for the head (H,), from their gradients and weights."""
        if self.norm == "together":
            weights = torch.cat([shared_weights, head_weights]) if self.adaptive else None
            epsilon = worst_case(torch.cat([shared, head]), self.rho, weights)
            return epsilon[: len(shared)], epsilon[len(shared) :]
        epsilon = worst_case(shared, self.rho, shared_weights if self.adaptive else None)
        own = head_weights if self.adaptive else None
        return epsilon, worst_case(head, self.rho_heads, own) if len(head) else head


@contextmanager
def perturbed(parameters: Sequence[Tensor], weights: Tensor, epsilon: Tensor) -> Iterator[None]:
    """Run with parameters = weights + epsilon; afterwards they are ``weights`` again, bit for bit.

    Args:
        parameters: the parameters to move, in place.
        weights: (P,), a copy of their present values, see :func:`flatmtl_lite.gradients.flatten`.
        epsilon: (P,).
    """
    try:
        _assign(parameters, weights + epsilon)
        yield
    finally:
        _assign(parameters, weights)


class StateGuard:
    """Puts buffers (BatchNorm's) and generators back on leaving the block.

    Closures hide the modules, so a forward pre-hook notes the buffers of every module that runs,
    before it runs. The state left behind is that of the last :meth:`keep`; that of entering if there
    was none or the block raises. Not seen: modules run as ``m.forward(x)`` alone, generators other than
    torch's default ones.
    """

    def __init__(self):
        self._modules: set[nn.Module] = set()
        self._before: list[tuple[nn.Module, str, Tensor, Tensor]] = []

    def __enter__(self) -> "StateGuard":
        self._generators_before = generator_states()
        self._kept = None
        self._hook = nn.modules.module.register_module_forward_pre_hook(self._note)
        return self

    def keep(self) -> None:
        """Take the present state as the one to leave behind."""
        buffers = [(m, name, m._buffers[name], m._buffers[name].clone()) for m, name, _, _ in self._before]
        self._kept = (buffers, generator_states())

    def __exit__(self, error: type | None, *_) -> None:
        self._hook.remove()
        buffers, generators = self._before, self._generators_before
        if error is None and self._kept is not None:
            buffers, generators = self._kept
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                buffer.copy_(value)
                module._buffers[name] = buffer
        set_generators(generators)

    def _note(self, module: nn.Module, _) -> None:
        if module in self._modules:
            return
        for m in module.modules():
            if m not in self._modules:
                self._modules.add(m)
                self._before += [(m, n, b, b.clone()) for n, b in m._buffers.items() if b is not None]


@torch.no_grad()
def _assign(parameters: Sequence[Tensor], vector: Tensor) -> None:
    torch._foreach_copy_(list(parameters), unflatten(vector, parameters))
    torch.clear_autocast_cache()  # else a pass within one autocast block runs on casts of the old weights
