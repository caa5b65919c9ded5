"""The command line of a sweep, here and on submitit's local cluster."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flatmtl_lite.runs.sweep import command as sweep
from flatmtl_lite.runs.sweep.command import add_arguments, main, submit
from flatmtl_lite.runs.sweep.jobs import Job, grid

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))


@pytest.fixture
def stand_in(monkeypatch):
    """Sweeps start the stand-in instead of ``python -m flatmtl_lite``."""
    monkeypatch.setattr(sweep, "grid", lambda *given: grid(*given, program=STAND_IN))


def read(words):
    """The arguments that a sweep knows, and the rest, as the command line reads them."""
    parser = argparse.ArgumentParser()
    add_arguments(parser, ["multimnist", "rooms"])
    return parser.parse_known_args(list(map(str, words)))


def test_a_sweep_from_the_command_line(stand_in, tmp_path, capsys):
    words = ["multimnist", "--methods", "mean", "cagrad", "--variants", "mnist", "fashion", "--seeds", 0, 1]
    arguments, rest = read([*words, "--rhos", 0.1, "--out", tmp_path, "--jobs", 2, "--preset", "demo"])
    checked = []
    assert main(arguments, rest, checked.append) == 1
    results = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("result.json")}
    assert results == {f"{variant}/mean/seed{seed}" for variant in ("mnist", "fashion") for seed in (0, 1)}
    assert len(checked) == 8
    assert checked[0][:2] == ("train", "multimnist")
    assert checked[0][-2:] == ("--preset", "demo")
    assert "fashion/cagrad/seed1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "f-cagard"], "f-cagard"),
        (["--methods", "mean", "--rhos", "-1"], "Got rho=-1"),
        (["--methods", "mean", "--jobs", "0"], "Got jobs=0"),
        (["--methods", "mean", "--threads", "4"], "Got --threads among"),
    ],
)
def test_bad_arguments_start_nothing(stand_in, tmp_path, capsys, words, message):
    assert main(*read(["rooms", "--out", tmp_path, *words])) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_train_would_not_take_starts_nothing(stand_in, tmp_path, capsys):
    def check(words):
        if "--epochz" in words:
            raise ValueError("Got --epochz; expected --epochs.")

    arguments, rest = read(["rooms", "--out", tmp_path, "--methods", "mean", "--epochz", "3"])
    assert main(arguments, rest, check) == 2
    assert "Got --epochz" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_machine_without_slurm_says_so(stand_in, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main(*read(["rooms", "--out", tmp_path, "--methods", "mean", "--slurm", "--timeout-min", 9])) == 1
    assert "slurm" in capsys.readouterr().err


def test_slurm_gets_one_array_with_the_options_that_were_given(stand_in, tmp_path, capsys, monkeypatch):
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\necho Submitted batch job 12\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    out = tmp_path / "out"
    words = ["rooms", "--out", out, "--methods", "mean", "--slurm", "--slurm-partition", "gpu"]
    assert main(*read([*words, "--gpus-per-node", 1, "--timeout-min", 90, "--jobs", 2])) == 0
    assert "3 of 3 runs submitted" in capsys.readouterr().out
    lines = (out / "slurm" / "12_submission.sh").read_text().splitlines()
    wanted = {"array=0-2%2", "partition=gpu", "gpus-per-node=1", "time=90", "signal=USR2@90"}
    assert {f"#SBATCH --{option}" for option in wanted} <= set(lines)
    assert not any(line.startswith("#SBATCH --mem") for line in lines)


def test_without_submitit_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'flatmtl-lite\[cluster\]'"):
        submit([Job("a", tmp_path, ())], tmp_path / "cluster")


def cluster_jobs(tmp_path, methods):
    return grid("rooms", methods, [], [], [0], tmp_path, (), STAND_IN)


def test_a_local_cluster_runs_what_is_not_finished(tmp_path):
    jobs = cluster_jobs(tmp_path, ["mean", "imtl_g", "cagrad"])
    jobs[1].folder.mkdir(parents=True)
    (jobs[1].folder / "result.json").write_text("{}")
    done, failed = submit(jobs, tmp_path / "cluster", cluster="local", timeout_min=1, cpus_per_task=2)
    assert done.result() is None
    assert jobs[0].finished
    assert "threads 2\n" in (jobs[0].folder / "output.txt").read_text()
    assert "network that will not learn" in str(failed.exception())
    assert not (jobs[1].folder / "output.txt").exists()
    assert submit(jobs[:2], tmp_path / "cluster", cluster="local") == []


@pytest.mark.skipif(sys.platform != "linux", reason="finds the job's process in /proc")
def test_a_preempted_job_writes_its_checkpoint_is_queued_again_and_goes_on(tmp_path):
    (job,) = cluster_jobs(tmp_path, ["f-mean"])
    (submitted,) = submit([job], tmp_path / "cluster", cluster="local", timeout_min=1)
    while not (job.folder / "working").exists():
        time.sleep(0.05)
    (child,) = children(int(submitted.job_id))
    os.kill(child, signal.SIGUSR2)  # what Slurm sends before it takes the node away
    assert submitted.result() is None
    assert job.finished
    assert (job.folder / "checkpoint").read_text() == "stopped by signal 2"
    assert (job.folder / "output.txt").read_text().count("$ ") == 2


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return list(map(int, listed.split()))
