"""Run jobs on a cluster, through submitit."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .jobs import Job

REQUEUES = 100  # each time a run goes on from a checkpoint, so only a run without progress should reach this


def submit(jobs: Sequence[Job], folder: Path, cluster: str = "slurm", **options: Any) -> list:
    """Submit the jobs that are not finished as one job array, and return without waiting.

    A job that is preempted or out of time stops its run at a checkpoint, is queued again and goes on.

    Args:
        jobs: the runs, from :func:`~flatmtl_lite.runs.sweep.jobs.grid`.
        folder: folder for submitit's own files. The cluster's nodes must see it and the run folders. The
            files are pickles that the nodes load: nobody else may write there.
        cluster: "slurm"; "local" or "debug" try it out on this machine.
        options: options of submitit, such as ``timeout_min``, ``cpus_per_task``, ``slurm_partition``. A run
            begins with ``cpus_per_task`` threads, or one if that is not given, and keeps them. Of several
            ``gpus_per_node`` each has a process of the run.

    Returns:
        submitit's jobs.

    Raises:
        ModuleNotFoundError: submitit is not installed.
        RuntimeError: this machine has no such cluster.
        NameError: an option is unknown.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'sweep --slurm needs submitit, which is not installed: pip install "flatmtl-lite[cluster]"',
            name="submitit",
        ) from None
    executor = submitit.AutoExecutor(folder, cluster, slurm_max_num_timeout=REQUEUES)
    executor.update_parameters(**options)
    processes = options.get("gpus_per_node") or 1
    threads = max(1, (options.get("cpus_per_task") or 1) // processes)
    runs = [_Run(job, threads, processes) for job in jobs if not job.is_finished]
    if not runs:
        return []
    with executor.batch():
        return [executor.submit(run) for run in runs]


class _Run:
    """The work of a node: one run in a process of its own, stopped and queued again when the time is up."""

    def __init__(self, job: Job, threads: int, processes: int):
        self.job, self.threads, self.processes = job, threads, processes
        self.process: subprocess.Popen | None = None

    def __call__(self) -> None:
        self.process = self.job.start(self.threads, self.processes)
        code = self.process.wait()
        if not self.job.is_finished:
            raise RuntimeError(f"{self.job.name} ended with exit code {code}:\n{self.job.last_words()}")

    def checkpoint(self) -> Any:
        """Stop the run and queue it again; submitit calls this in a signal handler, during the call above."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            with suppress(ChildProcessError):  # it has ended already
                # not process.wait(): the call above may hold its lock
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(_Run(self.job, self.threads, self.processes))
