"""Bring weights, buffers and random generators back after a perturbed pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..gradients import generator_states, set_generators
from ..trunk_and_heads import unflatten

SavedBuffer = tuple[nn.Module, str, Tensor, Tensor]  # the module, the buffer's name, the buffer, a copy of it


@contextmanager
def perturbed(
    parameters: Sequence[Tensor], weights: Tensor, epsilon: Tensor, factor: float = 1.0
) -> Iterator[None]:
    """Run a block with parameters = weights + factor · epsilon; afterwards they are ``weights`` again.

    Args:
        parameters: the parameters to move, in place.
        weights: (P,), a copy of their present values, see :func:`flatmtl_lite.gradients.flatten`. They come
            back bit for bit, also if the block raises.
        epsilon: (P,).
        factor: scales ``epsilon``.

    Example:
        >>> w = torch.tensor([1.0, 2.0])
        >>> with perturbed([w], w.clone(), torch.tensor([0.5, 0.0])):
        ...     print(w)
        tensor([1.5000, 2.0000])
        >>> w
        tensor([1., 2.])
    """
    with restored(parameters, weights):
        move(parameters, unflatten(weights, parameters), unflatten(epsilon, parameters), factor)
        yield


@contextmanager
def restored(parameters: Sequence[Tensor], weights: Tensor) -> Iterator[None]:
    """Set the parameters to ``weights`` (P,) when the block ends, also if it raises."""
    try:
        yield
    finally:
        move(parameters, unflatten(weights, parameters))


@torch.no_grad()
def move(
    parameters: Sequence[Tensor],
    weights: list[Tensor],
    epsilon: Sequence[Tensor] | None = None,
    factor: float = 1.0,
) -> None:
    """Set the parameters to weights + factor · epsilon, in one sweep; each argument has their shapes."""
    if epsilon is not None:
        for p, w, e in zip(parameters, weights, epsilon, strict=True):
            torch.add(w, e, alpha=factor, out=p)
    elif weights:
        torch._foreach_copy_(list(parameters), weights)
    torch.clear_autocast_cache()  # else a pass within one autocast block runs on casts of the old weights


class StateGuard:
    """Puts buffers (BatchNorm's) and random generators back when its block ends.

    Closures hide the modules, so a forward pre-hook notes the buffers of every module before the module
    runs. The block leaves the state that :meth:`keep` took last. It leaves the state that it found if
    ``keep`` was not called, or if the block raises. The guard does not see modules that run as
    ``m.forward(x)`` alone, and no generators other than torch's default ones.

    Example:
        >>> with StateGuard():
        ...     first = torch.rand(())
        >>> torch.rand(()).equal(first)
        True
    """

    def __init__(self) -> None:
        self._modules: set[nn.Module] = set()
        self._before: list[SavedBuffer] = []
        self._kept: tuple[list[SavedBuffer], list[Tensor]] | None = None

    def __enter__(self) -> "StateGuard":
        self._generators_before = generator_states()
        self._kept = None
        self._hook = nn.modules.module.register_module_forward_pre_hook(self._note)
        return self

    def keep(self) -> None:
        """Take the present state as the one to leave behind."""
        places = [(module, name) for module, name, _, _ in self._before]
        buffers = [(m, name, b, b.clone()) for m, name in places if (b := m._buffers[name]) is not None]
        self._kept = (buffers, generator_states())

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._hook.remove()
        buffers, generators = self._before, self._generators_before
        if error is None and self._kept is not None:
            buffers, generators = self._kept
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                buffer.copy_(value)
                module._buffers[name] = buffer
        set_generators(generators)

    def _note(self, module: nn.Module, _: object) -> None:
        if module in self._modules:
            return
        for m in module.modules():
            if m not in self._modules:
                self._modules.add(m)
                self._before += [(m, name, b, b.clone()) for name, b in m._buffers.items() if b is not None]
