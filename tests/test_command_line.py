"""The command line from end to end: plan, a small sweep, its report, and what it refuses."""

import json
import re
import sys
import types

import pytest

from flatmtl_lite.__main__ import main
from flatmtl_lite.runs.engine.processes import Processes
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments.registry import MultiMnist
from flatmtl_lite.runs.plan import _peak_bytes
from flatmtl_lite.runs.report import tables as report

SMALL = ["--sample", "--network", "mlp", "--n-train", "96", "--n-val", "40", "--n-test", "40"]
SMALL += ["--epochs", "2", "--batch-size", "32"]


def test_a_plan_is_made_from_real_steps(capsys):
    assert main(["plan", "multimnist", *SMALL, "--method", "f-mean", "--snapshot-every", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("f-mean on cpu: 1 process(es) of 1 thread(s)")
    named = [line[:14].strip() for line in lines[1:]]
    assert named == [
        *("a step", "an epoch", "an evaluation", "a snapshot", "the whole run", "peak memory", "a checkpoint")
    ]
    assert "3 steps" in lines[2]
    assert "2 of them" in lines[3]
    assert "2 of them" in lines[4]


@pytest.mark.parametrize(("platform", "megabytes"), [("linux", 2048), ("darwin", 2)])
def test_peak_memory_is_kilobytes_but_on_macos_bytes(platform, megabytes, monkeypatch):
    resource = types.SimpleNamespace(
        RUSAGE_SELF=0, getrusage=lambda who: types.SimpleNamespace(ru_maxrss=2 * 2**20)
    )
    monkeypatch.setitem(sys.modules, "resource", resource)
    monkeypatch.setattr(sys, "platform", platform)
    assert _peak_bytes(Processes()) == megabytes * 2**20


def test_without_resource_a_plan_says_unknown(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert main(["plan", "multimnist", *SMALL, "--method", "mean"]) == 0
    assert "peak memory         unknown   (of the process)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_is_run_once_and_reported(tmp_path, capfd):
    grid = ["sweep", "multimnist", "--methods", "mean", "f-mean", "--variants", "mnist", "--seeds", "0", "1"]
    words = [*grid, "--out", str(tmp_path), "--jobs", "2", *SMALL]
    assert main(words) == 0
    assert "4 runs, 0 of them finished already" in capfd.readouterr().out
    assert main(words) == 0
    assert "4 runs, 4 of them finished already" in capfd.readouterr().out
    assert main(["report", str(tmp_path)]) == 0
    said = capfd.readouterr().out
    assert "f-mean ρ=0.14 − mean" in said
    assert "95.67" in said  # the paper's F-LS, by its side
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [(row["method"], row["seeds"]) for row in rows] == [("mean", [0, 1]), ("f-mean", [0, 1])]
    assert "F-LS" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "f-cagard"], "did you mean 'f-cagrad'?"),
        (["--methods", "mean", "--epochs", "0"], "Got epochs=0"),
        (["--methods", "mean", "--variants", "fashoin"], "did you mean 'fashion'?"),
        (["--methods", "mean", "--epoch", "3"], "unrecognized arguments: --epoch"),
        (["--methods", "mean", "--seed", "3"], "the sweep sets it"),
    ],
)
def test_a_sweep_is_checked_before_it_starts(words, message, tmp_path, capsys):
    try:
        code = main(["sweep", "multimnist", *words, "--out", str(tmp_path / "grid")])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "grid").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "0"], "--threads: Got 0; expected a whole number from 1"),
        (["--threads", "-1"], "--threads: Got -1; expected a whole number from 1"),
        (["--threads", str(2**40)], "expected a whole number from 1 to 4096"),
        (["--checkpoint-seconds", "nan"], "--checkpoint-seconds: Got nan; expected a number >= 0"),
        (["--checkpoint-seconds", "-1"], "--checkpoint-seconds: Got -1; expected a number >= 0"),
        (["--seed", str(2**63)], "expected less than 2**63"),
        (["--tasks", "digit"], "expected two to eight of digit, parity"),
    ],
)
def test_numbers_out_of_range_are_refused(words, message, tmp_path, capsys):
    try:
        code = main(["train", "multimnist", *SMALL, *words, "--out", str(tmp_path / "new")])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["plan", "train", "report"])
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Stopped.\n"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (NotADirectoryError(20, "Not a directory", "x"), 1, "error: [Errno 20] Not a directory: 'x'\n"),
        (ConnectionError("could not fetch it"), 1, "error: could not fetch it\n"),
    ],
)
def test_what_ends_a_command_is_one_line(command, error, code, message, tmp_path, capsys, monkeypatch):
    def end(*given, **options):
        raise error

    monkeypatch.setattr(MultiMnist, "experiment", end)
    monkeypatch.setattr(report, "main", end)
    more = {"plan": ["multimnist"], "train": ["multimnist", "--out", str(tmp_path / "new")]}
    assert main([command, *more.get(command, [str(tmp_path)])]) == code
    assert capsys.readouterr().err == message


def test_a_second_ctrl_c_names_the_checkpoint_there_is(tmp_path, capsys, monkeypatch):
    step = Trainer._step

    def stopped(trainer, batch):
        if trainer.done:
            raise KeyboardInterrupt
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "_step", stopped)
    assert main(["train", "multimnist", *SMALL, "--checkpoint-seconds", "0", "--out", str(tmp_path)]) == 130
    assert "the last checkpoint stays. Go on with --resume." in capsys.readouterr().err


def begun_run(folder, **config):
    """A folder of a finished run with these values."""
    folder.mkdir(parents=True)
    settings = {"variant": "mnist", "sample": True}
    described = {"experiment": "multimnist", "settings": settings, "config": {"method": "mean", **config}}
    described |= {"processes": 1, "about": {}}
    for name in ("run.json", "result.json"):
        (folder / name).write_text(json.dumps(described))


@pytest.mark.parametrize("rest", [["--epochs", "50"], ["--lr", "0.1", "--epochs", "2"]])
def test_a_sweep_over_runs_of_other_settings_starts_nothing(rest, tmp_path, capsys):
    begun_run(tmp_path / "mnist/mean/seed1", seed=1, epochs=2, lr=0.05)
    words = ["sweep", "multimnist", "--methods", "mean", "--variants", "mnist", "--seeds", "0", "1"]
    assert main([*words, "--out", str(tmp_path), "--sample", *rest]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'mnist/mean/seed1'}: " in said
    differing = "epochs is 2 there and 50 here" if rest[1] == "50" else "lr is 0.05 there and 0.1 here"
    assert f"{differing}. " in said
    assert not (tmp_path / "mnist/mean/seed0").exists()


def test_a_sweep_over_runs_of_the_same_settings_repeats_none(tmp_path, capsys):
    begun_run(tmp_path / "mnist/mean/seed1", seed=1, epochs=2)
    words = ["sweep", "multimnist", "--methods", "mean", "--variants", "mnist", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path), "--sample", "--epochs", "2"]) == 0
    assert "1 runs, 1 of them finished already" in capsys.readouterr().out


def test_a_sweep_names_a_begun_folder_that_is_damaged(tmp_path, capsys):
    begun_run(tmp_path / "mean/seed1")
    (tmp_path / "mean/seed1/run.json").write_text("{")
    words = ["sweep", "multimnist", "--methods", "mean", "--seeds", "1", "--out", str(tmp_path), "--sample"]
    assert main(words) == 2
    assert "run.json cannot be read" in capsys.readouterr().err


def test_nothing_to_report_is_said(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: Got {tmp_path}; expected a folder with run folders")


def test_every_option_is_explained(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["train", "multimnist", "--help"])
    assert exit.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "radius of the perturbation" in said
    assert "label-noise 0.4, max-shift 0, sample, snapshot-every 20. small: network lenet" in said
    assert "share of the items with a wrong class in training and validation, 0..1." in said
    assert re.search(r"steps between measurements that cost extra: .* 1.4 steps each. \(default: 50\)", said)
