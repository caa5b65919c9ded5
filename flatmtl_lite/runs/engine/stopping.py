"""Stop a run at the next step when a signal asks for it."""

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# SIGINT is Ctrl-C; by SIGUSR2 Slurm says that the time is up. Windows does not have all of them.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name)]


def _speaks() -> bool:
    """Return whether this process speaks for all processes of its run, which torchrun or the kit started."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0"


class Stopped(KeyboardInterrupt):
    """A signal asked the run to stop; its checkpoint is written.

    Attributes:
        signal: number of the signal.
        exit_code: exit code of a command that the signal stopped.
        is_said: whether another process of the run says it.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.signal = number
        self.exit_code = 128 + number
        self.is_said = not _speaks()


@contextmanager
def collected_signals(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Yield a list that collects these signals, so that they interrupt nothing where they arrive."""
    received: list[int] = []
    handlers = {n: signal.signal(n, lambda number, frame: received.append(number)) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Yield a list that receives the number of the first signal to stop; a second signal acts as always.

    In a thread that is not the main thread the list stays empty, because Python delivers no signals there.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def request(number: int, frame: Any) -> None:
        requests.append(number)
        if _speaks():
            print("Stopping after this step; once more to stop at once.", file=sys.stderr)
        put_back()

    def put_back() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    for number in handlers:
        signal.signal(number, request)
    try:
        yield requests
    finally:
        put_back()
