"""Start every pass of a step with the same buffers and random generators, and keep what one pass leaves."""

import pickle
import random
import sys
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from .trunk_and_heads import flatten, unflatten

# torch warns because a hook of all modules runs once more for a compiled one, and this hook does not mind
warnings.filterwarnings("ignore", message=r"Using `torch.compile\(module\)` when there are global hooks")

T = TypeVar("T")
Place = tuple[nn.Module, str]  # a module and the name of its buffer
Saved = tuple[Tensor, Tensor] | tuple[None, None]  # the buffer and a copy of it, if there is one yet
HostStates = tuple[tuple[Any, ...], bytes | None]  # of Python's generator, and of NumPy's


class HostGeneratorsInUse(Exception):
    """A pass drew from Python's or NumPy's generator, whose states were not noted; see :func:`replayed`."""


class StateGuard:
    """Lets every pass of a step begin alike, and puts buffers and random generators back at the end.

    Closures hide the modules, so a forward pre-hook notes the buffers of every module, and of the modules in
    it, before it runs. The block leaves the state that :meth:`keep` took last. It leaves the state that it
    found if ``keep`` was not called, or if the block raises. The guard handles torch's default generators and
    the global ones of Python and NumPy. It does not see generators that the closures own, nor modules that
    run as ``m.forward(x)`` alone.

    Example:
        >>> with StateGuard():
        ...     first = torch.rand(())
        >>> torch.rand(()).equal(first)
        True
    """

    _active: ClassVar[list["StateGuard"]] = []  # the guards whose block runs, for the one hook
    # whether to note the states of Python's and NumPy's generators: the last clean pass drew from them. NumPy
    # takes a tenth of a millisecond for its state
    _reads_host: ClassVar[bool] = True

    def __init__(self) -> None:
        self._present: dict[Place, Saved] = {}  # what the noted buffers hold, those in _changed left out
        self._changed: set[Place] = set()
        self._places: dict[nn.Module, list[Place]] = {}  # the buffers of each noted module and of those in it
        self._firsts: dict[Hashable, Snapshot] = {}
        self._host_before: HostStates | None = None
        self._before = Snapshot({}, [], None)
        self._kept: Snapshot | None = None

    def __enter__(self) -> "StateGuard":
        StateGuard.__init__(self)  # forget an earlier block
        self._host_before = host_states()
        self._before = self._take()
        if not StateGuard._active:
            _watch()
        StateGuard._active.append(self)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        StateGuard._active.remove(self)
        if not StateGuard._active:
            _hook.pop().remove()
        if error is None and self._kept is not None:
            StateGuard._reads_host = self._kept.host != self._host_before
            self._put_back(self._kept if StateGuard._reads_host else self._kept._replace(host=None))
        else:
            self.undo()
        self._firsts.clear()  # its keys hold the batch

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Put back what an inner block of this guard found, if this block raises."""
        try:
            yield
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Put back the state that the block found."""
        self._put_back(self._before)
        if self._host_before is not None:
            set_host_states(self._host_before)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Run a block with the state that the guard's own block found; then put the present one back."""
        self._changed.update(self._present)  # others may have changed them since
        present = self._take()._replace(host=host_states())
        self.undo()
        try:
            yield
        finally:
            self._changed.update(self._present)
            self._put_back(present)

    def begin(self, part: Hashable, starts_pass: bool = False) -> bool:
        """Begin a part of a pass with the state that its first run began with; return whether this is it.

        With ``starts_pass``, the first run begins with the state that :meth:`keep` took last. A later part
        leaves the buffers alone that the pass has used already, because its backward pass may need them.
        """
        is_first = part not in self._firsts
        if is_first:
            if starts_pass and self._kept is not None:  # backward passes may have changed it since
                self._put_back(self._kept)
            self._firsts[part] = self._take()
        else:
            self._put_back(self._firsts[part], () if starts_pass else self._changed)
        return is_first

    def keep(self) -> None:
        """Take the present state as the one to leave behind."""
        host = host_states()
        in_block = self._host_before is not None
        if in_block and host != self._host_before and not StateGuard._reads_host:
            StateGuard._reads_host = True
            raise HostGeneratorsInUse
        buffers, generators, _ = self._take()
        self._kept = Snapshot(buffers, generators, host)

    @contextmanager
    def evaluating(self, on: bool = True) -> Iterator[None]:
        """Put the modules that have run into evaluation mode, as long as the block runs, if ``on``."""
        modules = [module for module in self._places if on and module.training]
        try:
            for module in modules:
                module.training = False
            yield
        finally:
            for module in modules:
                module.training = True

    def note(self, module: nn.Module) -> None:
        """Save the buffers of a module, and of all modules in it, before it runs."""
        places = self._places.get(module)
        if places is None:
            places = self._places[module] = [(m, name) for m in module.modules() for name in m._buffers]
            new = _saved([place for place in places if place not in self._present])
            for buffers in (self._present, *(snapshot.buffers for snapshot in self._snapshots())):
                buffers.update(new)
        self._changed.update(places)

    def _snapshots(self) -> list["Snapshot"]:
        return [self._before, *self._firsts.values(), *([self._kept] if self._kept else [])]

    def _take(self) -> "Snapshot":
        self._present.update(_saved(self._changed))
        self._changed.clear()
        host = host_states() if StateGuard._reads_host else None
        return Snapshot(dict(self._present), generator_states(), host)

    @torch.no_grad()
    def _put_back(self, snapshot: "Snapshot", spared: Collection[Place] = ()) -> None:
        buffers: list[Any] = []
        values: list[Any] = []
        for place, saved in snapshot.buffers.items():
            if place not in spared and (place in self._changed or self._present[place] is not saved):
                (module, name), (buffer, value) = place, saved
                if _is_plain(buffer):
                    buffers.append(buffer)
                    values.append(value)
                elif buffer is not None and value is not None:
                    buffer.copy_(value)
                module._buffers[name] = buffer
                self._present[place] = saved
        if buffers:
            torch._foreach_copy_(buffers, values)
        self._changed &= set(spared)
        set_generators(snapshot.generators)
        if snapshot.host is not None:
            set_host_states(snapshot.host)


def _saved(places: Iterable[Place]) -> dict[Place, Saved]:
    """Return each buffer with a copy of it. Buffers of one kind are copied by one kernel.

    A network has three buffers for each BatchNorm, and on a GPU each kernel costs as much as a large one.
    """
    saved: dict[Place, Saved] = {}
    kinds: dict[object, dict[Place, Tensor]] = {}
    for place in places:
        buffer = place[0]._buffers[place[1]]
        if buffer is None:
            saved[place] = None, None
        elif _is_plain(buffer):
            kinds.setdefault((buffer.dtype, buffer.device), {})[place] = buffer
        else:
            saved[place] = buffer, buffer.clone()
    for group in kinds.values():
        buffers = list(group.values())
        copies = unflatten(flatten(buffers), buffers)
        saved.update(zip(group, zip(buffers, copies, strict=True), strict=True))
    return saved


def _is_plain(buffer: Tensor | None) -> bool:
    return type(buffer) is Tensor and buffer.layout == torch.strided and buffer.is_contiguous()


def replayed(step: Callable[[], T]) -> T:
    """Return what ``step`` returns. Run it again if it drew from generators that its guard did not watch."""
    try:
        return step()
    except HostGeneratorsInUse:
        return step()


class Snapshot(NamedTuple):
    """Buffers and generators at one moment; None: the host's generators were not looked at."""

    buffers: dict[Place, Saved]
    generators: list[Tensor]
    host: HostStates | None


_hook: list[torch.utils.hooks.RemovableHandle] = []  # the one hook that is set, if a guard is active


def _watch() -> None:
    """Note every module that runs from now on."""
    _hook.append(nn.modules.module.register_module_forward_pre_hook(_untraced(_note)))


def _note(module: nn.Module, _: object) -> None:
    for guard in StateGuard._active:
        guard.note(module)
    if _is_compiled(module):  # its code must find no global hook, so the hook steps aside as long as it runs
        _hook.pop().remove()
        _hook.append(module.register_forward_hook(_untraced(_watch_again), always_call=True))


def _watch_again(*_: object) -> None:
    _hook.pop().remove()
    _watch()


_untraced_hooks: dict[Callable[..., None], Callable[..., None]] = {}


def _untraced(hook: Callable[..., None]) -> Callable[..., None]:
    """Return a hook that the compiler does not trace; where it was never imported, nothing is compiled."""
    if "torch._dynamo" not in sys.modules:
        return hook
    if hook not in _untraced_hooks:
        _untraced_hooks[hook] = torch.compiler.disable(hook)
    return _untraced_hooks[hook]


def _is_compiled(module: nn.Module) -> bool:
    by_function = "torch._dynamo" in sys.modules and isinstance(module, torch._dynamo.OptimizedModule)
    return by_function or module._compiled_call_impl is not None


def generator_states() -> list[Tensor]:
    """Return the states of torch's default generators: first on the CPU, then on the devices in use."""
    return [get() for get, _ in _generators()]


def set_generators(states: list[Tensor]) -> None:
    """Put the states that :func:`generator_states` returned back into the generators."""
    for (_, put), state in zip(_generators(), states, strict=False):
        put(state)


def _generators() -> list[tuple[Callable[[], Any], Callable[[Any], None]]]:
    generators: list[tuple[Callable, Callable]] = [(torch.get_rng_state, torch.set_rng_state)]
    if torch.xpu.is_initialized():
        generators.append((torch.xpu.get_rng_state_all, torch.xpu.set_rng_state_all))
    if torch.backends.mps.is_available():
        generators.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    # last, because their number may grow within a step
    for device in range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ():
        if torch._C._cuda_hasPrimaryContext(device):  # type: ignore[attr-defined]  # used by this process
            get, put = torch.cuda.get_rng_state, torch.cuda.set_rng_state
            generators.append((partial(get, device), partial(put, device=device)))
    return generators


def host_states() -> HostStates:
    """Return the states of Python's ``random`` and, where NumPy is loaded, of its global generator."""
    if "numpy" not in sys.modules:
        return random.getstate(), None
    return random.getstate(), pickle.dumps(sys.modules["numpy"].random.get_state(legacy=False))


def set_host_states(states: HostStates) -> None:
    """Put the states that :func:`host_states` returned back into the generators."""
    python, numpy_state = states
    random.setstate(python)
    if numpy_state is not None:
        sys.modules["numpy"].random.set_state(pickle.loads(numpy_state))
