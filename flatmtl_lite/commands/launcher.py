"""Start the processes of one run on this machine, pass signals on to them, and end as they do."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from ..runs.engine.stopping import SIGNALS, collected_signals

PROGRAM = (sys.executable, "-m", "flatmtl_lite")
GRACE_SECONDS = 30.0  # for the others, once one process has failed
POLL_SECONDS = 0.05


def is_child() -> bool:
    """Return whether this process is one of those that :func:`run_together` or torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Return whether this process speaks for all processes of its run."""
    return not is_child() or os.environ.get("RANK") == "0"


def run_together(words: Sequence[str], count: int, program: Sequence[str] = PROGRAM) -> int:
    """Run a command in several processes, which find each other as under torchrun; return its exit code.

    Unlike torchrun it passes SIGINT, SIGTERM and SIGUSR2 on, waits for the checkpoint however long it takes,
    and ends with the exit code of the processes. A second signal stops them at once.

    Args:
        words: the words of the command line.
        count: number of processes.
        program: the program that takes the words.
    """
    port = _free_port()
    with collected_signals(SIGNALS) as signals:
        processes = [
            # In a session of its own: a signal from the terminal must reach it once, through this process.
            subprocess.Popen(
                [*program, *words],
                env=os.environ | _variables(rank, count, port),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )
            for rank in range(count)
        ]
        try:
            return _wait(processes, signals)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()


def _wait(processes: Sequence[subprocess.Popen], signals: list[int]) -> int:
    """Wait for the processes; return the first exit code that is not 0, or 0."""
    handled, deadline = 0, None
    while any(process.poll() is None for process in processes):
        for number in signals[handled:]:
            handled += 1
            for process in processes:
                process.send_signal(number)
        if deadline is None and any(process.poll() not in (None, 0) for process in processes):
            deadline = time.monotonic() + GRACE_SECONDS
        if deadline is not None and not signals and time.monotonic() > deadline:
            print("A process of the run failed, and the others did not end: ending them.", file=sys.stderr)
            break
        time.sleep(POLL_SECONDS)
    codes = [process.poll() for process in processes]
    failed = next((code for code in codes if code), 0)
    return failed if failed >= 0 else 128 - failed  # as a shell names a process that a signal killed


def _variables(rank: int, count: int, port: int) -> dict[str, str]:
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    counts = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // count))
    return {
        "TORCHELASTIC_RUN_ID": f"flatmtl-lite-{os.getpid()}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": threads,
        **ranks,
        **counts,
    }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
