"""Run jobs on this machine: several processes at a time, a queue that can stop anywhere and go on."""

import datetime
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

from .jobs import Job

IN_USE = 3  # exit code of train: another process works on the folder
STOPPED = 130  # exit code of a sweep that Ctrl-C or another signal stopped
SIGNALLED = 128  # plus the number of the signal: exit code of train when one stopped it


def _say(line: str) -> None:
    print(line, flush=True)


def run_here(jobs: Iterable[Job], count: int = 1, say: Callable[[str], None] = _say) -> int:
    """Run what is not finished, ``count`` processes at a time, each with its share of the cores.

    A failed run does not stop the others. Ctrl-C (or SIGTERM, or the end of the terminal unless under nohup)
    is passed on to the running processes, whose checkpoints are waited for; a second one kills them.

    Returns:
        0: every run is finished; 1: some failed, or belong to another process at work on the same folder;
        130: stopped.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"Got jobs={count}; expected at least 1 process at a time.")
    jobs = list(jobs)
    crew = _Crew(count, deque(job for job in jobs if not job.finished), say)
    say(f"{len(jobs)} runs, {len(jobs) - crew.total} of them finished already; {count} at a time.")
    heard = 0
    with _signals() as caught:
        try:
            while crew.waiting or crew.running:
                if len(caught) > heard:
                    heard = len(caught)
                    crew.stop(kill=heard > 1)
                crew.start()
                crew.collect()
                time.sleep(0.1)
        finally:
            crew.abandon()
    return crew.conclude()


@dataclass
class _Crew:
    """The processes of a sweep: those to start, those at work, and how the others ended."""

    count: int
    waiting: deque[Job]
    say: Callable[[str], None]
    running: dict[Job, tuple[subprocess.Popen, float]] = field(default_factory=dict)
    ended: dict[str, list[Job]] = field(default_factory=dict)
    stopping: bool = False

    def __post_init__(self):
        self.total, self.begun = len(self.waiting), time.monotonic()
        self.threads = max(1, _cores() // self.count)

    def start(self) -> None:
        while self.waiting and len(self.running) < self.count:
            job = self.waiting.popleft()
            self.running[job] = job.start(self.threads), time.monotonic()
            self.say(f"started {job.name}")

    def collect(self) -> None:
        for job, (process, start) in list(self.running.items()):
            if process.poll() is not None:
                del self.running[job]
                outcome = self._outcome(job, process.returncode)
                self.ended.setdefault(outcome, []).append(job)
                self.say(f"{outcome} {job.name} after {_clock(time.monotonic() - start)}{self._outlook()}")

    def stop(self, kill: bool) -> None:
        """Start nothing more, and stop what runs: at a checkpoint, or at once."""
        self.stopping = True
        self.waiting.clear()
        for process, _ in self.running.values():
            process.kill() if kill else _interrupt(process)
        if not kill:
            self.say(f"stopping: {len(self.running)} runs write their checkpoints (again: kill them)")

    def abandon(self) -> None:
        """After an error of ours: leave no process behind."""
        for process, _ in self.running.values():
            if not self.stopping:
                _interrupt(process)
            process.wait()

    def conclude(self) -> int:
        for job in self.ended.get("failed", ()):
            self.say(f"\n{job.name} failed; the end of {job.folder / 'output.txt'}:\n{job.last_words()}")
        for job in self.ended.get("in use", ()):
            self.say(f"{job.name} is run by another process and was left to it")
        if self.stopping:
            self.say("Stopped. The same command goes on from the checkpoints.")
            return STOPPED
        return 0 if self.total == len(self.ended.get("finished", ())) else 1

    def _outcome(self, job: Job, code: int) -> str:
        if job.finished:  # by this process, or by another one that got there first
            return "finished"
        if code == IN_USE:
            return "in use"
        return "stopped" if self.stopping or (code > SIGNALLED and job.begun) else "failed"

    def _outlook(self) -> str:
        if self.stopping:
            return ""
        done = sum(map(len, self.ended.values()))
        left = (time.monotonic() - self.begun) / done * (self.total - done)
        return f" [{done}/{self.total}]" + (f", about {_clock(left)} left" if left else "")


@contextmanager
def _signals():
    """Collects the signals to stop in a list instead of breaking off wherever they arrive."""
    caught = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up and signal.getsignal(hang_up) != signal.SIG_IGN:
        numbers.append(hang_up)
    before = {n: signal.signal(n, lambda number, frame: caught.append(number)) for n in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(process: subprocess.Popen) -> None:
    if os.name == "posix":  # on Windows Ctrl-C has reached every process of the console already
        process.send_signal(signal.SIGINT)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        return os.cpu_count() or 1


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
