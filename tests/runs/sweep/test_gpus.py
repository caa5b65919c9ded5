"""The GPUs of a sweep, on a machine that is said to have some: which run sees which."""

import json
import subprocess
import tempfile

import pytest
import torch

from flatmtl_lite.runs.engine.folder import InUse
from flatmtl_lite.runs.sweep import job as job_module
from flatmtl_lite.runs.sweep.gpus import Gpus, locked, visible_gpus
from flatmtl_lite.runs.sweep.jobs import grid
from flatmtl_lite.runs.sweep.local import run_here
from tests.runs.sweep.stand_in import STAND_IN


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """The command and the GPUs of every child of a sweep; locks lie in a folder of this test."""
    recorded = []
    real = subprocess.Popen

    def record(command, env, **options):
        recorded.append((command, env.get("CUDA_VISIBLE_DEVICES")))
        return real(
            command[: command.index("--processes")] if "--processes" in command else command,
            env=env,
            **options,
        )

    monkeypatch.setattr(job_module.subprocess, "Popen", record)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return recorded


@pytest.fixture
def make(tmp_path):
    return lambda seeds: grid("rooms", ["mean"], [], [], range(seeds), tmp_path / "grid", (), STAND_IN)


def devices(count, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("count", "runs", "jobs", "taken", "words"),
    [
        (3, 3, 3, "012", ("GPUs: 0; 1; 2. Each run takes one of these.", "started mean/seed2 on GPU 2")),
        (2, 3, 1, "000", ("--jobs 2 would use more of them.",)),
        (2, 4, 4, "0011", ("4 runs at a time share 2",)),
    ],
    ids=["a GPU for each run", "a GPU that is free again is taken again", "more runs than GPUs share them"],
)
def test_each_run_has_a_gpu_and_that_is_said(count, runs, jobs, taken, words, starts, make, monkeypatch):
    devices(count, monkeypatch)
    said = []
    assert run_here(make(runs), jobs, said.append) == 0
    assert sorted(gpus for _, gpus in starts) == list(taken)
    assert all(any(line.startswith(begin) for line in said) for begin in words)


def test_the_gpus_that_the_user_named_are_kept(starts, make, monkeypatch):
    devices(2, monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab12")
    assert run_here(make(2), 2, lambda line: None) == 0
    assert [gpus for _, gpus in starts] == ["5", "GPU-ab12"]


def test_several_gpus_make_one_run_of_several_processes(starts, make, monkeypatch):
    devices(5, monkeypatch)
    assert run_here(make(2), 2, lambda line: None, gpus_per_run=2) == 0
    assert [gpus for _, gpus in starts] == ["0,1", "2,3"]
    assert all(command[-2:] == ["--processes", "2"] for command, _ in starts)


def test_without_gpus_and_on_the_cpu_nothing_is_set(starts, make, monkeypatch):
    assert run_here(make(1), 1, lambda line: None) == 0
    devices(2, monkeypatch)
    jobs = make(3)
    assert run_here(jobs, 1, lambda line: None, device="cpu") == 0
    assert [gpus for _, gpus in starts] == [None] * 3
    assert visible_gpus("cuda:1") == []


@pytest.mark.parametrize(
    ("count", "per_run", "message"), [(2, 3, "expected 1 to 2"), (0, 1, "no GPU is visible")]
)
def test_more_gpus_than_there_are_are_refused(count, per_run, message, starts, make, monkeypatch):
    devices(count, monkeypatch)
    with pytest.raises(ValueError, match=f"Got --gpus-per-node {per_run}.*{message}"):
        run_here(make(1), 1, lambda line: None, gpus_per_run=per_run)
    assert starts == []


def test_two_sweeps_do_not_take_the_same_gpu(starts, make, monkeypatch):
    devices(2, monkeypatch)
    said = []
    with locked(["0"], said.append) as free:
        assert free == ["0"]
        assert run_here(make(2), 2, said.append) == 0
        assert [gpus for _, gpus in starts] == ["1", "1"]
        assert "GPU 0 is used by another sweep and is left to it." in said
        devices(1, monkeypatch)
        jobs = make(4)
        with pytest.raises(InUse, match="Got a sweep on GPU 0, which other sweeps use"):
            run_here(jobs, 1, said.append)
    assert len(starts) == 2
    assert run_here(jobs, 1, said.append) == 0  # the lock is free again


def test_an_odd_gpu_is_left_over():
    assert Gpus(["a", "b", "c"], per_run=2).groups == [("a", "b")]


def test_a_run_that_goes_on_has_the_gpus_of_now(starts, make, monkeypatch, tmp_path):
    """run.json does not tie a run to the number of a GPU."""
    devices(1, monkeypatch)
    (job,) = make(1)
    job.folder.mkdir(parents=True)
    about = {"versions": {"device": "cuda:3"}}
    description = {"experiment": "rooms", "settings": {}, "config": {}, "processes": 1, "about": about}
    (job.folder / "run.json").write_text(json.dumps(description))
    assert run_here([job], 1, lambda line: None) == 0
    assert [gpus for _, gpus in starts] == ["0"]
