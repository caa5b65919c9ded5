"""The GPUs of this machine, shared between the runs of a sweep, and locked against other sweeps."""

import getpass
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from ..engine.errors import InUse

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Gpus:
    """GPUs in groups, one group for each run at work.

    Args:
        names: the GPUs, as ``CUDA_VISIBLE_DEVICES`` names them; empty: the runs take none.
        per_run: number of GPUs of a run.

    Raises:
        ValueError: there are fewer GPUs than one run needs.

    Example:
        >>> gpus = Gpus(["0", "1", "2"])
        >>> [gpus.take() for run in range(4)]
        [('0',), ('1',), ('2',), ('0',)]
    """

    def __init__(self, names: Sequence[str], per_run: int = 1):
        if names and per_run > len(names):
            raise ValueError(
                f"Got --gpus-per-node {per_run}; expected at most {len(names)}, the number of free GPUs here."
            )
        starts = range(0, len(names) - per_run + 1, per_run)
        self.groups = [tuple(names[start : start + per_run]) for start in starts] if names else []
        self._runs: Counter[tuple[str, ...]] = Counter()

    def take(self) -> tuple[str, ...]:
        """Return the group that the fewest runs use, the first of equals; () if there are no GPUs."""
        if not self.groups:
            return ()
        group = min(self.groups, key=lambda group: self._runs[group])
        self._runs[group] += 1
        return group

    def give_back(self, group: tuple[str, ...]) -> None:
        """Note that a run has ended which had this group."""
        self._runs[group] -= 1


def visible_gpus(device: str = "auto") -> list[str]:
    """Return the names of the GPUs that the runs of a sweep may take.

    Args:
        device: the ``--device`` of the runs. A run on the CPU takes none, and "cuda:1" names its own.
    """
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0  # opens no device
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


@contextmanager
def locked(names: Sequence[str], say: Callable[[str], None]) -> Iterator[list[str]]:
    """Lock GPUs for the block against other sweeps on this machine; yield those that are free.

    Raises:
        InUse: there are GPUs, and other sweeps use all of them.
    """
    user = getattr(os, "getuid", getpass.getuser)()  # in a container a user may have no name
    folder = Path(tempfile.gettempdir()) / f"flatmtl-lite-{user}"
    with ExitStack() as locks:
        free = []
        for name in names:
            folder.mkdir(exist_ok=True)
            try:
                locks.enter_context(FileLock(folder / f"gpu-{name}.lock").acquire(timeout=0))
                free.append(name)
            except Timeout:
                say(f"GPU {name} is used by another sweep and is left to it.")
        if names and not free:
            raise InUse(
                f"Got a sweep on GPU {', '.join(names)}, which other sweeps use; expected a free GPU. Wait "
                f"for them, or name other GPUs by {VISIBLE}."
            )
        yield free
