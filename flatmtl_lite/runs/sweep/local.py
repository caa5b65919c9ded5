"""Run jobs on this machine, several processes at a time; the queue can stop at any moment and go on."""

import datetime
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..engine.folder import InUse
from ..engine.stopping import collected_signals
from .gpus import Gpus, locked, visible_gpus
from .jobs import Job

STOPPED = 130  # exit code of a sweep that Ctrl-C or another signal stopped
POLL_SECONDS = 0.1
SIGNALLED = 128  # plus the number of the signal: exit code of a run that a signal stopped


def _say(line: str) -> None:
    print(line, flush=True)


def run_here(
    jobs: Iterable[Job],
    count: int = 1,
    say: Callable[[str], None] = _say,
    gpus_per_run: int | None = None,
    device: str = "auto",
) -> int:
    """Run the jobs that are not finished, ``count`` processes at a time, each with its share of the cores.

    A failed run does not stop the others. Ctrl-C is passed on to the running processes, and the sweep waits
    for their checkpoints; a second Ctrl-C kills them. SIGTERM acts like Ctrl-C, and so does the end of the
    terminal unless the sweep runs under nohup.

    Where there are GPUs, each run sees only its own. More than one of them train it together, one process on
    each. Another sweep of this user on this machine leaves these GPUs alone.

    Args:
        jobs: the runs.
        count: processes at a time.
        say: prints a line.
        gpus_per_run: number of GPUs of a run; None: 1 if there are any.
        device: the ``--device`` of the runs.

    Returns:
        0: every run is finished; 1: some failed, or belong to another process at work on the same folder;
        130: stopped.

    Raises:
        ValueError: ``count`` is below 1, or a run needs more GPUs than there are.
        InUse: other sweeps use all GPUs.
    """
    if count < 1:
        raise ValueError(f"Got jobs={count}; expected at least 1 process at a time.")
    jobs, names = list(jobs), visible_gpus(device)
    if gpus_per_run is not None and not 1 <= gpus_per_run <= len(names):
        raise ValueError(
            f"Got --gpus-per-node {gpus_per_run}; expected 1 to {len(names)}, the number of GPUs that are "
            "visible here."
            if names
            else f"Got --gpus-per-node {gpus_per_run}; expected no such option: no GPU is visible here."
        )
    waiting = deque(job for job in jobs if not job.is_finished)
    say(f"{len(jobs)} runs, {len(jobs) - len(waiting)} of them finished already; {count} at a time.")
    with locked(names if waiting else [], say) as free, collected_signals(_signals()) as signals:
        crew = _Crew(count, waiting, say, Gpus(free, gpus_per_run or 1))
        crew.announce()
        handled = 0  # number of signals that the crew has reacted to
        try:
            while crew.waiting or crew.running:
                if len(signals) > handled:
                    handled = len(signals)
                    crew.stop(kill=handled > 1)
                crew.start()
                crew.collect()
                time.sleep(POLL_SECONDS)
        finally:
            crew.abandon()
        return crew.conclude()


@dataclass
class _Crew:
    """The processes of a sweep.

    Attributes:
        count: number of processes at a time.
        waiting: jobs to start.
        say: prints a line.
        gpus: the GPUs of the runs.
        running: jobs at work, with their process, the time of their start and their GPUs.
        outcomes: jobs that have ended, by outcome: "finished", "failed", "stopped" or "in use".
        stopping: whether a signal asked the sweep to stop.
    """

    count: int
    waiting: deque[Job]
    say: Callable[[str], None]
    gpus: Gpus
    running: dict[Job, tuple[subprocess.Popen, float, tuple[str, ...]]] = field(default_factory=dict)
    outcomes: dict[str, list[Job]] = field(default_factory=dict)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.total, self.start_time = len(self.waiting), time.monotonic()
        self.threads = max(1, _cores() // self.count)

    def announce(self) -> None:
        """Say how the GPUs are shared, if there are any."""
        groups = self.gpus.groups
        if groups and self.waiting:
            self.say(f"GPUs: {'; '.join(', '.join(group) for group in groups)}. Each run takes one of these.")
            if self.count > len(groups):
                self.say(
                    f"{self.count} runs at a time share {len(groups)}: they are slower, and need memory."
                )
            elif self.count < min(len(groups), self.total):
                self.say(f"--jobs {min(len(groups), self.total)} would use more of them.")

    def start(self) -> None:
        while self.waiting and len(self.running) < self.count:
            job, group = self.waiting.popleft(), self.gpus.take()
            processes = max(1, len(group))
            process = job.start(max(1, self.threads // processes), processes, group)
            self.running[job] = process, time.monotonic(), group
            self.say(f"started {job.name}" + (f" on GPU {', '.join(group)}" if group else ""))

    def collect(self) -> None:
        for job, (process, start, group) in list(self.running.items()):
            if process.poll() is not None:
                del self.running[job]
                self.gpus.give_back(group)
                outcome = self._outcome(job, process.returncode)
                self.outcomes.setdefault(outcome, []).append(job)
                took = f"after {_clock(time.monotonic() - start)}{self._outlook()}"
                is_odd = outcome == "finished" and process.returncode
                note = f"; an error followed, see {job.folder / 'output.txt'}" if is_odd else ""
                self.say(f"{outcome} {job.name} {took}{note}")

    def stop(self, kill: bool) -> None:
        """Start nothing more, and stop the running jobs: at a checkpoint, or at once."""
        self.stopping = True
        self.waiting.clear()
        for process, *_ in self.running.values():
            if kill:
                process.kill()
            else:
                _interrupt(process)
        if not kill:
            self.say(f"stopping: {len(self.running)} runs write their checkpoints (again: kill them)")

    def abandon(self) -> None:
        """Leave no process behind after an error of the sweep itself."""
        for process, *_ in self.running.values():
            if not self.stopping:
                _interrupt(process)
            process.wait()

    def conclude(self) -> int:
        for job in self.outcomes.get("failed", ()):
            self.say(f"\n{job.name} failed; the end of {job.folder / 'output.txt'}:\n{job.last_words()}")
        for job in self.outcomes.get("in use", ()):
            self.say(f"{job.name} is run by another process and was left to it")
        if self.stopping:
            self.say("Stopped. The same command goes on from the checkpoints.")
            return STOPPED
        return 0 if self.total == len(self.outcomes.get("finished", ())) else 1

    def _outcome(self, job: Job, code: int) -> str:
        if job.is_finished:  # by this process, or by another one that was faster
            return "finished"
        if code == InUse.exit_code:
            return "in use"
        return "stopped" if self.stopping or (code > SIGNALLED and job.is_begun) else "failed"

    def _outlook(self) -> str:
        if self.stopping:
            return ""
        done = sum(map(len, self.outcomes.values()))
        seconds = (time.monotonic() - self.start_time) / done * (self.total - done)
        return f" [{done}/{self.total}]" + (f", about {_clock(seconds)} left" if seconds else "")


def _signals() -> list[int]:
    """Return the signals that stop a sweep."""
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up and signal.getsignal(hang_up) != signal.SIG_IGN:
        numbers.append(hang_up)
    return numbers


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
