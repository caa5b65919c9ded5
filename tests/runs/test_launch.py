"""Starting and stopping runs: folders, signals, and every way in which a run can go wrong."""

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from flatmtl_lite import files
from flatmtl_lite.__main__ import main
from flatmtl_lite.runs import Run, RunError, RunFolder, launch
from flatmtl_lite.runs.engine.folder import InUse
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.experiments.registry import MultiMnist

OPTIONS = dict(
    **dict(experiment="multimnist", network="mlp", sample=True, n_train=96, n_val=40, n_test=40),
    **dict(epochs=2, batch_size=32, method="f-mean", evaluate_every=2),
)
QUIET = dict(checkpoint_seconds=0, progress=False)


def words(out, **more):
    """The options as words of the command line."""
    options = {k: v for k, v in (OPTIONS | more).items() if k != "experiment"} | {"out": out}
    flags = [["--" + k.replace("_", "-"), *([] if v is True else [str(v)])] for k, v in options.items()]
    return ["train", "multimnist", *(word for flag in flags for word in flag)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    launch(out=folder, snapshot_every=2, **OPTIONS, **QUIET)
    return folder


def test_a_finished_run_says_what_it_was_and_what_came_out(finished):
    result = json.loads((finished / "result.json").read_text())
    run = json.loads((finished / "run.json").read_text())
    assert {key: result[key] for key in run} == run
    assert run["config"]["method"] == "f-mean"
    assert run["settings"]["n_train"] == 96
    assert run["parameters"] == 402_964
    assert run["task_names"] == ["digit", "garment"]
    assert set(run["about"]) == {"command", "date", "machine", "data"}
    assert result["final"]["epoch"] == 2
    assert set(result["final"]["test"]) == {"accuracy", "nll", "ece", "brier"}
    assert result["picked"]["score"]["val"] >= result["final"]["score"]["val"]
    assert result["best_test"]["score"]["test"] >= result["picked"]["score"]["test"]
    assert len(result["measures"]["top_eigenvalue"]) == 2
    assert len(result["measures"]["reliability"][0]["count"]) == 10
    assert set(result["measures"]["entropy"]) == {"edges", "in domain", "mnist", "fashion"}
    assert len(result["measures"]["slices"]["line"]["losses"]) == 21
    assert len(result["last_snapshot"]["gramians"]) == len(result["last_snapshot"]["rho"])


def test_the_log_has_every_kind_of_entry(finished):
    entries = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    by_kind = {kind: [e for e in entries if e["kind"] == kind] for kind in {e["kind"] for e in entries}}
    assert {kind: len(found) for kind, found in by_kind.items()} == {
        "step": 6,
        "epoch": 2,
        "evaluation": 2,
        "snapshot": 2,
        "final": 1,
    }
    last = by_kind["epoch"][-1]
    assert sum(last["histograms"]["loss"]) == 3  # steps an epoch, one pair
    assert sum(last["histograms"]["intra"]) == 6
    assert last["step"] == 6
    assert len(last["losses"]) == len(last["perturbed_losses"]) == 2
    assert last["lr"] == pytest.approx(0, abs=1e-9)


def test_a_run_that_is_finished_is_loaded_and_not_repeated(finished):
    before = (finished / "result.json").stat().st_mtime_ns
    run = launch(out=finished, resume=True, **OPTIONS, **QUIET)
    assert isinstance(run, Run)
    assert run.accuracies[-1]["epoch"] == 2
    saved = torch.load(next((finished / "checkpoints").glob("epoch-00002.*")), weights_only=True)
    assert all(torch.equal(value, saved["model"][name]) for name, value in run.model.state_dict().items())
    assert (finished / "result.json").stat().st_mtime_ns == before


def test_a_folder_is_one_runs(finished, tmp_path):
    with pytest.raises(RunError, match=r"holds a run; expected a new one. Go on with that run by --resume"):
        launch(out=finished, **OPTIONS, **QUIET)
    with pytest.raises(RunError, match=r"method is 'f-mean' there and 'mean' here; lr is 0.05 there and 0.1"):
        launch(out=finished, resume=True, **OPTIONS | {"method": "mean", "lr": 0.1}, **QUIET)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"holds thesis.tex and no run.json"):
        launch(out=tmp_path, resume=True, **OPTIONS, **QUIET)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_options_that_are_not_given_are_the_runs_own(finished):
    assert launch("multimnist", finished, resume=True, **QUIET).config.method == "f-mean"


def test_two_processes_in_one_folder_are_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.take()
    with pytest.raises(InUse, match="is used by a run that is going on"):
        launch(out=tmp_path, **OPTIONS, **QUIET)
    folder.release()
    launch(out=tmp_path, **OPTIONS, **QUIET)


def test_a_folder_is_kept_from_the_first_look_on(tmp_path, monkeypatch):
    """While data are loaded, nobody else may begin a run there."""
    seen = []
    build = MultiMnist.experiment

    def slow(settings, *arguments):
        with pytest.raises(InUse):
            launch(out=tmp_path, **OPTIONS | {"lr": 0.01}, **QUIET)
        seen.append(True)
        return build(settings, *arguments)

    monkeypatch.setattr(MultiMnist, "experiment", slow)
    launch(out=tmp_path, **OPTIONS, **QUIET)
    assert seen == [True]


def test_a_process_that_was_killed_at_the_very_start_is_no_obstacle(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-00000.step-000001.abc.pt.part").write_bytes(b"half")
    (tmp_path / "log.jsonl").write_text('{"kind": "step", "st')
    launch(out=tmp_path, resume=True, **OPTIONS, **QUIET)
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(finished, tmp_path, capsys, monkeypatch):
    before, newest = interrupted(tmp_path, monkeypatch)
    damage(newest)
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    said = capsys.readouterr().err
    assert f"{newest.name} is damaged and cannot be used: trying the one before" in said
    assert newest.with_name(newest.name + ".damaged").exists()
    assert_same_run(run, launch(out=finished, resume=True, **QUIET, experiment="multimnist"))
    assert before.name.startswith("epoch-00001.step-000001")


def test_without_any_whole_checkpoint_a_run_starts_again(finished, tmp_path, capsys, monkeypatch):
    for path in interrupted(tmp_path, monkeypatch):
        damage(path)
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    assert "starting from the beginning" in capsys.readouterr().err
    assert_same_run(run, launch(out=finished, resume=True, **QUIET, experiment="multimnist"))


def test_a_changed_log_stops_and_changes_nothing(tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text().replace("step", "stop", 1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"log.jsonl is not what it was when epoch-00001.step-000002"):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_log_of_a_finished_run_outlives_its_checkpoints(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    log = (finished / "log.jsonl").read_bytes()
    damage(next((tmp_path / "copy" / "checkpoints").glob("epoch-00002*")))
    for _ in range(2):
        with pytest.raises(RunError, match="its last checkpoint is gone or damaged"):
            launch(out=tmp_path / "copy", resume=True, **QUIET, experiment="multimnist")
        assert (tmp_path / "copy" / "log.jsonl").read_bytes() == log
        shutil.rmtree(tmp_path / "copy" / "checkpoints", ignore_errors=True)


def test_a_run_goes_on_with_the_data_it_began_with(tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    build = MultiMnist.experiment
    monkeypatch.setattr(MultiMnist, "experiment", lambda *a: (build(*a)[0], "other images"))
    with pytest.raises(RunError, match=r"was begun with other data: .* there and 'other images' here"):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda known: known["config"].update(warmup=3), "a run of another version: warmup is unknown here"),
        (lambda known: known.pop("settings"), "run.json lacks settings"),
    ],
)
def test_a_run_of_another_version_is_refused(edit, message, tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    known = json.loads((tmp_path / "run.json").read_text())
    edit(known)
    (tmp_path / "run.json").write_text(json.dumps(known))
    with pytest.raises(RunError, match=message):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")


def test_a_resumed_run_is_still_what_it_began_as(finished, tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    began = json.loads((tmp_path / "run.json").read_text())
    began["about"]["command"] = "as it was typed"
    (tmp_path / "run.json").write_text(json.dumps(began))
    launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    result = json.loads((tmp_path / "result.json").read_text())
    assert {key: result[key] for key in began} == began


def test_a_full_disk_leaves_the_checkpoints_there_were(finished, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    stop_after(monkeypatch, 4, lambda: monkeypatch.setattr(files.os, "fsync", full))
    message = r"could not be written: .*No space left.*Free some space and go on with --resume"
    with pytest.raises(RunError, match=message + r".* The last good checkpoint is .*epoch-00000.step-000003"):
        launch(out=tmp_path, snapshot_every=2, **OPTIONS, **QUIET)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.part"))
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    assert_same_run(run, launch(out=finished, resume=True, **QUIET, experiment="multimnist"))


def test_a_loss_that_is_nan_is_named_with_the_last_good_checkpoint(tmp_path):
    message = (
        r"Training broke down at step \d+ \(epoch \d\): the loss or gradient of \w+.* is NaN or infinite. "
        r"Begin again in a new folder with a smaller lr \(now 1e\+30\) or rho.* The last good checkpoint is "
    )
    with pytest.raises(RunError, match=message):
        launch(out=tmp_path, **OPTIONS | {"lr": 1e30}, **QUIET)


def test_too_little_memory_names_the_knobs(tmp_path, monkeypatch):
    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr(ImageTasks, "closures", too_much)
    message = r"Out of memory: CUDA out.*--micro-batches 2, now 1.*--batch-size \(now 32\)"
    with pytest.raises(RunError, match=message):
        launch(out=tmp_path, **OPTIONS, **QUIET)


def test_micro_batches_make_the_same_batch(tmp_path, finished):
    parts = launch(out=tmp_path, snapshot_every=2, **OPTIONS, micro_batches=4, **QUIET)
    whole = launch(out=finished, resume=True, **QUIET, experiment="multimnist")
    for a, b in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "f-cagard"}, "Got method 'f-cagard' (did you mean 'f-cagrad'?)"),
        ({"variant": "fashoin"}, "Got variant 'fashoin' (did you mean 'fashion'?)"),
        ({"network": "resnet"}, "Got network 'resnet' (did you mean 'resnet18'?)"),
        ({"lr": "nan"}, "Got lr=nan; expected a finite number"),
        ({"batch_size": 1000}, "Got 96 training images for batch_size=1000"),
        ({"micro_batches": 5}, "Got batch_size=32 in micro_batches=5 parts"),
        ({"label_noise": 2}, "share of noisy labels = 2"),
        ({"device": "cuda:7"}, "Got device='cuda:7', which cannot be used"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(more, message, tmp_path, capsys):
    assert main(words(tmp_path / "new", **more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_unknown_options_and_presets_are_named():
    with pytest.raises(ValueError, match=r"Got option 'batchsize' \(did you mean 'batch_size'\?\)"):
        launch("multimnist", "nowhere", batchsize=3)
    with pytest.raises(ValueError, match=r"Got preset 'papers' \(did you mean 'paper'\?\)"):
        launch("multimnist", "nowhere", preset="papers")
    with pytest.raises(ValueError, match="Got experiment 'mnist'"):
        launch("mnist", "nowhere")


def test_missing_data_are_explained(tmp_path, capsys):
    arguments = ["train", "multimnist", "--out", str(tmp_path / "new"), "--data", str(tmp_path)]
    assert main(arguments) == 1
    assert "download" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_published_set_is_trained_on(tmp_path):
    draw = np.random.default_rng(0)
    arrays = {f"{part}_images": draw.integers(0, 256, (80, 36, 36), np.uint8) for part in ("train", "test")}
    arrays |= {f"{part}_labels": draw.integers(0, 10, (80, 2)) for part in ("train", "test")}
    np.savez(tmp_path / "set.npz", **arrays)
    options = dict(experiment="multimnist", network="mlp", epochs=1, batch_size=20)
    options["published"] = str(tmp_path / "set.npz")
    with pytest.raises(ValueError, match=r"holds \(60, 20, 80\). Give these"):
        launch(out=tmp_path / "run", **options, n_val=20, **QUIET)
    run = launch(out=tmp_path / "run", **options, n_train=60, n_val=20, n_test=80, **QUIET)
    assert len(run.accuracies) == 1
    assert "converted from a published pickle" in (tmp_path / "run" / "run.json").read_text()
    with pytest.raises(ValueError, match="expected none: the labels"):
        launch(out=tmp_path / "run", **options, label_noise=0.4, **QUIET)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_stops(number, code, tmp_path, finished):
    command = [sys.executable, "-m", "flatmtl_lite", *words(tmp_path, epochs=400, checkpoint_seconds=1000)]
    process = subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "go on with --resume. The last good checkpoint is" in said
    saved = next((tmp_path / "checkpoints").glob("*.pt"))
    epochs, steps = re.search(r"epoch-(\d+).step-(\d+)", saved.name).groups()
    assert f"Stopped after step {3 * int(epochs) + int(steps)} of 1200" in said


def test_a_file_size_limit_is_a_full_disk(tmp_path):
    """The real error of the system, not a played one."""
    resource = pytest.importorskip("resource")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    command = [sys.executable, "-m", "flatmtl_lite", *words(tmp_path, checkpoint_seconds=0), "--threads", "1"]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1
    assert "could not be written: [Errno 27] File too large" in done.stderr
    assert "There is no checkpoint yet" in done.stderr
    assert not list(tmp_path.rglob("*.part*"))


def interrupted(folder, monkeypatch):
    """The two checkpoints of the run ``finished``, which ended after five steps of six."""
    stop_after(monkeypatch, 5)
    with pytest.raises(InterruptedError):
        launch(out=folder, snapshot_every=2, **OPTIONS, **QUIET)
    monkeypatch.undo()
    return sorted((folder / "checkpoints").glob("*.pt"))


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def stop_after(monkeypatch, steps, what=None):
    """Let a run end, or something happen, before that many steps are done; as a crash, nothing is tidied."""
    step = Trainer._step

    def counted(trainer, batch):
        if trainer.done == steps - (what is not None):
            if what is None:
                raise InterruptedError
            what()
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "_step", counted)


def assert_same_run(one, other):
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    logs = [[{k: v for k, v in e.items() if k != "seconds"} for e in run.log] for run in (one, other)]
    assert logs[0] == logs[1]
