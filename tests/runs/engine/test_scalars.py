"""The numbers of every epoch for other programs."""

import csv
import sys
import types
from typing import ClassVar

import pytest

from flatmtl_lite.runs import launch
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments import multimnist
from flatmtl_lite.runs.experiments.images import ImageTasks
from tests.runs import children

OPTIONS = dict(
    **dict(experiment="multimnist", network="mlp", sample=True, n_train=96, n_val=40, n_test=40),
    **dict(epochs=3, batch_size=32, evaluate_every=1, method="f-mean", checkpoint_seconds=0, progress=False),
)


class Board:
    """Stands in for TensorBoard's writer."""

    opened: ClassVar = []

    def __init__(self, folder, purge_step):
        self.folder, self.purge_step, self.scalars, self.is_closed = folder, purge_step, {}, False
        self.opened.append(self)

    def add_scalar(self, name, value, epoch):
        self.scalars[name, epoch] = value

    def close(self):
        self.is_closed = True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(multimnist, "parse_network", children.narrow_network)
    monkeypatch.setattr(ImageTasks, "measure", lambda experiment, model: {})


def test_a_stopped_run_leaves_the_same_numbers_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(Board, "opened", [])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Board))
    folder = tmp_path / "run"
    step = Trainer._step

    def crash(trainer, batch):
        if trainer.steps_done == 4:
            raise InterruptedError
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", crash)
        with pytest.raises(InterruptedError):
            launch(out=folder, log_to=["csv", "tensorboard"], **OPTIONS)
    run = launch("multimnist", folder, resume=True, log_to=["csv", "tensorboard"], progress=False)

    first, second = Board.opened
    assert (first.purge_step, second.purge_step) == (1, 2)
    assert first.is_closed
    assert second.is_closed
    assert first.folder == second.folder == str(folder / "tensorboard")
    assert {epoch for _, epoch in first.scalars} == {1}
    assert {epoch for _, epoch in second.scalars} == {2, 3}
    assert second.scalars["losses/garment", 3] == run.entries("epoch")[2]["losses"][1]
    assert second.scalars["test/accuracy/digit", 3] == run.accuracies[2]["test"][0]
    assert second.scalars["score/val", 2] == run.entries("evaluation")[1]["score"]["val"]

    with (folder / "scalars.csv").open() as file:
        rows = {(row["name"], int(row["epoch"])): float(row["value"]) for row in csv.DictReader(file)}
    assert rows == first.scalars | second.scalars


def test_without_tensorboard_nothing_begins_and_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"Install it: pip install tensorboard. Or take csv"):
        launch(out=tmp_path / "run", log_to=["tensorboard"], **OPTIONS)
    with pytest.raises(ValueError, match=r"Got log_to 'tensorbord' \(did you mean 'tensorboard'\?\)"):
        launch(out=tmp_path / "run", log_to=["tensorbord"], **OPTIONS)
    assert not (tmp_path / "run").exists()
