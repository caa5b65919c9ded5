"""Run jobs on a cluster, through submitit."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .jobs import Job

REQUEUES = 100  # each goes on from a checkpoint, so only a run that never gets anywhere may end by this


def submit(jobs: Sequence[Job], folder: Path, cluster: str = "slurm", **options) -> list:
    """Submit what is not finished as one job array; nothing is waited for.

    A job that is preempted or out of time stops its run at a checkpoint, is queued again and goes on.

    Args:
        jobs: as :func:`~flatmtl_lite.runs.sweep.jobs.grid` gives them.
        folder: for submitit's own files, seen by the cluster's nodes, as the run folders must be. They are
            pickles, which the nodes load: nobody else may write there.
        cluster: "slurm"; "local" or "debug" try it out on this machine.
        options: submitit's, such as ``timeout_min``, ``cpus_per_task``, ``slurm_partition``. A run
            begins with as many threads as ``cpus_per_task`` says, else one, and keeps them.

    Returns:
        submitit's jobs.

    Raises:
        ModuleNotFoundError: submitit is not installed.
        RuntimeError: there is no such cluster here.
        NameError: an unknown option.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        message = "A cluster needs submitit, which is missing: pip install 'flatmtl-lite[cluster]'."
        raise ModuleNotFoundError(message) from None
    executor = submitit.AutoExecutor(folder, cluster, slurm_max_num_timeout=REQUEUES)
    executor.update_parameters(**options)
    threads = options.get("cpus_per_task") or 1
    runs = [_Run(job, threads) for job in jobs if not job.finished]
    if not runs:
        return []
    with executor.batch():
        return [executor.submit(run) for run in runs]


class _Run:
    """What a node does: one run in a process of its own, stopped and queued again when the time is up."""

    def __init__(self, job: Job, threads: int):
        self.job, self.threads, self.process = job, threads, None

    def __call__(self) -> None:
        self.process = self.job.start(self.threads)
        code = self.process.wait()
        if not self.job.finished:
            raise RuntimeError(f"{self.job.name} ended with exit code {code}:\n{self.job.last_words()}")

    def checkpoint(self):
        """Called by submitit in a signal handler, in the middle of the call above."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            with suppress(ChildProcessError):  # it has ended already
                # not process.wait(): the call above may hold its lock
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(_Run(self.job, self.threads))
