"""A sweep through submitit, on its stand-ins for a cluster."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import submitit

from flatmtl_lite.runs.sweep.jobs import grid
from flatmtl_lite.runs.sweep.slurm import submit
from tests.runs.sweep.stand_in import STAND_IN


def cluster_jobs(tmp_path, methods):
    return grid("rooms", methods, [], [], [0], tmp_path, (), STAND_IN)


class Executor:
    """Stands in for submitit's: it runs a job at once and keeps what submitit would be told."""

    def __init__(self, folder, cluster, **options):
        self.options = options

    def update_parameters(self, **options):
        self.options |= options

    def batch(self):
        return contextlib.nullcontext()

    def submit(self, run):
        try:
            return run()
        except RuntimeError as error:
            return error


def test_a_cluster_runs_what_is_not_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    jobs = cluster_jobs(tmp_path, ["mean", "imtl_g", "cagrad"])
    jobs[1].folder.mkdir(parents=True)
    (jobs[1].folder / "result.json").write_text("{}")
    well, failed = submit(jobs, tmp_path / "cluster", timeout_min=1, cpus_per_task=2)
    assert well is None
    assert jobs[0].is_finished
    assert "threads 2\n" in (jobs[0].folder / "output.txt").read_text()
    assert "network that will not learn" in str(failed)
    assert not (jobs[1].folder / "output.txt").exists()
    assert submit(jobs[:2], tmp_path / "cluster") == []


@pytest.mark.skipif(sys.platform != "linux", reason="finds the job's process in /proc")
def test_a_preempted_job_writes_its_checkpoint_is_queued_again_and_goes_on(tmp_path):
    (job,) = cluster_jobs(tmp_path, ["f-mean"])
    (submitted,) = submit([job], tmp_path / "cluster", cluster="local", timeout_min=1)
    while not (job.folder / "working").exists():
        time.sleep(0.05)
    (child,) = children(int(submitted.job_id))
    os.kill(child, signal.SIGUSR2)  # what Slurm sends before it takes the node away
    assert submitted.result() is None
    assert job.is_finished
    assert (job.folder / "checkpoint").read_text() == "stopped by signal 2"
    assert (job.folder / "output.txt").read_text().count("$ ") == 2


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return list(map(int, listed.split()))
