"""The command line from end to end: every command, and what each refuses."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from flatmtl_lite.__main__ import main
from flatmtl_lite.commands import report
from flatmtl_lite.runs.engine import provenance
from flatmtl_lite.runs.engine.processes import Processes
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments.multimnist import MultiMnist
from flatmtl_lite.runs.plan import _peak_bytes
from flatmtl_lite.runs.records import flatness, rooms, splitting

SMALL = ["--sample", "--network", "mlp", "--n-train", "96", "--n-val", "40", "--n-test", "40"]
SMALL += ["--epochs", "2", "--batch-size", "32"]


def test_a_plan_is_made_from_real_steps(capsys):
    assert main(["plan", "multimnist", *SMALL, "--method", "f-mean", "--snapshot-every", "2"]) == 0
    output = capsys.readouterr()
    said = ["loading the data", "3 steps", "an evaluation", "a snapshot", "a part of the final measures"]
    assert output.err.splitlines() == [f"... {words}" for words in said]
    lines = output.out.splitlines()
    assert lines[0].startswith("f-mean on cpu: 1 process(es) of 1 thread(s)")
    named = [line[:14].strip() for line in lines[1:]]
    assert named == [
        *("a step", "an epoch", "an evaluation", "a snapshot", "the measures", "the whole run"),
        *("peak memory", "a checkpoint"),
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
    grid = ["sweep", "multimnist", "--methods", "mean", "f-mean", "--variants", "mnist", "--seeds", "0"]
    words = [*grid, "--out", str(tmp_path), "--jobs", "2", *SMALL]
    assert main(words) == 0
    assert "2 runs, 0 of them finished already" in capfd.readouterr().out
    assert main(words) == 0
    assert "2 runs, 2 of them finished already" in capfd.readouterr().out
    run = json.loads((tmp_path / "mnist/mean/seed0/run.json").read_text())
    assert run["about"]["command"].startswith("python -m flatmtl_lite train multimnist --method mean")
    assert main(["report", str(tmp_path)]) == 0
    text = capfd.readouterr().out
    assert "F-LS ρ=0.05 − LS" in text
    assert "95.67" in text  # the paper's F-LS, next to it
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [(row["method"], row["seeds"]) for row in rows] == [("mean", [0]), ("f-mean", [0])]
    assert "F-LS" in (tmp_path / "report.html").read_text()


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
    def end(*arguments, **options):
        raise error

    monkeypatch.setattr(MultiMnist, "experiment", end)
    monkeypatch.setattr(report, "write_report", end)
    more = {"plan": ["multimnist"], "train": ["multimnist", "--out", str(tmp_path / "new")]}
    assert main([command, *more.get(command, [str(tmp_path)])]) == code
    said = capsys.readouterr().err.splitlines(keepends=True)
    assert [line for line in said if not line.startswith("... ")] == [message]


def test_a_second_ctrl_c_names_the_checkpoint_there_is(tmp_path, capsys, monkeypatch):
    step = Trainer._step

    def stopped(trainer, batch):
        if trainer.steps_done:
            raise KeyboardInterrupt
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "_step", stopped)
    assert main(["train", "multimnist", *SMALL, "--checkpoint-seconds", "0", "--out", str(tmp_path)]) == 130
    assert "the last checkpoint stays. Go on with --resume." in capsys.readouterr().err


def begun_run(folder, **config):
    """A folder of a finished run with these values."""
    folder.mkdir(parents=True)
    settings = {"variant": "mnist", "sample": True}
    description = {"experiment": "multimnist", "settings": settings, "config": {"method": "mean", **config}}
    description |= {"processes": 1, "about": {}}
    for name in ("run.json", "result.json"):
        (folder / name).write_text(json.dumps(description))


@pytest.mark.parametrize("rest", [["--epochs", "50"], ["--lr", "0.1", "--epochs", "2"]])
def test_a_sweep_over_runs_of_other_settings_starts_nothing(rest, tmp_path, capsys):
    begun_run(tmp_path / "mnist/mean/seed1", seed=1, epochs=2, lr=0.05)
    words = ["sweep", "multimnist", "--methods", "mean", "--variants", "mnist", "--seeds", "0", "1"]
    assert main([*words, "--out", str(tmp_path), "--sample", *rest]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'mnist/mean/seed1'}: " in error
    differing = "epochs is 2 there and 50 here" if rest[1] == "50" else "lr is 0.05 there and 0.1 here"
    assert f"{differing}. " in error
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
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: flatmtl-lite train multimnist")
    assert "radius of the perturbation; methods without SAM do not use it. (default: 0.05)" in text
    demo = "label-noise 0.4, max-shift 0, sample, rho 0.14, norm together, snapshot-every 20. small: network"
    assert demo in text
    assert "share of the items with a wrong class in training and validation, 0..1." in text
    assert re.search(r"steps between measurements that cost extra: .* 1.4 steps each. \(default: 50\)", text)


# started in other ways -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/usr/local/bin/flatmtl-lite", "flatmtl-lite train --out 'a b'"),
        (r"C:/Scripts/flatmtl-lite.exe", "flatmtl-lite train --out 'a b'"),
        (str(provenance.PACKAGE / "__main__.py"), "python -m flatmtl_lite train --out 'a b'"),
        ("/home/me/my_script.py", "flatmtl_lite.runs.launch(...)"),
    ],
)
def test_the_recorded_command_is_the_one_that_was_typed(program, command, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program, "train", "--out", "a b"])
    assert provenance.command_line(Processes()) == command


def test_the_recorded_command_tells_of_torchrun(monkeypatch):
    processes = Processes(group="a group", count=2)
    monkeypatch.setattr(sys, "argv", [str(provenance.PACKAGE / "__main__.py"), "train"])
    assert provenance.command_line(processes) == "torchrun --nproc-per-node 2 -m flatmtl_lite train"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/flatmtl-lite", "train"])
    assert provenance.command_line(processes) == "torchrun --nproc-per-node 2 --no-python flatmtl-lite train"


WITH_THE_CORE_ALONE = """
import contextlib, io, sys
sys.modules.update(dict.fromkeys(
    ["filelock", "numpy", "plotly", "ipywidgets", "anywidget", "pooch", "torchmetrics", "tqdm", "submitit"]
))
from flatmtl_lite.__main__ import main

for words in (["--help"], ["train", "multimnist", "--out", "x"], ["train", "--help"], ["rooms", "x"],
              ["record", "splitting", "x"], ["lab", "x"]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as exit:
            code = exit.code
    print(repr((words, code, out.getvalue(), err.getvalue())))
"""


def test_with_the_core_alone_help_works_and_every_command_names_the_extra_it_needs(tmp_path):
    command = [sys.executable, "-c", WITH_THE_CORE_ALONE]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=provenance.PACKAGE.parent)
    answers = [eval(line) for line in ended.stdout.splitlines()]
    words, code, out, err = answers[0]
    assert (words, code, err) == (["--help"], 0, "")
    assert out.startswith("usage: flatmtl-lite ")
    assert all(
        f"    {name} " in out for name in ("lab", "train", "plan", "sweep", "report", "rooms", "record")
    )
    for words, code, _, err in answers[1:]:
        extra = "lab" if words[0] == "lab" else "runs"
        assert code == 1, words
        sentence = rf"error: flatmtl-lite {words[0]} needs \w+, which is not installed: "
        assert re.fullmatch(sentence + rf'pip install "flatmtl-lite\[{extra}\]"\n', err), err


@pytest.mark.parametrize(
    ("words", "opened"),
    [
        ([], (None, True, [])),
        (["course"], (Path("course"), True, [])),
        (["--no-browser", "course", "--", "--port=8890"], (Path("course"), False, ["--port=8890"])),
        (["--", "--port", "8890"], (None, True, ["--port", "8890"])),
    ],
)
def test_the_lab_is_opened(words, opened, monkeypatch):
    calls = []
    course = types.SimpleNamespace(open_course=lambda *arguments: calls.append(arguments) or 7)
    monkeypatch.setitem(sys.modules, "flatmtl_lite.lab.publish.course", course)
    assert main(["lab", *words]) == 7
    assert calls == [opened]


@pytest.mark.parametrize("module", [flatness, splitting])
def test_a_record_is_made(module, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "record", lambda *arguments: calls.append(arguments))
    name = module.__name__.rpartition(".")[2]
    assert main(["record", name, str(tmp_path / "file.json"), "--seeds", "3", "4"]) == 0
    assert main(["record", name, "file.json"]) == 0
    assert calls == [(tmp_path / "file.json", [3, 4]), (Path("file.json"), [0, 1, 2, 3, 4])]


def test_the_record_of_the_rooms_is_made_from_a_sweep(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(rooms, "record", lambda *arguments: calls.append(arguments))
    assert main(["record", "rooms", str(tmp_path), "rooms.json"]) == 0
    assert calls == [(tmp_path, Path("rooms.json"))]


def test_a_command_that_a_recorded_result_quotes_answers_with_the_new_one():
    old = "flatmtl_lite.runs.rooms_record"
    process = subprocess.run([sys.executable, "-m", old, "SWEEP", "a b.json"], capture_output=True, text=True)
    assert process.returncode == 1
    command = "flatmtl-lite record rooms SWEEP 'a b.json'"
    assert process.stderr == f"python -m {old} has moved. Use: {command}\n"


@pytest.mark.parametrize("record", ["splitting", "flatness", "rooms"])
def test_an_old_name_cannot_be_imported_and_says_why(record):
    old = "rooms_record" if record == "rooms" else record
    message = f"runs.{old} has moved; its command is now: flatmtl-lite record {record}"
    with pytest.raises(ModuleNotFoundError, match=message):
        __import__(f"flatmtl_lite.runs.{old}")
