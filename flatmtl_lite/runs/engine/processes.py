"""One process or several: who computes what, and on which device."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

# Its functions hold, as their defaults, the group there is when an optimizer first imports it, for ever.
# Imported before, it leaves no threads of a group that outlive the interpreter and may abort a process.
import torch.distributed.nn
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """The processes of one run: this one alone, or the ranks of a torch.distributed group.

    Attributes:
        group: the group, or None.
        rank, count: which of how many processes this is.
        device: where this process computes.
    """

    group: Any = None
    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that evaluates, logs and saves."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """That value of every process, in the order of their ranks."""
        values = [value] * self.count
        if self.group is not None:
            dist.all_gather_object(values, value, group=self.group)
        return values

    def told(self, value: Any) -> Any:
        """The value of the first process, in every process."""
        values = [value]
        if self.group is not None:
            dist.broadcast_object_list(values, 0, group=self.group, device=self.device)
        return values[0]

    def first(self, what: Callable[[], Any]) -> Any:
        """What a function returns in the first process, or raises there: the same in every process."""
        outcome = None
        if self.is_first:
            try:
                outcome = what(), None
            except Exception as error:
                outcome = None, error
        value, error = self.told(outcome)
        if error is not None:
            raise error
        return value

    def generators(self) -> list[Tensor]:
        """States of torch's generators that this process draws from: the CPU's and that of its device."""
        on_device = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *on_device]

    def set_generators(self, states: list[Tensor]) -> None:
        """Put back what :meth:`generators` returned."""
        torch.set_rng_state(states[0])
        if states[1:]:
            torch.cuda.set_rng_state(states[1], self.device)

    def average_buffers(self, model: nn.Module) -> None:
        """Average what the processes' BatchNorm layers have seen: each has run on its share of a batch."""
        if self.group is not None:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer, group=self.group)
                    buffer /= self.count


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto": CUDA, Apple's MPS or the CPU, whichever is there first.

    Raises:
        ValueError: the name is unknown to torch, or no such device is there.
    """
    if name == "auto":
        found = (torch.cuda.is_available(), "cuda"), (torch.backends.mps.is_available(), "mps"), (True, "cpu")
        name = next(device for there, device in found if there)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'Got device={name!r}, which cannot be used: {error}. Take "auto", "cpu", or one that is there.'
        ) from error
    return device


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """The processes that ``torchrun`` started, joined to a group for the block; without it this one alone.

    Each process of a machine takes a CUDA device of its own, if there are as many; the CPU otherwise.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Processes(device=pick_device(device))
        return
    local = int(os.environ["LOCAL_RANK"])
    on_cuda = device in ("auto", "cuda") and torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    own = pick_device(f"cuda:{local}" if on_cuda else "cpu" if device == "auto" else device)
    if on_cuda:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield Processes(dist.group.WORLD, dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()
