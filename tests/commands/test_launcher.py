"""Several processes of one run on this machine: their surroundings, their signals, their exit code."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from flatmtl_lite.__main__ import main
from flatmtl_lite.commands import launcher, train
from flatmtl_lite.commands.launcher import run_together
from flatmtl_lite.runs.engine.stopping import Stopped

CHILD = """
import os, signal, sys, time
from pathlib import Path
folder, what = Path(sys.argv[1]), sys.argv[2]
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
         "TORCHELASTIC_RUN_ID")
rank = os.environ["RANK"]
def stop(number, frame):
    time.sleep(0.5)  # a checkpoint is written
    (folder / f"saved {rank}").write_text(str(number))
    sys.exit(128 + number)
signal.signal(signal.SIGINT, stop)
(folder / rank).write_text(" ".join(os.environ[name] for name in names))
if what == "wait" or (what == "fail" and rank == "0"):
    time.sleep(60)
sys.exit(7 if what == "fail" else 0)
"""


def together(folder, what, count=2):
    return run_together([str(folder), what], count, (sys.executable, "-c", CHILD))


def test_every_process_knows_its_place(tmp_path):
    assert together(tmp_path, "end", count=3) == 0
    places = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    assert [place[:5] for place in places] == [[str(r), str(r), "3", "3", "127.0.0.1"] for r in range(3)]
    assert len({tuple(place[5:]) for place in places}) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_process_once_and_its_code_is_the_answer(tmp_path, number):
    def press():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=press)
    thread.start()
    assert together(tmp_path, "wait") == 128 + number
    thread.join()
    if number == signal.SIGINT:
        assert (tmp_path / "saved 0").read_text() == (tmp_path / "saved 1").read_text() == "2"


def test_a_process_that_fails_ends_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launcher, "GRACE_SECONDS", 0.3)
    start = time.monotonic()
    assert together(tmp_path, "fail") == 7
    assert time.monotonic() - start < 20
    assert "A process of the run failed" in capsys.readouterr().err


def test_train_starts_its_processes_once(monkeypatch):
    calls = []
    monkeypatch.setattr(train, "run_together", lambda words, count: calls.append((words, count)) or 5)
    monkeypatch.setattr(train, "launch", lambda **options: sys.exit(9))
    words = ["train", "multimnist", "--out", "x", "--processes", "2"]
    monkeypatch.setattr(sys, "argv", ["flatmtl-lite", *words])
    assert main(words) == 5
    assert calls == [(words, 2)]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    with pytest.raises(SystemExit) as exit:  # in a child it trains
        main(words)
    assert exit.value.code == 9


@pytest.mark.parametrize(("rank", "said"), [("0", "Stopped after step 3"), ("1", "")])
def test_of_several_processes_one_says_that_the_run_was_stopped(rank, said, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("RANK", rank)

    def stop(**options):
        raise Stopped(signal.SIGINT, "Stopped after step 3")

    monkeypatch.setattr(train, "launch", stop)
    assert main(["train", "multimnist", "--out", "x"]) == 130
    assert capsys.readouterr().err.strip() == said


@pytest.mark.slow
def test_ctrl_c_stops_two_processes_at_one_checkpoint_and_says_it_once(tmp_path):
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    words = ["--sample", "--network", "mlp", "--n-train", "320", "--n-val", "40", "--n-test", "40"]
    words += ["--epochs", "4000", "--batch-size", "32", "--method", "mean", "--threads", "1"]
    command = [sys.executable, "-m", "flatmtl_lite", "train", "multimnist", *words, "--processes", "2"]
    with output.open("w") as file:
        process = subprocess.Popen([*command, "--out", str(folder)], stdout=file, stderr=file)
    deadline = time.monotonic() + 120
    while not (folder / "log.jsonl").exists():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    text = output.read_text()
    assert text.count("Stopping after this step") == text.count("go on with --resume") == 1
    assert "Traceback" not in text
    run = json.loads((folder / "run.json").read_text())
    assert run["processes"] == 2
    assert run["about"]["command"].startswith("python -m flatmtl_lite train multimnist")
