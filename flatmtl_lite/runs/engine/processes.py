"""One process or several: which process computes which part, and on which device."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

# The functions of this module keep, as their defaults, the group that exists when an optimizer first imports
# the module. Imported before there is a group, it leaves no threads of a group that outlive the interpreter
# and may abort a process.
import torch.distributed.nn
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """The processes of one run: this process alone, or the ranks of a torch.distributed group.

    Attributes:
        group: the group, or None.
        rank: number of this process.
        count: number of all processes.
        device: the device of this process.
    """

    group: Any = None
    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process evaluates, logs and saves."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of their ranks."""
        values = [value] * self.count
        if self.group is not None:
            dist.all_gather_object(values, value, group=self.group)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value of the first process in every process."""
        values = [value]
        if self.group is not None:
            dist.broadcast_object_list(values, 0, group=self.group, device=self.device)
        return values[0]

    def run_on_first(self, function: Callable[[], Any]) -> Any:
        """Call a function in the first process only; every process returns its result or raises its error."""
        result, failure = None, None
        if self.is_first:
            try:
                result = function()
            except Exception as error:
                failure = error
        result, failure = self.broadcast((result, failure))
        if failure is not None:
            raise failure
        return result

    def generator_states(self) -> list[Tensor]:
        """Return the states of torch's generators that this process draws from: CPU, then its device."""
        on_device = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *on_device]

    def set_generators(self, states: list[Tensor]) -> None:
        """Put back the states that :meth:`generator_states` returned."""
        torch.set_rng_state(states[0])
        if states[1:]:
            torch.cuda.set_rng_state(states[1], self.device)

    def average_buffers(self, model: nn.Module) -> None:
        """Average the statistics of BatchNorm layers: each process has seen its share of a batch only."""
        if self.group is not None:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer, group=self.group)
                    buffer /= self.count


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of a name; "auto" is the first available of CUDA, Apple's MPS and the CPU.

    Raises:
        ValueError: torch does not know the name, or this machine has no such device.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'Got device={name!r}, which cannot be used: {error}. Take "auto", "cpu", or an available device.'
        ) from error
    return device


@contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started into a group for the block; without torchrun, stay alone.

    Each process of a machine takes a CUDA device of its own if there are enough, and the CPU otherwise.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Processes(device=pick_device(device))
        return
    local = int(os.environ["LOCAL_RANK"])
    on_cuda = device in ("auto", "cuda") and torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    own_device = pick_device(f"cuda:{local}" if on_cuda else "cpu" if device == "auto" else device)
    if on_cuda:
        torch.cuda.set_device(own_device)
    dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield Processes(dist.group.WORLD, dist.get_rank(), dist.get_world_size(), own_device)
    finally:
        dist.destroy_process_group()
