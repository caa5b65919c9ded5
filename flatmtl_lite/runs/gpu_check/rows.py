"""A row of the table, what a check is given, and what it says where there is no CUDA."""

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..rooms import ensure_rooms

ROOMS = (12, 8)  # training and test rooms, of the size of NYUv2
HEIGHT, WIDTH = 288, 384
GIB = 2**30
SCENE_SIZE = f"{HEIGHT}x{WIDTH}"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: what was checked.
        value: what came out; None: nothing.
        bound: what it may be, in words; "": the value is only measured.
        verdict: "pass", "fail", "skipped" or "measured".
        why: the reason of a failure or a skip, or a remark.
        details: further values, for the file alone.
    """

    name: str
    value: float | str | None
    bound: str
    verdict: str
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def within(name: str, value: float, bound: float, why: str = "", **details: Any) -> Row:
    """Return a row that passes if the value is at most the bound; NaN fails.

    Example:
        >>> within("distance", 2.0, 1.0).verdict, within("distance", float("nan"), 1.0).verdict
        ('fail', 'fail')
    """
    return Row(name, value, f"<= {bound:.3g}", "pass" if value <= bound else "fail", why, details)


def skipped(name: str, why: str) -> Row:
    """Return the row of something that was not checked."""
    return Row(name, None, "", "skipped", why)


def measured(name: str, value: float | str, why: str = "", **details: Any) -> Row:
    """Return the row of a value without a bound."""
    return Row(name, value, "", "measured", why, details)


@dataclass
class Bench:
    """What a check is given.

    Attributes:
        device: the device to check.
        folder: an existing folder for files of the checks.
        quick: whether to leave out what takes long.
        deadline: when the checks must end, as ``time.monotonic`` counts.
    """

    device: torch.device
    folder: Path
    quick: bool = True
    deadline: float = float("inf")

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU of CUDA."""
        return self.device.type == "cuda"

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 1 and at most an hour."""
        return min(max(self.deadline - time.monotonic(), 1.0), 3600.0)

    @functools.cached_property
    def rooms(self) -> Path:
        """A folder of synthetic rooms of NYUv2's size, drawn at the first use."""
        folder = self.folder / f"rooms-{SCENE_SIZE}"
        ensure_rooms(folder, *ROOMS, HEIGHT, WIDTH)
        return folder

    def wait(self) -> None:
        """Wait until the device has done all its work."""
        if self.on_cuda:
            torch.cuda.synchronize(self.device)

    def forget_peak(self) -> None:
        """Begin to measure the peak of the device's memory."""
        if self.on_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float:
        """Return the peak of the device's memory since :meth:`forget_peak`, in GiB; 0 on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / GIB if self.on_cuda else 0.0

    def gib(self) -> float:
        """Return the device's whole memory, in GiB; infinity on a CPU."""
        return torch.cuda.get_device_properties(self.device).total_memory / GIB if self.on_cuda else math.inf

    def seconds(self, function: Callable[[], object]) -> float:
        """Return the seconds that a call takes, with the work that it leaves to the device."""
        self.wait()
        start = time.perf_counter()
        function()
        self.wait()
        return time.perf_counter() - start


Check = Callable[[Bench], Iterable[Row]]


def needs_cuda(check: Check) -> Check:
    """Make a check say "skipped: no CUDA" on any other device."""

    @functools.wraps(check)
    def run(bench: Bench) -> Iterator[Row]:
        if bench.on_cuda:
            yield from check(bench)
        else:
            yield skipped(title(check), "no CUDA")

    return run


def title(check: Check) -> str:
    """Return the name of a check in words."""
    return check.__name__.replace("_", " ")
