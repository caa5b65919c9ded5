"""Starting and stopping runs: folders, signals, and every way in which a run can go wrong."""

import errno
import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest
import torch

from flatmtl_lite import files
from flatmtl_lite.__main__ import main
from flatmtl_lite.runs import Config, Run, RunError, RunFolder, launch
from flatmtl_lite.runs.engine.folder import InUse
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.experiments.multimnist import MultiMnist
from flatmtl_lite.runs.report.read import read_runs
from tests.runs import children
from tests.runs.children import few_measures

pytestmark = pytest.mark.usefixtures("narrow")

OPTIONS = dict(
    **dict(experiment="multimnist", network="mlp", sample=True, n_train=96, n_val=40, n_test=40),
    **dict(epochs=2, batch_size=32, method="f-mean", evaluate_every=2),
)
QUIET = dict(checkpoint_seconds=0, progress=False)


@pytest.fixture
def quick(monkeypatch):
    """The final measures are few in tests of something else."""
    monkeypatch.setattr(ImageTasks, "measure", few_measures)


def words(out, **more):
    """The options as words of the command line."""
    options = {k: v for k, v in (OPTIONS | more).items() if k != "experiment"} | {"out": out}
    flags = [["--" + k.replace("_", "-"), *([] if v is True else [str(v)])] for k, v in options.items()]
    return ["train", "multimnist", *(word for flag in flags for word in flag)]


@pytest.fixture(scope="module")
def shares():
    """What on_epoch of the run ``finished`` was told."""
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, narrow, shares):
    folder = tmp_path_factory.mktemp("finished")
    launch(out=folder, snapshot_every=2, on_epoch=lambda run, share: shares.append(share), **OPTIONS, **QUIET)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, narrow):
    """A run with few measures, for comparison with runs that were interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageTasks, "measure", few_measures)
        return launch(out=tmp_path_factory.mktemp("undisturbed"), **OPTIONS, **QUIET)


def test_a_finished_run_says_what_it_was_and_what_came_out(finished):
    result = json.loads((finished / "result.json").read_text())
    assert result["finished"] is True
    run = json.loads((finished / "run.json").read_text())
    assert {key: result[key] for key in run} == run
    assert run["config"]["method"] == "f-mean"
    assert run["settings"]["n_train"] == 96
    assert run["parameters"] == (36 * 36 + 1) * 16 + 17 * 16 + 2 * 17 * 10
    assert run["task_names"] == ["digit", "garment"]
    assert set(run["about"]) == {"command", "date", "machine", "data", "data_hash", "versions"}
    assert run["about"]["versions"]["torch"] == torch.__version__
    assert run["about"]["versions"]["code"].startswith("flatmtl-lite ")
    assert len(run["about"]["data_hash"]) == 64
    assert run["about"]["command"] == "flatmtl_lite.runs.launch(...)"
    assert result["final"]["epoch"] == 2
    assert set(result["final"]["test"]) == {"accuracy", "nll", "ece", "brier"}
    assert result["picked"]["score"]["val"] >= result["final"]["score"]["val"]
    assert result["best_test"]["score"]["test"] >= result["picked"]["score"]["test"]
    assert len(result["measures"]["top_eigenvalue"]) == 2
    assert len(result["measures"]["reliability"][0]["count"]) == 10
    assert set(result["measures"]["entropy"]) == {"edges", "in domain", "mnist", "fashion"}
    assert len(result["measures"]["slices"]["line"]["losses"]) == 21
    assert len(result["last_snapshot"]["gramians"]) == len(result["last_snapshot"]["rho"])


def test_the_report_reads_every_line_that_a_run_writes(finished):
    runs, left_out = read_runs(finished)
    assert left_out == []
    lines = (finished / "log.jsonl").read_text().splitlines()
    assert runs[0].log() == [json.loads(line) for line in lines]


def test_the_share_of_epochs_done_is_told(finished, shares):
    assert shares == [0.5, 1.0]


def test_the_log_has_every_kind_of_entry(finished):
    entries = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    by_kind = {kind: [e for e in entries if e["kind"] == kind] for kind in {e["kind"] for e in entries}}
    assert {kind: len(group) for kind, group in by_kind.items()} == {
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


def test_the_entry_of_an_epoch_sums_up_its_steps(tmp_path, quick, monkeypatch):
    losses = []
    step = Trainer._step
    monkeypatch.setattr(
        Trainer, "_step", lambda trainer, batch: losses.append(step(trainer, batch)) or losses[-1]
    )
    run = launch(out=tmp_path, log_every=2, **OPTIONS, **QUIET)
    first, second = run.entries("epoch")
    assert first["losses"] == pytest.approx(torch.stack(losses[:3]).mean(0).tolist(), rel=1e-5)
    assert second["losses"] == pytest.approx(torch.stack(losses[3:]).mean(0).tolist(), rel=1e-5)
    assert [entry["step"] for entry in run.measured_steps] == [0, 2, 4]
    for part in ("loss", "flat", "intra"):
        histogram = first["histograms"][part]
        assert first["conflict"][part] == pytest.approx(sum(histogram[:10]) / sum(histogram), abs=1e-6)


def test_a_configuration_is_made_and_checked_once(tmp_path, quick, monkeypatch):
    made = []
    check = Config.__post_init__
    monkeypatch.setattr(Config, "__post_init__", lambda config: made.append(config) or check(config))
    launch(out=tmp_path, **OPTIONS, **QUIET)
    assert len(made) == 1


def test_a_run_that_is_finished_is_loaded_and_not_repeated(finished):
    before = (finished / "result.json").stat().st_mtime_ns
    run = launch(out=finished, resume=True, **OPTIONS, **QUIET)
    assert isinstance(run, Run)
    assert run.accuracies[-1]["epoch"] == 2
    saved = torch.load(next((finished / "checkpoints").glob("epoch-00002.*")), weights_only=True)
    assert all(torch.equal(value, saved["model"][name]) for name, value in run.model.state_dict().items())
    assert (finished / "result.json").stat().st_mtime_ns == before


def test_a_folder_is_one_runs(finished, tmp_path):
    with pytest.raises(
        RunError, match=r"holds a run; expected a new folder. Go on with that run by --resume"
    ):
        launch(out=finished, **OPTIONS, **QUIET)
    with pytest.raises(RunError, match=r"method is 'f-mean' there and 'mean' here; lr is 0.05 there and 0.1"):
        launch(out=finished, resume=True, **OPTIONS | {"method": "mean", "lr": 0.1}, **QUIET)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"holds thesis.tex and no run.json"):
        launch(out=tmp_path, resume=True, **OPTIONS, **QUIET)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_options_that_are_not_given_are_the_runs_own(finished):
    config = launch("multimnist", finished, resume=True, **QUIET).config
    assert (config.method, config.snapshot_every) == ("f-mean", 2)


def test_a_run_may_go_on_with_other_workers(undisturbed, tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist", workers=3)
    assert run.config.workers == 3
    assert_same_run(run, undisturbed)
    with pytest.raises(RunError, match="channels_last is True there and False here"):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist", channels_last=False)


def test_two_processes_in_one_folder_are_refused(tmp_path, quick):
    folder = RunFolder(tmp_path)
    folder.take()
    with pytest.raises(InUse, match="is used by a run that is going on"):
        launch(out=tmp_path, **OPTIONS, **QUIET)
    folder.release()
    launch(out=tmp_path, **OPTIONS, **QUIET)


def test_a_folder_is_kept_from_the_first_look_on(tmp_path, quick, monkeypatch):
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


def test_a_process_that_was_killed_at_the_very_start_is_no_obstacle(tmp_path, quick):
    (tmp_path / "lock").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-00000.step-000001.abc.pt.part").write_bytes(b"half")
    (tmp_path / "log.jsonl").write_text('{"kind": "step", "st')
    launch(out=tmp_path, resume=True, **OPTIONS, **QUIET)
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(undisturbed, tmp_path, capsys, monkeypatch):
    before, newest = interrupted(tmp_path, monkeypatch)
    damage(newest)
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    said = capsys.readouterr().err
    assert f"{newest.name} is damaged and cannot be used: trying the one before" in said
    assert newest.with_name(newest.name + ".damaged").exists()
    assert_same_run(run, undisturbed)
    assert before.name.startswith("epoch-00001.step-000001")
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == run.log


def test_without_any_whole_checkpoint_a_run_starts_again(undisturbed, tmp_path, capsys, monkeypatch):
    for path in interrupted(tmp_path, monkeypatch):
        damage(path)
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    assert "starting from the beginning" in capsys.readouterr().err
    assert_same_run(run, undisturbed)


def test_a_changed_log_stops_and_changes_nothing(tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text().replace("step", "stop", 1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"log.jsonl has changed since epoch-00001.step-000002"):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("harm", ["damaged", "earlier"])
def test_the_log_of_a_finished_run_outlives_its_checkpoints(finished, tmp_path, harm):
    shutil.copytree(finished, tmp_path / "copy")
    log = (finished / "log.jsonl").read_bytes()
    newest = next((tmp_path / "copy" / "checkpoints").glob("epoch-00002*"))
    damage(newest) if harm == "damaged" else newest.unlink()
    for _ in range(2):
        with pytest.raises(RunError, match="its last checkpoint is gone or damaged"):
            launch(out=tmp_path / "copy", resume=True, **QUIET, experiment="multimnist")
        assert (tmp_path / "copy" / "log.jsonl").read_bytes() == log
        shutil.rmtree(tmp_path / "copy" / "checkpoints", ignore_errors=True)


def test_a_run_goes_on_with_the_data_it_began_with(tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    build = MultiMnist.experiment
    monkeypatch.setattr(MultiMnist, "experiment", lambda *a: (build(*a)[0], "other images"))
    with pytest.raises(RunError, match=r"began with other data: .* there and 'other images' here"):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda known: known["config"].update(warmup=3), "a run of another version: warmup is unknown here"),
        (lambda known: known.pop("settings"), "run.json has no settings"),
    ],
)
def test_a_run_of_another_version_is_refused(edit, message, tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    known = json.loads((tmp_path / "run.json").read_text())
    edit(known)
    (tmp_path / "run.json").write_text(json.dumps(known))
    with pytest.raises(RunError, match=message):
        launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")


def edit(folder, change):
    """Change the content of run.json; return everything in the folder, to see that nothing else changes."""
    description = json.loads((folder / "run.json").read_text())
    change(description)
    (folder / "run.json").write_text(json.dumps(description))
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run["config"].update(epochs=3), "epochs is 2 in the checkpoint and 3 in run.json"),
        (
            lambda run: run["config"].pop("norm"),
            "norm is 'separate' in the checkpoint and missing in run.json",
        ),
        (lambda run: run["settings"].update(n_train=128), "n_train is 96 in the checkpoint and 128"),
        (lambda run: run.update(task_names=["a", "b"]), r"task_names is \['digit', 'garment'\] in the"),
        (
            lambda run: run["config"].update(lr=0.1, seed=5),
            "lr is 0.05 in the checkpoint and 0.1 in run.json; seed is 0 in the checkpoint and 5 in run.json",
        ),
    ],
)
@pytest.mark.parametrize("is_finished", [False, True])
def test_settings_that_were_edited_are_refused(change, message, is_finished, finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    if is_finished:
        shutil.copytree(finished, folder)
    else:
        interrupted(folder, monkeypatch)
        with (folder / "log.jsonl").open("a") as log:
            log.write('{"kind": "step"}\n')  # is cut off when a run goes on, but not before
    before = edit(folder, change)
    build = MultiMnist.experiment
    built = []
    monkeypatch.setattr(MultiMnist, "experiment", lambda *a: built.append(a) or build(*a))
    with pytest.raises(RunError, match=message + ".*Put .* back"):
        launch("multimnist", folder, resume=True, **QUIET)
    assert built == []
    (folder / "lock").touch()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before | {
        folder / "lock": b""
    }


def test_settings_are_compared_with_the_checkpoint_that_is_used(undisturbed, tmp_path, monkeypatch, capsys):
    _, newest = interrupted(tmp_path, monkeypatch)
    damage(newest)
    edit(tmp_path, lambda run: run["config"].update(epochs=3))
    with pytest.raises(RunError, match="epochs is 2 in the checkpoint and 3"):
        launch("multimnist", tmp_path, resume=True, **QUIET)
    assert newest.exists()
    edit(tmp_path, lambda run: run["config"].update(epochs=2))
    assert_same_run(launch("multimnist", tmp_path, resume=True, **QUIET), undisturbed)


def test_a_checkpoint_of_an_earlier_version_is_used_without_its_settings(undisturbed, tmp_path, monkeypatch):
    settings = []
    save = torch.save

    def without_settings(state, file):
        settings.append(state.pop("made_with", None))
        save(state, file)

    monkeypatch.setattr(torch, "save", without_settings)
    stop_after(monkeypatch, 5)
    with pytest.raises(InterruptedError):
        launch(out=tmp_path, **OPTIONS, **QUIET)
    monkeypatch.undo()
    monkeypatch.setattr(ImageTasks, "measure", few_measures)
    assert settings[0]["config"]["epochs"] == 2
    assert_same_run(launch("multimnist", tmp_path, resume=True, **QUIET), undisturbed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"run.json cannot be read: it is damaged \(Expecting value"),
        ("[1, 2]", "run.json cannot be read: it is damaged: it does not hold a JSON object"),
        ("null", "run.json cannot be read: it is damaged: it does not hold a JSON object"),
        ({"settings": None}, "run.json has settings = null; expected an object"),
        ({"settings": ["a"]}, r'run.json has settings = \["a"\]; expected an object'),
        ({"config": 3}, "run.json has config = 3; expected an object"),
        ({"about": None}, "run.json has about = null; expected an object"),
        ({"experiment": None}, "run.json has experiment = null; expected a string"),
        ({"experiment": "mnist"}, "experiment 'mnist' is unknown here"),
        ({"processes": "one"}, 'run.json has processes = "one"; expected a whole number'),
        ({"config": {"lr": "fast"}}, "run.json.*Got lr='fast'; expected a number"),
        ({"settings": {"tasks": 5}}, "run.json.*Got tasks=5; expected two to eight"),
        ({"settings": {"lr": 0.1}}, "lr is unknown here"),
    ],
)
def test_a_run_json_of_another_form_is_named(text, message, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    if isinstance(text, dict):
        text = json.dumps(json.loads(file.read_text()) | text)
    file.write_text(text)
    with pytest.raises(RunError, match=message):
        launch("multimnist", tmp_path / "run", resume=True, **QUIET)
    assert file.read_text() == text


@pytest.mark.parametrize("line", ['{"kind": "st', "[1]"])
def test_a_damaged_log_of_a_finished_run_is_named(line, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write(line + "\n")
    with pytest.raises(RunError, match=r"log.jsonl, line \d+, is damaged"):
        launch("multimnist", tmp_path / "run", resume=True, **QUIET)
    (tmp_path / "run" / "log.jsonl").unlink()
    with pytest.raises(RunError, match=r"log.jsonl has changed"):
        launch("multimnist", tmp_path / "run", resume=True, **QUIET)


@pytest.mark.parametrize("name", [".DS_Store", "._run.json", "Thumbs.db", "desktop.ini"])
def test_files_of_the_system_do_not_make_a_folder_strange(name, tmp_path):
    (tmp_path / name).touch()
    folder = RunFolder(tmp_path)
    folder.take()
    folder.release()
    assert (tmp_path / name).exists()


def test_a_file_that_only_looks_like_a_checkpoint_is_left_alone(undisturbed, tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    note = tmp_path / "checkpoints" / "epoch-best.step-last.pt"
    note.write_text("mine")
    assert_same_run(launch("multimnist", tmp_path, resume=True, **QUIET), undisturbed)
    assert note.read_text() == "mine"


def test_a_resumed_run_is_still_what_it_began_as(finished, tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    began = json.loads((tmp_path / "run.json").read_text())
    began["about"]["command"] = "as it was typed"
    (tmp_path / "run.json").write_text(json.dumps(began))
    launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    result = json.loads((tmp_path / "result.json").read_text())
    about = result["about"]
    assert {key: result[key] for key in began} == began | {"about": about}
    (resumed,) = about.pop("resumed")
    assert about == began["about"]
    assert (resumed["epoch"], resumed["step"]) == (1, 2)
    assert resumed["command"] == "flatmtl_lite.runs.launch(...)"
    assert resumed["machine"] == about["machine"]


def test_a_full_disk_leaves_the_checkpoints_there_were(undisturbed, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    stop_after(monkeypatch, 4, lambda: monkeypatch.setattr(files.os, "fsync", full))
    message = r"could not be written: .*No space left.*Free some space and go on with --resume"
    with pytest.raises(RunError, match=message + r".* The last good checkpoint is .*epoch-00000.step-000003"):
        launch(out=tmp_path, **OPTIONS, **QUIET)
    monkeypatch.undo()
    monkeypatch.setattr(ImageTasks, "measure", few_measures)
    assert not list(tmp_path.rglob("*.part"))
    run = launch(out=tmp_path, resume=True, **QUIET, experiment="multimnist")
    assert_same_run(run, undisturbed)


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


def test_micro_batches_make_the_same_batch(tmp_path, undisturbed, quick):
    parts = launch(out=tmp_path, **OPTIONS, micro_batches=4, **QUIET)
    for a, b in zip(parts.model.parameters(), undisturbed.model.parameters(), strict=True):
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


def test_a_published_set_is_trained_on(tmp_path, quick):
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
def test_a_signal_saves_and_stops(number, code, tmp_path):
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    process = children.start(children.command, words(folder, epochs=4000, checkpoint_seconds=1000), output)
    while not (folder / "log.jsonl").exists():
        assert process.is_alive(), output.read_text()
        time.sleep(0.02)
    os.kill(process.pid, number)
    assert children.join_all([process]) == [code]
    assert "go on with --resume. The last good checkpoint is" in output.read_text()
    saved = next((folder / "checkpoints").glob("*.pt"))
    epochs, steps = re.search(r"epoch-(\d+).step-(\d+)", saved.name).groups()
    assert f"Stopped after step {3 * int(epochs) + int(steps)} of 12000" in output.read_text()


def test_a_file_size_limit_is_a_full_disk(tmp_path):
    """The real error of the system, not a played one."""
    pytest.importorskip("resource")
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    process = children.start(children.command, words(folder, checkpoint_seconds=0), output, 100_000)
    assert children.join_all([process]) == [1]
    assert "could not be written: [Errno 27] File too large" in output.read_text()
    assert "There is no checkpoint yet" in output.read_text()
    assert not list(folder.rglob("*.part*"))


def interrupted(folder, monkeypatch):
    """The two checkpoints of the run ``undisturbed`` that ended after five steps of six."""
    stop_after(monkeypatch, 5)
    with pytest.raises(InterruptedError):
        launch(out=folder, **OPTIONS, **QUIET)
    monkeypatch.undo()
    monkeypatch.setattr(ImageTasks, "measure", few_measures)
    return sorted((folder / "checkpoints").glob("*.pt"))


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def stop_after(monkeypatch, steps, what=None):
    """Let a run end, or something happen, before that many steps are done; as a crash, nothing is tidied."""
    step = Trainer._step

    def counted(trainer, batch):
        if trainer.steps_done == steps - (what is not None):
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
