"""A sweep on this machine: nothing twice, no failure in silence, a stop that waits for the checkpoints."""

import json
import os
import signal
import threading
import time

import pytest

from flatmtl_lite.runs.sweep import local as workers
from flatmtl_lite.runs.sweep.jobs import grid
from flatmtl_lite.runs.sweep.local import run_here
from tests.runs.sweep.stand_in import STAND_IN

DESCRIBED = {"experiment": "multimnist", "settings": {}, "config": {}, "processes": 1, "about": {}}


@pytest.fixture
def make(tmp_path):
    """Jobs of the stand-in: ``make(methods, seeds)``."""

    def jobs(methods, seeds=(0,)):
        return grid("multimnist", methods, ["mnist"], [], seeds, tmp_path, (), STAND_IN)

    return jobs


def output(job):
    return (job.folder / "output.txt").read_text()


def interrupt(job, times=1, number=signal.SIGINT):
    """In the background: once the job is at work, send this process a signal."""

    def press():
        while not (job.folder / "working").exists():
            time.sleep(0.02)
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_runs_finish_and_are_not_repeated(make):
    jobs, said = make(["mean"], seeds=(0, 1, 2)), []
    assert run_here(jobs, 2, said.append) == 0
    assert all(job.is_finished for job in jobs)
    assert said[0] == "3 runs, 0 of them finished already; 2 at a time."
    assert sum(line.startswith("started") for line in said) == 3
    assert "[3/3]" in said[-1]
    assert run_here(jobs, 2, said.append) == 0
    assert said[-1] == "3 runs, 3 of them finished already; 2 at a time."
    assert all(output(job).count("$ ") == 1 for job in jobs)


@pytest.mark.parametrize(("cores", "count", "threads"), [(8, 2, 4), (2, 2, 1), (2, 3, 1), (7, 2, 3)])
def test_processes_share_the_cores(make, monkeypatch, cores, count, threads):
    monkeypatch.setattr(workers, "_cores", lambda: cores)
    jobs = make(["mean"])
    assert run_here(jobs, count, lambda line: None) == 0
    assert f"threads {threads}\n" in output(jobs[0])


def test_never_more_processes_than_asked_for(make, monkeypatch):
    jobs, running, most = make(["mean"], seeds=range(4)), set(), []
    said = {"started": running.add, "finished": running.discard}

    def note(line):
        if line.split()[0] in said:
            said[line.split()[0]](line.split()[1])
            most.append(len(running))

    assert run_here(jobs, 2, note) == 0
    assert max(most) == 2


def test_a_failed_run_is_named_with_its_last_words_and_stops_no_other(make):
    jobs, said = make(["cagrad", "mean"]), []
    assert run_here(jobs, 1, said.append) == 1
    assert jobs[1].is_finished
    assert "mnist/cagrad/seed0 failed; the end of" in said[-1]
    assert said[-1].endswith("Got a network that will not learn; expected another one.")
    assert any(line.startswith("failed mnist/cagrad/seed0 after") for line in said)


def test_a_run_that_ends_well_but_leaves_no_result_has_failed(make):
    said = []
    assert run_here(make(["pcgrad"]), 1, said.append) == 1
    assert "mnist/pcgrad/seed0 failed" in said[-1]


def test_a_run_of_another_process_is_left_to_it(make):
    said = []
    assert run_here(make(["mgda", "mean"]), 1, said.append) == 1
    assert said[-1] == "mnist/mgda/seed0 is run by another process and was left to it"
    assert not any("failed" in line for line in said)


def test_a_run_that_another_process_finished_meanwhile_is_finished(make):
    jobs, said = make(["cagrad"]), []

    def meanwhile(line):
        said.append(line)
        if line.startswith("started"):
            (jobs[0].folder / "result.json").write_text("{}")

    assert run_here(jobs, 1, meanwhile) == 0
    assert said[-1].startswith("finished mnist/cagrad/seed0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_waits_for_the_checkpoints_and_the_next_call_goes_on(make, number):
    jobs, said = make(["f-mean", "mean"]), []
    before = signal.getsignal(number)
    thread = interrupt(jobs[0], number=number)
    assert run_here(jobs, 1, said.append) == 130
    thread.join()
    assert signal.getsignal(number) is before
    assert (jobs[0].folder / "checkpoint").read_text() == "stopped by signal 2"
    assert not jobs[1].folder.exists()  # was waiting, and never started
    assert said[-1] == "Stopped. The same command goes on from the checkpoints."
    assert run_here(jobs, 1, said.append) == 0
    assert output(jobs[0]).count("$ ") == 2


@pytest.mark.parametrize(
    ("method", "outcome"),
    [("graddrop", "stopped"), ("imtl_l", "stopped"), ("si", "failed"), ("uw", "failed")],
)
def test_a_run_that_a_signal_stopped_at_a_checkpoint_has_not_failed(make, method, outcome):
    said = []
    assert run_here(make([method]), 1, said.append) == 1
    assert any(line.startswith(f"{outcome} mnist/{method}/seed0") for line in said)


@pytest.mark.parametrize(
    ("content", "threads"),
    [
        (DESCRIBED | {"threads": 3}, 3),
        (DESCRIBED, 1),
        ({"threads": 3}, 1),
        (None, 1),
        (DESCRIBED | {"threads": "three"}, 1),
    ],
)
def test_a_run_that_goes_on_keeps_its_threads(make, monkeypatch, content, threads):
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    (job,) = make(["mean"])
    (job.folder / "checkpoints").mkdir(parents=True)
    (job.folder / "checkpoints" / "epoch-00001.step-000000.0.pt").write_text("")
    if content:
        (job.folder / "run.json").write_text(json.dumps(content))
    assert run_here([job], 2, lambda line: None) == 0
    assert f"threads {threads}\n" in output(job)


def test_without_a_checkpoint_the_threads_are_those_of_this_sweep(make, monkeypatch):
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    (job,) = make(["mean"])
    job.folder.mkdir(parents=True)
    (job.folder / "run.json").write_text('{"threads": 3}')
    assert run_here([job], 1, lambda line: None) == 0
    assert "threads 2\n" in output(job)


def test_a_system_without_sighup_runs_a_sweep(make, monkeypatch):
    monkeypatch.delattr(signal, "SIGHUP")
    assert run_here(make(["mean"]), 1, lambda line: None) == 0


def test_a_second_ctrl_c_kills(make):
    (job,) = make(["f-cagrad"])
    said = []
    thread = interrupt(job, times=2)
    assert run_here([job], 1, said.append) == 130
    thread.join()
    assert any(line.startswith("stopped mnist/f-cagrad/seed0") for line in said)


def test_an_error_of_the_sweep_leaves_no_process_behind(make, monkeypatch):
    jobs = make(["f-mean", "mean"])
    started = []
    start = type(jobs[0]).start

    def fail_second(job, *arguments):
        if started:
            while not (jobs[0].folder / "working").exists():
                time.sleep(0.02)
            raise OSError("No space left on device")
        started.append(start(job, *arguments))
        return started[0]

    monkeypatch.setattr(type(jobs[0]), "start", fail_second)
    with pytest.raises(OSError, match="No space"):
        run_here(jobs, 2, lambda line: None)
    assert started[0].returncode == 130


def test_no_process_at_a_time_is_refused(make):
    with pytest.raises(ValueError, match="Got jobs=0"):
        run_here(make(["mean"]), 0)
