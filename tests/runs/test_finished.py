"""What a run leaves: its result, the weights of two epochs, final measures that may fail, its provenance."""

import errno
import gc
import json
import re
import shutil
import subprocess
import sys
import weakref

import pytest
import torch

from flatmtl_lite import files as files_module
from flatmtl_lite.__main__ import main
from flatmtl_lite.runs import RunError, RunFolder, launch, load
from flatmtl_lite.runs.engine import checkpoints as checkpoints_module
from flatmtl_lite.runs.engine import folder as folder_module
from flatmtl_lite.runs.engine import log_file as log_file_module
from flatmtl_lite.runs.engine import picked as picked_module
from flatmtl_lite.runs.engine import provenance
from flatmtl_lite.runs.engine.checkpoints import KEPT_ENTRIES, Checkpoints
from flatmtl_lite.runs.engine.learner import make_learner
from flatmtl_lite.runs.engine.picked import PickedWeights
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments import multimnist
from flatmtl_lite.runs.experiments.images import ImageTasks
from tests.runs.children import few_measures

pytestmark = pytest.mark.usefixtures("narrow")

OPTIONS = dict(
    **dict(experiment="multimnist", network="mlp", sample=True, n_train=96, n_val=40, n_test=40),
    **dict(epochs=3, batch_size=32, evaluate_every=1, checkpoint_seconds=0, progress=False),
)
WORDS = ["train", "multimnist", "--network", "mlp", "--sample", "--n-train", "96", "--n-val", "40"]
WORDS += ["--n-test", "40", "--epochs", "3", "--batch-size", "32", "--method", "mean"]


def too_large(experiment, model):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 14.00 GiB.\nmore lines")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(ImageTasks, "measure", few_measures)


@pytest.fixture
def best_second(monkeypatch):
    """The second epoch has the best validation score; returns the weights after each epoch."""
    weights, scores = [], iter([50.0, 70.0, 70.0])
    evaluate = ImageTasks.evaluate

    def scored(experiment, model):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        metrics = evaluate(experiment, model)
        return metrics | {"score": metrics["score"] | {"val": next(scores)}}

    monkeypatch.setattr(ImageTasks, "evaluate", scored)
    return weights


def result(folder):
    return json.loads((folder / "result.json").read_text())


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


# final measures ------------------------------------------------------------------------------------------


def test_failed_measures_leave_a_finished_run_and_can_be_redone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ImageTasks, "measure", too_large)
    message = r"finished and .*result.json holds its result.*14.00 GiB. The same command with --resume"
    with pytest.raises(RunError, match=message):
        launch(out=tmp_path, method="mean", **OPTIONS)
    assert result(tmp_path)["finished"] is True
    assert result(tmp_path)["final"]["epoch"] == 3
    assert "measures" not in result(tmp_path)

    monkeypatch.setattr(ImageTasks, "measure", few_measures)
    monkeypatch.setattr(Trainer, "_step", None)  # it must not train
    run = launch(out=tmp_path, resume=True, **OPTIONS | {"progress": True})
    assert "lacks its final measures" in capsys.readouterr().err
    assert result(tmp_path)["measures"] == run.log[-1] == {"kind": "final"} | few_measures(None, run.model)
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]) == run.log[-1]

    before = files(tmp_path)
    launch(out=tmp_path, resume=True, **OPTIONS)
    assert files(tmp_path) == before


def test_the_measures_have_the_memory_of_the_optimizers(tmp_path, monkeypatch):
    optimizers, alive = [], []

    def noted(*arguments):
        learner = make_learner(*arguments)
        optimizers.append(weakref.ref(learner.step.optimizer))
        return learner

    def measure(experiment, model):
        gc.collect()
        alive.extend(reference() is not None for reference in optimizers)
        return {}

    monkeypatch.setattr("flatmtl_lite.runs.engine.trainer.make_learner", noted)
    monkeypatch.setattr(ImageTasks, "measure", measure)
    launch(out=tmp_path, method="f-mean", **OPTIONS)
    assert alive == [False]


def test_a_run_of_several_processes_is_measured_by_one(tmp_path, quick):
    launch(out=tmp_path, method="mean", measure=False, **OPTIONS)
    edited = json.loads((tmp_path / "run.json").read_text()) | {"processes": 2}
    (tmp_path / "run.json").write_text(json.dumps(edited))
    for path in (tmp_path / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)
        state["made_with"]["processes"] = 2
        path.unlink()
        Checkpoints(tmp_path / "checkpoints").write(state)
    launch("multimnist", tmp_path, resume=True, progress=False)
    assert "measures" in result(tmp_path)


def test_measures_that_only_reached_the_log_are_not_there_twice(tmp_path, quick):
    launch(out=tmp_path, method="mean", **OPTIONS)
    whole = result(tmp_path)
    measures = whole.pop("measures")
    (tmp_path / "result.json").write_text(json.dumps(whole))
    run = launch(out=tmp_path, resume=True, **OPTIONS)
    assert run.entries("final") == [measures]
    assert (tmp_path / "log.jsonl").read_text().count('"kind": "final"') == 1


def test_no_measure_leaves_them_out_until_they_are_wanted(tmp_path, quick):
    folder = tmp_path / "run"
    assert main([*WORDS, "--out", str(folder), "--no-measure"]) == 0
    assert "measures" not in result(folder)
    assert main([*WORDS, "--out", str(folder), "--resume", "--no-measure"]) == 0
    assert "measures" not in result(folder)
    assert main([*WORDS, "--out", str(folder), "--resume"]) == 0
    assert "measures" in result(folder)


@pytest.mark.parametrize("name", ["result.json", "picked-00001.pt", "log.jsonl"])
def test_a_disk_that_is_full_at_the_end_costs_nothing(name, tmp_path, quick, monkeypatch):
    write = files_module.write_whole

    def full(path, content):
        if path.name == name and (name != "log.jsonl" or (tmp_path / "result.json").exists()):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        for module in (folder_module, checkpoints_module, log_file_module, picked_module):
            patch.setattr(module, "write_whole", full)
        with pytest.raises(
            RunError, match=r"No space left on device. Free some space and go on with --resume"
        ):
            launch(out=tmp_path, method="mean", **OPTIONS)
    assert (tmp_path / "result.json").exists() == (name == "log.jsonl")
    launch("multimnist", tmp_path, resume=True, progress=False)
    assert "measures" in result(tmp_path)
    load(tmp_path, "picked")


# a folder without a checkpoint ----------------------------------------------------------------------------


def begun(folder, monkeypatch):
    """A run that ended before its first checkpoint."""

    def crash(trainer, batch):
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", crash)
        with pytest.raises(InterruptedError):
            launch(out=folder, method="mean", seed=3, **OPTIONS)
    assert not list(folder.glob("checkpoints/*"))


def test_a_run_without_a_checkpoint_keeps_its_settings(tmp_path, quick, monkeypatch):
    begun(tmp_path, monkeypatch)
    before = files(tmp_path)
    with pytest.raises(
        RunError, match="method is 'mean' there and 'f-mean' here; seed is 3 there and 4 here"
    ):
        launch(out=tmp_path, resume=True, method="f-mean", seed=4, **OPTIONS)
    with pytest.raises(RunError, match="holds a run; expected a new folder"):
        launch(out=tmp_path, method="f-mean", **OPTIONS)
    assert files(tmp_path) == before
    run = launch("multimnist", tmp_path, resume=True, progress=False)
    assert (run.config.method, run.config.seed, run.config.epochs) == ("mean", 3, 3)
    assert [entry["epoch"] for entry in result(tmp_path)["about"]["resumed"]] == [0]


def test_a_misspelt_folder_is_refused_with_similar_names(tmp_path, capsys):
    (tmp_path / "multimnist" / "f-mean").mkdir(parents=True)
    for wrong, right in (("multimnits/f-mean", "multimnist/f-mean"), ("multimnist/f-maen",) * 2):
        assert main([*WORDS, "--resume", "--out", str(tmp_path / wrong)]) == 1
        error = capsys.readouterr().err
        assert f"--resume for the folder {tmp_path / wrong}, which does not exist" in error
        assert f"Did you mean {tmp_path / right.replace('maen', 'mean')}?" in error
    assert not (tmp_path / "multimnits").exists()
    assert main([*WORDS, "--resume", "--out", str(tmp_path / "quite else")]) == 1
    assert "Did you mean" not in capsys.readouterr().err


# weights -------------------------------------------------------------------------------------------------


def test_a_finished_run_keeps_the_weights_of_two_epochs_and_no_optimizer(tmp_path, quick, best_second):
    run = launch(out=tmp_path, method="f-mean", **OPTIONS)
    (last,) = (tmp_path / "checkpoints").iterdir()
    state = torch.load(last, weights_only=True)
    assert set(state) == set(KEPT_ENTRIES)
    assert result(tmp_path)["picked"]["epoch"] == 2
    for which, epoch in (("picked", 2), ("final", 3)):
        net = load(tmp_path, which)
        assert not net.training
        assert all(torch.equal(v, best_second[epoch - 1][k]) for k, v in net.state_dict().items())
    images = torch.zeros(2, 1, 36, 36)
    assert all(torch.equal(a, b) for a, b in zip(load(tmp_path)(images), run.model(images), strict=True))


def test_the_picked_weights_survive_a_stop(tmp_path, quick, best_second, monkeypatch):
    step = Trainer._step
    for end in (7, 8):

        def crash(trainer, batch, end=end):
            if trainer.steps_done == end:
                raise InterruptedError
            return step(trainer, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_step", crash)
            with pytest.raises(InterruptedError):
                launch(out=tmp_path, method="mean", resume=end == 8, **OPTIONS)
    launch("multimnist", tmp_path, resume=True, progress=False)
    resumed = result(tmp_path)["about"]["resumed"]
    assert [(entry["epoch"], entry["step"]) for entry in resumed] == [(2, 1), (2, 2)]
    picked = load(tmp_path, "picked").state_dict()
    assert all(torch.equal(value, best_second[1][name]) for name, value in picked.items())


@pytest.mark.parametrize(
    "options",
    [
        dict(method="f-stl"),
        dict(method="mean", variant="mnist", tasks=("first digit", "second parity", "first size")),
    ],
    ids=["twins", "three tasks"],
)
def test_a_network_is_loaded_without_its_data(tmp_path, quick, monkeypatch, options):
    run = launch(out=tmp_path, **OPTIONS | {"epochs": 1}, **options)
    monkeypatch.setattr(multimnist.MultiMnist, "experiment", None)
    net = load(tmp_path)
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in net.state_dict().items())


def test_what_cannot_be_loaded_is_explained(tmp_path, quick, monkeypatch):
    begun(tmp_path / "begun", monkeypatch)
    for folder in (tmp_path / "begun", tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"holds no finished run; expected one with result.json"):
            load(folder)
    launch(out=tmp_path / "run", method="mean", **OPTIONS)
    with pytest.raises(ValueError, match="Got which 'piked' \\(did you mean 'picked'\\?\\)"):
        load(tmp_path / "run", "piked")
    picked = tmp_path / "run" / "picked.pt"
    picked.write_bytes(picked.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"picked.pt is damaged or belongs to another run"):
        load(tmp_path / "run", "picked")
    picked.unlink()
    with pytest.raises(RunError, match=r"picked.pt is missing"):
        load(tmp_path / "run", "picked")
    load(tmp_path / "run")


def test_without_validation_data_no_epoch_is_picked(tmp_path, quick, monkeypatch, capsys):
    evaluate = ImageTasks.evaluate

    def without(experiment, model):
        metrics = evaluate(experiment, model)
        return metrics | {"score": {"test": metrics["score"]["test"]}}

    monkeypatch.setattr(ImageTasks, "evaluate", without)
    door = sys.modules["flatmtl_lite.runs.launch"]
    monkeypatch.setattr(door, "summarize", lambda log: {"final": log[-1], "picked": None})
    launch(out=tmp_path, method="mean", **OPTIONS | {"progress": True})
    assert "epoch 3 of 3: test " in capsys.readouterr().err
    assert not (tmp_path / "picked.pt").exists()
    with pytest.raises(RunError, match="has no validation data, so no epoch was picked"):
        load(tmp_path, "picked")
    load(tmp_path)


def test_a_lost_result_is_named_when_the_optimizer_is_gone(tmp_path, quick):
    launch(out=tmp_path, method="mean", **OPTIONS)
    (tmp_path / "result.json").unlink()
    with pytest.raises(RunError, match=r"holds the weights of a finished run, but .*result.json is gone"):
        launch(out=tmp_path, resume=True, **OPTIONS)


def test_a_finished_run_with_whole_checkpoints_is_still_read(tmp_path, quick, monkeypatch):
    """A run of an earlier version, or one that was killed before it tidied up."""
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "tidy_up", lambda folder: None)
        run = launch(out=tmp_path, method="mean", **OPTIONS)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    again = launch(out=tmp_path, resume=True, **OPTIONS)
    assert again.log == run.log
    assert load(tmp_path).state_dict().keys() == run.model.state_dict().keys()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1  # opening it tidies up
    load(tmp_path, "picked")


# provenance ----------------------------------------------------------------------------------------------


def test_other_data_are_found_out_by_their_hash(tmp_path, quick, monkeypatch):
    begun(tmp_path, monkeypatch)
    build = multimnist.MultiMnist.experiment

    def changed(settings, *arguments):
        tasks, origin = build(settings, *arguments)
        tasks.data.train_images[0, 0, 0] ^= 1
        return tasks, origin

    monkeypatch.setattr(multimnist.MultiMnist, "experiment", changed)
    with pytest.raises(RunError, match=r"began with other data \(by their hash\)"):
        launch("multimnist", tmp_path, resume=True, progress=False)


def test_versions_of_a_gpu_are_recorded(monkeypatch):
    def output(command):
        return "555.42.06\n555.42.06" if command[0] == "nvidia-smi" else "abc"

    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90100)
    monkeypatch.setattr(provenance, "_output", output)
    found = provenance.versions(torch.device("cuda", 0))
    assert (found["cuda"], found["cudnn"], found["driver"]) == ("12.6", "90100", "555.42.06")
    assert re.search(r"commit abc with changes", found["code"])

    def fail(command):
        raise subprocess.CalledProcessError(9, command)

    monkeypatch.setattr(provenance, "_output", fail)
    assert "driver" not in provenance.versions(torch.device("cuda", 0))


def test_the_weights_of_a_copy_are_its_own(tmp_path, quick):
    launch(out=tmp_path / "one", method="mean", **OPTIONS)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    launch(out=tmp_path / "three", method="mean", seed=1, **OPTIONS)
    shutil.copy(tmp_path / "three" / "picked.pt", tmp_path / "two" / "picked.pt")
    with pytest.raises(RunError, match="belongs to another run"):
        load(tmp_path / "two", "picked")
    assert RunFolder(tmp_path / "one").picked_weights()["epoch"] in (1, 2, 3)


def test_a_run_that_goes_on_to_other_bits_finds_the_weights_that_it_picks(tmp_path):
    """Epoch 2 is the best, its weights are written, and the run falls back to epoch 1 and goes on."""

    def log(*scores):
        entries = []
        for epoch, score in enumerate(scores, 1):
            entries.append({"kind": "epoch", "epoch": epoch})
            entries.append({"kind": "evaluation", "epoch": epoch, "score": {"val": score}})
        return entries

    def keep(value, *scores):
        picked.keep({"w": torch.full((1,), value)}, log(*scores))

    picked = PickedWeights(tmp_path)
    keep(1.0, 50.0)
    picked.tidy(log(50.0), [1])
    keep(2.0, 50.0, 60.0)
    assert len(list(tmp_path.iterdir())) == 2  # the checkpoint of epoch 1 still picks epoch 1
    keep(-2.0, 50.0, 49.0)  # the same epoch, to other bits
    picked.tidy(log(50.0, 49.0), [2, 1])
    assert [path.name for path in tmp_path.iterdir()] == ["picked-00001.pt"]
    found = picked.hash_of(1)
    picked.settle(1)
    kept = picked.read(found)
    assert (kept["epoch"], kept["model"]["w"].item()) == (1, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["picked.pt"]


def test_weights_stay_as_long_as_a_checkpoint_may_pick_them(tmp_path):
    picked = PickedWeights(tmp_path)
    scores = (50.0, 60.0, 70.0)
    log = []
    for epoch, score in enumerate(scores, 1):
        log += [{"kind": "epoch", "epoch": epoch}]
        log += [{"kind": "evaluation", "epoch": epoch, "score": {"val": score}}]
        picked.keep({}, log)
    picked.tidy(log, [3, 2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picked-00002.pt", "picked-00003.pt"]
