"""The command sweep: what it runs, what it submits, and what it refuses before anything starts."""

import os
import sys

import pytest

from flatmtl_lite.__main__ import main
from flatmtl_lite.commands import sweep
from flatmtl_lite.runs.sweep.jobs import grid
from tests.runs.sweep.stand_in import STAND_IN


@pytest.fixture
def stand_in(monkeypatch):
    """Sweeps start the stand-in instead of ``python -m flatmtl_lite``."""
    monkeypatch.setattr(sweep, "grid", lambda *words, **options: grid(*words, program=STAND_IN, **options))


def run(*words):
    return main(["sweep", *map(str, words)])


def test_a_sweep_runs_its_grid_and_hands_other_options_on(stand_in, tmp_path, capsys, monkeypatch):
    checked = []
    monkeypatch.setattr(sweep, "check", checked.append)
    words = ["multimnist", "--methods", "mean", "cagrad", "--variants", "mnist", "fashion", "--seeds", 0, 1]
    assert run(*words, "--rhos", 0.1, "--out", tmp_path, "--jobs", 2, "--preset", "demo") == 1
    results = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("result.json")}
    assert results == {f"{variant}/mean/seed{seed}" for variant in ("mnist", "fashion") for seed in (0, 1)}
    assert len(checked) == 8
    assert checked[0].words[:2] == ("train", "multimnist")
    assert checked[0].words[-2:] == ("--preset", "demo")
    assert "fashion/cagrad/seed1 failed" in capsys.readouterr().out


def test_one_sweep_trains_several_fixed_weights_next_to_other_methods(stand_in, tmp_path):
    words = ["multimnist", "--methods", "mean", "constant", "--weights", "0.7,0.3", "0.5,0.5"]
    assert run(*words, "--variants", "mnist", "--seeds", 0, "--out", tmp_path, "--preset", "demo") == 0
    finished = {
        path.parent.relative_to(tmp_path / "mnist").as_posix() for path in tmp_path.rglob("result.json")
    }
    assert finished == {"mean/seed0", "constant/weights0.7,0.3/seed0", "constant/weights0.5,0.5/seed0"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "f-cagard"], "did you mean 'f-cagrad'?"),
        (["--methods", "mean", "--rhos", "-1"], "Got rho=-1"),
        (["--methods", "mean", "--jobs", "0"], "Got jobs=0"),
        (["--methods", "mean", "--threads", "4"], "Got --threads among"),
        (["--methods", "mean", "--epochs", "0"], "Got epochs=0"),
        (["--methods", "mean", "--variants", "fashoin"], "did you mean 'fashion'?"),
        (["--methods", "mean", "--epoch", "3"], "unrecognized arguments: --epoch"),
        (["--methods", "mean", "--weights", "0.7,0.3"], "expected constant or f-constant among them"),
        (["--methods", "mean", "--seed", "3"], "the sweep sets it"),
    ],
)
def test_a_sweep_is_checked_before_it_starts(stand_in, tmp_path, capsys, words, message):
    try:
        code = run("multimnist", "--out", tmp_path / "grid", *words)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "grid").exists()


def test_a_sweep_names_the_folder_whose_run_json_is_damaged(stand_in, tmp_path, capsys):
    folder = tmp_path / "mnist" / "mean" / "seed0"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "epoch-00001.step-000000.0.pt").touch()
    (folder / "run.json").write_text('{"experiment": "multimnist", "settings": null, "config": {}}')
    words = ["--methods", "mean", "--variants", "mnist", "--seeds", 0]
    assert run("multimnist", "--out", tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert f"{folder / 'run.json'} has settings = null; expected an object" in error
    assert not (folder / "output.txt").exists()


def test_a_machine_without_slurm_says_so(stand_in, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert run("rooms", "--out", tmp_path, "--methods", "mean", "--slurm", "--timeout-min", 9) == 1
    assert "slurm" in capsys.readouterr().err


def test_without_submitit_the_error_says_what_to_install(stand_in, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert run("rooms", "--out", tmp_path, "--methods", "mean", "--slurm") == 1
    assert 'pip install "flatmtl-lite[cluster]"' in capsys.readouterr().err


def test_slurm_gets_one_array_with_the_options_that_were_given(stand_in, tmp_path, capsys, monkeypatch):
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\necho Submitted batch job 12\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    out = tmp_path / "out"
    words = ["rooms", "--out", out, "--methods", "mean", "--slurm", "--slurm-partition", "gpu"]
    assert run(*words, "--gpus-per-node", 1, "--timeout-min", 90, "--jobs", 2) == 0
    assert "3 of 3 runs submitted" in capsys.readouterr().out
    lines = (out / "slurm" / "12_submission.sh").read_text().splitlines()
    options = {"array=0-2%2", "partition=gpu", "gpus-per-node=1", "time=90", "signal=USR2@90"}
    assert {f"#SBATCH --{option}" for option in options} <= set(lines)
    assert not any(line.startswith("#SBATCH --mem") for line in lines)
