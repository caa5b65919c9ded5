"""The progress of a run: a bar in a terminal, plain lines in a file, one voice of several processes."""

import io
import os
import signal
import sys
import types

import pytest

from flatmtl_lite.runs import Config, Run
from flatmtl_lite.runs.engine.progress import Progress
from flatmtl_lite.runs.engine.stopping import stop_requests

LOG = [
    {"kind": "epoch", "epoch": 2},
    {"kind": "evaluation", "epoch": 2, "score": {"val": 61.5, "test": 60.25}},
]
LINE = "epoch 2 of 8: validation 61.50, test 60.25, 9 s\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def trainer():
    return types.SimpleNamespace(config=Config("mean", epochs=8), steps_per_epoch=5, steps_done=10)


def output(stream, trainer, is_shown, monkeypatch):
    """What a step and an evaluated epoch write to an error output."""
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(trainer, is_shown)
    progress.show_step(None)
    progress.show_epoch(Run(trainer.config, None, LOG, seconds=9.0))
    progress.close()
    return stream.getvalue()


def test_a_file_gets_one_line_for_an_evaluation_and_no_bar(trainer, monkeypatch):
    assert output(io.StringIO(), trainer, True, monkeypatch) == LINE


def test_a_terminal_gets_the_bar_too(trainer, monkeypatch):
    text = output(Terminal(), trainer, True, monkeypatch)
    assert LINE in text
    assert "/40" in text


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_is_shown_unless_wanted(stream, trainer, monkeypatch):
    assert output(stream(), trainer, False, monkeypatch) == ""


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0), (None, 1)])
def test_one_of_several_processes_says_that_it_stops(rank, lines, monkeypatch, capsys):
    if rank is not None:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
        monkeypatch.setenv("RANK", rank)
    with stop_requests() as requests:
        os.kill(os.getpid(), signal.SIGINT)
        assert requests == [signal.SIGINT]
    assert len(capsys.readouterr().err.splitlines()) == lines
