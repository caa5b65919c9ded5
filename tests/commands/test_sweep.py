"""The command sweep: what it runs, what it submits, and what it refuses before anything starts."""

import contextlib
import os
import sys
from dataclasses import asdict

import pytest
import submitit

from flatmtl_lite.__main__ import main
from flatmtl_lite.commands import sweep
from flatmtl_lite.runs.experiments.registry import EXPERIMENTS, option_names, read_options
from flatmtl_lite.runs.report.read import RecordedRun
from flatmtl_lite.runs.report.tables import rows
from flatmtl_lite.runs.report.text import markdown
from flatmtl_lite.runs.sweep.jobs import grid
from tests.runs.sweep.stand_in import STAND_IN


@pytest.fixture
def stand_in(monkeypatch):
    """Sweeps start the stand-in instead of ``python -m flatmtl_lite``."""
    monkeypatch.setattr(sweep, "jobs_of", lambda *words, **options: grid(*words, program=STAND_IN, **options))


def run(*words):
    return main(["sweep", *map(str, words)])


def test_a_sweep_runs_its_grid_and_hands_other_options_on(stand_in, tmp_path, capsys, monkeypatch):
    checked = []
    monkeypatch.setattr(sweep, "check", lambda job: checked.append(job) or (1, "auto"))
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
        (
            ["--methods", "mean", "--epoch", "3"],
            "Got --epoch (did you mean '--epochs'?), which neither sweep nor train knows",
        ),
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
    words += ["--slurm-account", "lab", "--slurm-qos", "long", "--slurm-constraint", "h100"]
    assert run(*words, "--gpus-per-node", 1, "--timeout-min", 90, "--jobs", 2) == 0
    assert "3 of 3 runs submitted" in capsys.readouterr().out
    lines = (out / "slurm" / "12_submission.sh").read_text().splitlines()
    options = {
        "array=0-2%2",
        "partition=gpu",
        "account=lab",
        "qos=long",
        "constraint=h100",
        "gpus-per-node=1",
        "time=90",
        "signal=USR2@90",
    }
    assert {f"#SBATCH --{option}" for option in options} <= set(lines)
    assert not any(line.startswith("#SBATCH --mem") for line in lines)


def test_a_grid_over_any_options_makes_runs_that_a_report_tells_apart(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_here", lambda runs, *more, **options: jobs.extend(runs) or 0)
    jobs = []
    words = ["multimnist", "--methods", "mean", "f-mean", "--seeds", 0, "--out", tmp_path, "--rhos", 0.1]
    assert run(*words, "--grid", "lr=0.10,0.05", "--grid", "adaptive=true,false", "--batch-size", 32) == 0
    assert len(jobs) == len({job.folder for job in jobs}) == 8
    assert jobs[0].name == "mean/lr=0.1/adaptive=true/seed0"
    assert jobs[-1].name == "f-mean/rho0.1/lr=0.05/adaptive=false/seed0"
    assert " ".join(jobs[-1].words).startswith("train multimnist --method f-mean --lr 0.05 --no-adaptive")
    settings = {"config.lr", "config.adaptive"}
    runs = [recorded(job, number) for number, job in enumerate(jobs)]
    table, left_out = rows(runs)
    assert (len(table), left_out) == (8, [])
    assert {tuple(row["settings"][name] for name in sorted(settings)) for row in table} == {
        (adaptive, lr) for adaptive in (True, False) for lr in (0.1, 0.05)
    }
    lines = markdown(table, [], []).splitlines()
    for values in ("adaptive=True", "lr=0.05"), ("adaptive=False", "lr=0.1"):
        assert any(line.startswith("| ") and all(value in line for value in values) for line in lines)


def recorded(job, number):
    """A finished run with the settings that the words of a job give."""
    options = vars(sweep.words_of(job))
    names = option_names(EXPERIMENTS["multimnist"])
    request = read_options("multimnist", None, {k: v for k, v in options.items() if k in names})
    evaluation = {"epoch": 1, "test": {"accuracy": [number, 50.0]}, "score": {"test": 50.0 + number}}
    result = {"experiment": "multimnist", "task_names": ["a", "b"], "seconds": 1.0, "finished": True}
    result |= {"settings": asdict(request.settings), "config": asdict(request.config)}
    result |= dict.fromkeys(("final", "picked", "best_test"), evaluation)
    return RecordedRun(job.folder, job.name, result)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--lrs", "0.1"],
            "Got --lrs (did you mean '--lr'?), which neither sweep nor train knows. For several",
        ),
        (["--method", "mean"], "Got --method among"),
        (["--variant", "mnist"], "Got --variant among"),
        (["--job", "2"], "Got --job (did you mean '--jobs'?)"),
        (["--grid", "lr"], "Got --grid lr; expected an option of train"),
        (
            ["--grid", "lr=0.1", "--grid", "lr=0.2"],
            "Got --grid lr=0.2; expected an option of train, each once",
        ),
        (["--grid", "lrr=0.1"], "Got --lrr (did you mean '--lr'?)"),
        (["--grid", "rho=0.1"], "Got --grid rho=...; expected another option: use --rhos."),
        (["--grid", "lr=0.1", "--lr", "0.2"], "Got --grid lr=... for an option that is set elsewhere"),
        (["--grid", "published=a/b.npz"], "it becomes a folder"),
        (["--grid", "lr=0.1,-1"], "Got lr=-1.0; expected a finite number"),
    ],
)
def test_a_misspelt_option_or_axis_is_answered_by_name(words, message, stand_in, tmp_path, capsys):
    try:
        code = run("multimnist", "--out", tmp_path / "grid", "--methods", "mean", *words)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "usage:" not in error
    assert not (tmp_path / "grid").exists()


def test_the_status_starts_nothing(stand_in, tmp_path, capsys):
    words = ["rooms", "--out", tmp_path / "grid", "--methods", "mean", "--seeds", 0, 1, "--epochs", 7]
    assert run(*words, "--status") == 0
    assert capsys.readouterr().out.splitlines() == [
        "waiting   mean/seed0",
        "waiting   mean/seed1",
        "0 of 2 runs finished, 0 at work; no epoch is done yet.",
    ]
    assert not (tmp_path / "grid").exists()


def test_slurm_gets_account_and_more_and_a_run_of_several_gpus_has_as_many_processes(
    stand_in, tmp_path, monkeypatch
):
    told = {}

    class Executor:
        def __init__(self, *arguments, **options):
            pass

        def update_parameters(self, **options):
            told.update(options)

        def batch(self):
            return contextlib.nullcontext()

        def submit(self, run):
            told["run"] = run

    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    words = ["rooms", "--out", tmp_path, "--methods", "mean", "--seeds", 0, "--slurm", "--gpus-per-node", 4]
    more = [
        "--slurm-account",
        "lab",
        "--slurm-qos",
        "long",
        "--slurm-constraint",
        "h100",
        "--cpus-per-task",
        32,
    ]
    assert run(*words, *more) == 0
    assert (told["slurm_account"], told["slurm_qos"], told["slurm_constraint"]) == ("lab", "long", "h100")
    assert told["gpus_per_node"] == 4
    assert (told["run"].processes, told["run"].threads) == (4, 8)
