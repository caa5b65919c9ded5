"""Scenes on the run engine: trained, resumed, judged and measured, from a folder or from a rendering."""

import copy
import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
from functools import partial

import numpy as np
import pytest
import torch

from flatmtl_lite.__main__ import main
from flatmtl_lite.runs import HIGHER_IS_BETTER, Config, Scenes, encoder_decoder, launch, mtan, scene_batches
from flatmtl_lite.runs.engine.experiment import NonFiniteOutput
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments import scenes
from flatmtl_lite.runs.experiments.registry import EXPERIMENTS, read_options
from flatmtl_lite.runs.experiments.scenes import (
    SCENE_NETWORKS,
    SceneTasks,
    held_out,
    log_loss_score,
    nyuv2_score,
)
from flatmtl_lite.runs.report.write import write_report
from flatmtl_lite.runs.rooms import ensure_rooms, write_rooms

SIZE = dict(height=32, width=48)
TINY = dict(**SIZE, n_train=8, n_val=4, n_test=6, batch_size=4, epochs=2, rho=0.05)
SMALL = partial(encoder_decoder, widths=(8, 16))
SMALL_MTAN = partial(mtan, widths=(4, 8))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "rooms-32x48"
    write_rooms(folder, train=12, val=6, **SIZE)
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch, root):
    monkeypatch.setitem(SCENE_NETWORKS, "encoder_decoder", SMALL)
    monkeypatch.setitem(SCENE_NETWORKS, "mtan", SMALL_MTAN)
    monkeypatch.setenv("FLATMTL_DATA", str(root.parent))


@pytest.fixture
def quick(monkeypatch):
    """There are no final measures in tests of something else."""
    monkeypatch.setattr(SceneTasks, "measure", lambda experiment, model: {})


@pytest.fixture
def nyuv2(root, tmp_path):
    """Scenes in MTAN's layout that nothing says to be rooms."""
    folder = tmp_path / "nyuv2"
    for split in ("train", "val"):
        shutil.copytree(root / split, folder / split)
    return folder


def tasks(root, network=SMALL, **options):
    train, val = held_out(Scenes(root), 8, 4)
    return SceneTasks(train, val, Scenes(root, "val"), network, log_loss_score, measured=2, **options)


def without_times(entries):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


@pytest.mark.parametrize(("method", "network"), [("f-cagrad", SMALL), ("stl", SMALL), ("f-mean", SMALL_MTAN)])
def test_from_every_pause_a_run_goes_on_to_the_same_bits(method, network, root):
    config = Config(method=method, rho=0.05, epochs=2, batch_size=4, micro_batches=2, norm="separate")

    def trainer():
        return Trainer(tasks(root, network), config)

    whole = trainer()
    pauses = [(copy.deepcopy(whole.state_dict()), list(whole.run.log)) for _ in whole.advance()]
    assert len(pauses) == 2 * (2 + 1)
    for state, log in pauses[1 :: 1 if network is SMALL else 2]:
        other = trainer()
        other.load_state_dict(state, log)
        for _ in other.advance():
            pass
        for a, b in zip(whole.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)
        assert without_times(other.run.log) == without_times(whole.run.log)


def test_workers_change_no_bit_of_a_run(root):
    runs = []
    for workers in (0, 2):
        config = Config("f-mean", epochs=1, batch_size=4, workers=workers)
        trainer = Trainer(tasks(root), config)
        assert trainer.experiment.workers == workers
        for _ in trainer.advance():
            pass
        runs.append(trainer)
    for a, b in zip(*(run.model.parameters() for run in runs), strict=True):
        assert torch.equal(a, b)
    assert without_times(runs[0].run.log) == without_times(runs[1].run.log)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_layout_of_weights_images_and_features_is_an_option(root, channels_last):
    layouts = [torch.contiguous_format, torch.channels_last]
    experiment = tasks(root)
    trainer = Trainer(experiment, Config("mean", batch_size=4, channels_last=channels_last))
    weight = next(p for p in trainer.model.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1)
    [batch] = experiment.batches(0, [torch.arange(4)])
    features = trainer.model.trunk(batch["image"])
    for tensor in (weight, batch["image"], features, experiment._snapshot_scenes["image"]):
        assert tensor.is_contiguous(memory_format=layouts[channels_last])
        assert not tensor.is_contiguous(memory_format=layouts[not channels_last])


def test_batches_are_augmented_by_seed_and_epoch_and_begin_anywhere(root):
    order = list(torch.arange(8).split(4))

    def images(experiment, epoch, start=0):
        return [batch["image"] for batch in experiment.batches(epoch, order[start:])]

    one = images(tasks(root, seed=1), 0)
    assert torch.equal(one[1], images(tasks(root, seed=1), 0, start=1)[0])
    assert not torch.equal(one[0], images(tasks(root, seed=1), 1)[0])
    assert not torch.equal(one[0], images(tasks(root, seed=2), 0)[0])
    plain = images(tasks(root, augment=False), 0)
    assert torch.equal(plain[1][3], Scenes(root)[7]["image"])
    assert all(map(torch.equal, plain, images(tasks(root, augment=False), 1)))


@pytest.mark.parametrize("single_task", [False, True])
def test_a_network_is_judged_on_scenes_it_was_not_trained_on(root, single_task):
    experiment = tasks(root)
    torch.manual_seed(0)
    model = experiment.network(single_task)
    metrics = experiment.evaluate(model)
    assert set(metrics) == {"val", "test", "score"}
    for split in ("val", "test"):
        assert set(metrics[split]) == {*HIGHER_IS_BETTER, "loss"}
        assert metrics["score"][split] == pytest.approx(
            -100 * sum(map(math.log, metrics[split]["loss"])) / 3, abs=1e-3
        )
    # the depth loss is a mean over scenes, the error one over pixels, of which scenes know more or fewer
    assert metrics["test"]["loss"][1] == pytest.approx(metrics["test"]["abs_err"], rel=0.05)
    experiment.train = None
    assert experiment.evaluate(model) == metrics
    assert model.training


def test_validation_scenes_are_the_ones_after_the_training_scenes():
    train, val = held_out(range(10), 6, 3)
    assert (list(train), list(val)) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    train, val = held_out(range(10), 10, 0)
    assert (len(train), len(val)) == (10, 0)
    for numbers in ((8, 3), (11, 0), (0, 5), (5, -1)):
        with pytest.raises(ValueError, match="no more than the 10"):
            held_out(range(10), *numbers)


def test_the_score_on_nyuv2_is_minus_the_change_against_the_published_networks():
    cagrad = (0.3979, 0.6549, 0.5486, 0.2250, 26.31, 21.58, 0.2561, 0.5236, 0.6558)
    assert nyuv2_score(dict(zip(HIGHER_IS_BETTER, cagrad))) == pytest.approx(-0.20, abs=0.01)


def test_scenes_of_which_nothing_is_known_are_refused(root):
    experiment = tasks(root)
    experiment.splits["val"] = [Scenes(root)[0] | {"depth": torch.zeros(1, 32, 48)}]
    with pytest.raises(ValueError, match="Got no known pixel for abs_err, rel_err in the val scenes"):
        experiment.evaluate(experiment.network())


@pytest.mark.parametrize(
    ("part", "bias", "name"),
    [
        ("label", math.nan, "a largest label logit"),
        ("depth", math.inf, "a predicted depth"),
        ("normal", -math.inf, "a predicted normal"),
    ],
)
def test_a_network_that_returns_no_numbers_is_refused(root, part, bias, name):
    experiment = tasks(root)
    model = experiment.network()
    head = model.heads[experiment.task_names.index(part)]
    torch.nn.init.constant_([p for p in head.parameters() if p.ndim == 1][-1], bias)
    with pytest.raises(NonFiniteOutput, match=f"Got {name} of "):
        experiment.evaluate(model)


def test_an_infinite_loss_is_refused_and_a_loss_of_zero_has_a_score(root, monkeypatch):
    experiment = tasks(root)
    model = experiment.network()
    monkeypatch.setitem(scenes.LOSSES, "depth", lambda pred, depth: torch.tensor(math.inf))
    with pytest.raises(NonFiniteOutput, match="Got an infinite loss on the val scenes"):
        experiment.evaluate(model)
    monkeypatch.setitem(scenes.LOSSES, "depth", lambda pred, depth: torch.tensor(0.0))
    assert 500 < experiment.evaluate(model)["score"]["test"] < math.inf


def test_snapshot_and_measures_leave_no_trace(root):
    experiment = tasks(root)
    model = experiment.network()
    before = copy.deepcopy(model.state_dict())
    snapshot, measures = experiment.snapshot(model), experiment.measure(model)
    assert np.shape(snapshot["gramians"]) == (len(snapshot["rho"]), 6, 6)
    assert np.shape(snapshot["sharpness"]) == (len(snapshot["rho"]), 3)
    assert len(measures["top_eigenvalue"]) == 3
    assert np.shape(measures["slices"]["plane"]["losses"]) == (11, 11, 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_single_task_twins_are_measured_side_by_side(root):
    experiment = tasks(root)
    snapshot = experiment.snapshot(experiment.network(single_task=True))
    assert "gramians" not in snapshot
    assert np.shape(snapshot["perturbed_losses"]) == (len(snapshot["rho"]), 3)


# the command line ----------------------------------------------------------------------------------------


def words(folder, **options):
    given = {**TINY, **options}
    options = (w for k, v in given.items() for w in (f"--{k.replace('_', '-')}", str(v)))
    return ["--out", str(folder), *options]


def test_rooms_are_trained_from_the_command_line(tmp_path, quick):
    train = ["train", "rooms", *words(tmp_path, method="f-cagrad"), "--device", "cpu"]
    assert main(train) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["config"]["norm"] == "separate"
    assert result["task_names"] == ["label", "depth", "normal"]
    assert "synthetic rooms" in result["about"]["data"]
    assert result["final"]["test"].keys() == {*HIGHER_IS_BETTER, "loss"}
    assert main([*train, "--resume"]) == 0
    drawn = []
    assert "miou" in write_report(tmp_path, lambda runs, text, folder: drawn.extend(runs))
    assert len(drawn[0]["log"]) == len((tmp_path / "log.jsonl").read_text().splitlines()) > 0


def test_a_setting_that_was_given_stays_when_the_run_goes_on(tmp_path, quick):
    launch("rooms", tmp_path, norm="together", progress=False, **TINY)
    assert launch("rooms", tmp_path, resume=True, progress=False).config.norm == "together"


def test_plan_and_sweep_know_scenes(tmp_path, capsys, monkeypatch):
    assert main(["plan", "rooms", *words(tmp_path)[2:], "--device", "cpu"]) == 0
    assert "a step" in capsys.readouterr().out
    started = []
    monkeypatch.setattr("flatmtl_lite.commands.sweep.run_here", lambda jobs, *_, **more: started.extend(jobs))
    sweep = ["sweep", "rooms", "--methods", "stl", "f-mean", "--rhos", "0.1", "--out", str(tmp_path)]
    assert main([*sweep, "--preset", "demo", "--no-augment"]) is None
    assert [job.name for job in started][:2] == ["stl/seed0", "f-mean/rho0.1/seed0"]
    assert main([*sweep, "--norm", "alone"]) == 2


def test_rooms_are_drawn_from_the_command_line(tmp_path, capsys):
    draw = ["rooms", str(tmp_path / "new"), "--train", "2", "--val", "1", "--height", "16", "--width", "16"]
    assert main(draw) == 0
    assert "3 written" in capsys.readouterr().out
    assert main([*draw, "--seed", "5"]) == 1
    assert "holds synthetic rooms with seed=0" in capsys.readouterr().err
    assert main(["rooms", str(tmp_path / "other"), "--train", "-1"]) == 2


def test_rooms_are_drawn_once_and_never_fewer(tmp_path):
    ensure_rooms(tmp_path / "rooms", 2, 1, 16, 16)
    first = (tmp_path / "rooms" / "train" / "image" / "0.npy").stat().st_mtime_ns
    ensure_rooms(tmp_path / "rooms", 1, 2, 16, 16)
    assert (len(Scenes(tmp_path / "rooms")), len(Scenes(tmp_path / "rooms", "val"))) == (2, 2)
    assert (tmp_path / "rooms" / "train" / "image" / "0.npy").stat().st_mtime_ns == first


def test_a_folder_of_rooms_may_be_named(tmp_path, root, quick):
    run = launch("rooms", tmp_path, data=root, progress=False, **TINY)
    assert run.entries("evaluation")


def test_nyuv2_is_trained_where_it_lies(nyuv2, tmp_path, quick):
    options = dict(n_val=4, epochs=1, batch_size=2, method="f-mgda", progress=False)
    run = launch("nyuv2", tmp_path / "run", data=nyuv2.parent, **options)
    assert run.config.lr == 1e-4
    assert run.entries("evaluation")[-1]["score"]["test"] < 0
    settings = EXPERIMENTS["nyuv2"].settings(n_val=4)
    origins = [settings.experiment(0, "cpu", folder)[1] for folder in (nyuv2, nyuv2.parent)]
    assert origins == ["NYUv2: 8 training, 4 validation and 6 test scenes"] * 2


def test_without_validation_every_scene_of_nyuv2_trains_and_nothing_is_picked(nyuv2, tmp_path, quick, capsys):
    options = dict(n_val=0, epochs=11, batch_size=6, method="f-mgda", evaluate_every=1)
    run = launch("nyuv2", tmp_path / "run", data=nyuv2.parent, **options)
    assert "test -" in capsys.readouterr().err  # the line of an evaluation
    assert {"val", "test"} & run.entries("evaluation")[-1].keys() == {"test"}
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["about"]["data"] == "NYUv2: 12 training, 0 validation and 6 test scenes"
    assert result["picked"] is None
    scores = [entry["score"]["test"] for entry in run.entries("evaluation")]
    assert result["last_ten"]["score"]["test"] == pytest.approx(sum(scores[1:]) / 10)
    assert "### Next to Tables 3 and 7 of the paper" in write_report(tmp_path)


def test_bad_data_are_named(root, nyuv2, tmp_path, capsys):
    out = ["--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main(["train", "nyuv2", *out, "--data", str(tmp_path / "nowhere")]) == 1
    assert "expected NYUv2 as MTAN distributes it" in capsys.readouterr().err
    assert main(["train", "nyuv2", *out, "--data", str(root)]) == 2
    assert "holds synthetic rooms" in capsys.readouterr().err
    assert main(["train", "nyuv2", *out, "--data", str(nyuv2), "--n-val", "12"]) == 2
    assert "Got n_val=12 for the 12 scenes of" in capsys.readouterr().err
    assert main(["train", "rooms", *out, "--network", "mtam"]) == 2
    assert "mtan" in capsys.readouterr().err
    other = tmp_path / "rooms-32x48"
    shutil.copytree(nyuv2, other)
    assert main(["train", "rooms", *words(tmp_path / "run"), "--data", str(tmp_path)]) == 1
    assert "not a folder of synthetic rooms" in capsys.readouterr().err
    (nyuv2 / "train" / "depth" / "3.npy").write_bytes(b"torn")
    assert main(["train", "nyuv2", *out, "--data", str(nyuv2), "--n-val", "4", "--batch-size", "2"]) == 2
    assert "3.npy, which cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("name", ["rooms", "nyuv2"])
def test_scenes_take_the_published_two_norms(name):
    for preset in EXPERIMENTS[name].presets:
        config = read_options(name, preset, {}).config
        assert (config.norm, config.optimizer) == ("separate", "adam")


@pytest.mark.skipif(sys.platform != "linux", reason="the loaders are forked there alone")
def test_a_signal_to_the_group_leaves_the_loaders_at_work(root):
    """A cluster signals every process of a run; the training process alone decides when its loaders end."""
    scenes, order = Scenes(root, "train"), [torch.tensor([k % 2]) for k in range(8)]
    whole = list(scene_batches(scenes, order))
    batches = scene_batches(scenes, order, workers=2)
    seen = [next(batches), next(batches)]  # so both loaders are at work
    children = multiprocessing.active_children()
    assert len(children) >= 2
    for child in children:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(child.pid, number)
    seen += list(batches)
    for one, other in zip(seen, whole, strict=True):
        assert all(torch.equal(one[part], other[part]) for part in other)
