"""Checkpoints are written while training goes on, one after another, and hold the state of their step."""

import threading
import time
from functools import partial

import pytest
import torch

from flatmtl_lite.runs import Config, RunError, RunFolder, fashion_and_mnist, mlp
from flatmtl_lite.runs.engine.background import Background
from flatmtl_lite.runs.engine.loop import Loop
from flatmtl_lite.runs.engine.trainer import Trainer, TrainingDiverged
from flatmtl_lite.runs.experiments.images import ImageTasks


@pytest.fixture
def loop(tmp_path):
    data = fashion_and_mnist(seed=0, n_train=96, n_val=20, n_test=20, sample=True)
    trainer = Trainer(ImageTasks(data, partial(mlp, width=16)), Config("f-mean", epochs=2, batch_size=32))
    folder = RunFolder(tmp_path)
    folder.begin({"config": {}})
    return Loop(trainer, folder, 0.0, False, lambda run, share: None)


def test_training_goes_on_meanwhile_and_the_next_checkpoint_waits(loop, monkeypatch):
    steps, saved, at_once = [], [], []
    step, save = Trainer._step, RunFolder.save
    two_steps_later = threading.Event()

    def counted(trainer, batch):
        steps.append(trainer.steps_done)
        if trainer.steps_done == 1:
            two_steps_later.set()
        return step(trainer, batch)

    def slow(folder, state, log):
        at_once.append(state["position"])
        assert two_steps_later.wait(60), "the second step began while the first checkpoint was written"
        saved.append({name: value.clone() for name, value in state["model"].items()})
        save(folder, state, log)
        at_once.pop()
        assert at_once == [], "one checkpoint at a time"

    monkeypatch.setattr(Trainer, "_step", counted)
    monkeypatch.setattr(RunFolder, "save", slow)
    loop.run()
    assert len(saved) == 7
    assert all(torch.equal(value, saved[-1][name]) for name, value in loop.trainer.model.state_dict().items())
    weight = "trunk.1.weight"
    assert not torch.equal(saved[0][weight], saved[1][weight]), "the copy of the first step"
    assert loop.folder.newest_checkpoint()[0]["epoch"] == 2


def test_an_error_of_writing_stops_the_run(loop, monkeypatch):
    def full(folder, state, log):
        raise RunError("the disk is full")

    monkeypatch.setattr(RunFolder, "save", full)
    with pytest.raises(RunError, match="the disk is full"):
        loop.run()
    assert loop.trainer.steps_done <= 2


def test_the_last_checkpoint_is_written_before_an_error_leaves(loop, monkeypatch):
    step = Trainer._step

    def diverges(trainer, batch):
        if trainer.steps_done == 2:
            raise TrainingDiverged("played")
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "_step", diverges)
    with pytest.raises(TrainingDiverged):
        loop.run()
    assert "step-000002" in loop.folder.checkpoint_note()
    assert not list(loop.folder.path.rglob("*.part"))


def fail_after(event):
    event.wait(60)
    raise OSError("no space")


def test_a_failure_is_raised_when_it_has_happened_and_nobody_waits_for_it():
    event = threading.Event()
    with Background() as background:
        background.start(fail_after, event)
        background.raise_failure()
        event.set()
        deadline = time.monotonic() + 60
        while not background._call.done():
            assert time.monotonic() < deadline
        with pytest.raises(OSError, match="no space"):
            background.raise_failure()
        background.raise_failure()  # once


@pytest.mark.parametrize("error", [KeyError, None])
def test_the_error_of_the_block_wins_and_no_thread_is_left(error):
    before = threading.active_count()

    def run():
        with Background() as background:
            background.start(int, "three")
            if error:
                raise error

    with pytest.raises(error or ValueError):
        run()
    assert threading.active_count() == before
