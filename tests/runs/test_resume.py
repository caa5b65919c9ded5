"""A run that is killed, damaged or interrupted goes on, and ends as if nothing had happened."""

import copy
import hashlib
import json
import os
import random
import signal
import time

import pytest
import torch

from flatmtl_lite.runs import Config, fashion_and_mnist, launch
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments import multimnist
from flatmtl_lite.runs.experiments.images import ImageTasks
from tests.runs import children

SMALL = dict(
    **dict(experiment="multimnist", network="mlp", sample=True, n_train=160, n_val=40, n_test=40),
    **dict(epochs=3, batch_size=32, evaluate_every=2, snapshot_every=0, checkpoint_seconds=0, progress=False),
)
KILLS = int(os.environ.get("FLATMTL_KILLS", 2))  # for each run; more of them: CONTRIBUTING.md


def start(folder, method):
    return children.start(children.train_narrow, folder, {"method": method, **SMALL})


def weights(folder):
    """Hash of the weights of the newest checkpoint."""
    saved = sorted((folder / "checkpoints").glob("*.pt"))[-1]
    model = torch.load(saved, weights_only=True)["model"]
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.values())).hexdigest()


def without_times(entries):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def log(folder):
    """The lines of the log, without the times."""
    return without_times(map(json.loads, (folder / "log.jsonl").read_text().splitlines()))


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=100, n_val=20, n_test=20, sample=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """method -> the folder of a run that nothing disturbed."""
    folders = {}

    def folder_of(method):
        if method not in folders:
            folders[method] = tmp_path_factory.mktemp("whole")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(multimnist, "parse_network", children.narrow_network)
                launch(out=folders[method], method=method, **SMALL)
        return folders[method]

    return folder_of


@pytest.mark.parametrize(
    ("method", "options"),
    [
        *(("f-cagrad", {}), ("rlw", {}), ("sam-mean", {}), ("samo-cagrad", {}), ("gsam-mgda", {})),
        *(("famo", {}), ("lf-cagrad", {}), ("ff-famo", {})),
        *(
            ("samo-mean", {"one_draw": True, "sam_share": 0.5}),
            ("sage-cagrad", {"noise": 0.1}),
            ("noise-mean", {}),
        ),
        *(("f-cagrad", {"flat_every": 3, "flat_tasks": 0.5}), ("f-mean", {"flat_batch": 0.3})),
        *(("sam-mean", {"flat_every": 3}), ("samo-mgda", {"local": "coin"})),
    ],
    ids=str,
)
def test_from_every_pause_a_run_goes_on_to_the_same_bits(method, options, data):
    config = Config(method=method, epochs=2, batch_size=32, micro_batches=2, **options)

    def trainer():
        return Trainer(ImageTasks(data, children.dropping), config)

    whole = trainer()
    pauses = [(copy.deepcopy(whole.state_dict()), list(whole.run.log)) for _ in whole.advance()]
    assert len(pauses) == 2 * (3 + 1)
    for state, log in pauses:
        other = trainer()
        other.load_state_dict(state, log)
        for _ in other.advance():
            pass
        for a, b in zip(whole.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)
        assert without_times(other.run.log) == without_times(whole.run.log)


# a memory of its own, random numbers of its own, learnt scales, and twins
@pytest.mark.parametrize("method", ["f-gradvac", "graddrop", "uw", "f-stl"])
def test_a_run_that_is_killed_again_and_again_ends_as_if_not(method, undisturbed, tmp_path):
    draw = random.Random(method)
    saved = tmp_path / "checkpoints"
    resumed = 0
    for kill in range(KILLS + 1):
        before = set(saved.glob("*.pt"))
        process = start(tmp_path, method)
        if kill < KILLS:
            while process.is_alive() and set(saved.glob("*.pt")) <= before:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.03))  # between or within the next steps, their saving, an evaluation
            process.kill()
        process.join()
        resumed += bool(before)
        if (tmp_path / "result.json").exists():
            break
    assert resumed >= 1
    assert process.exitcode in (0, -signal.SIGKILL)
    assert weights(tmp_path) == weights(undisturbed(method))
    assert log(tmp_path) == log(undisturbed(method))


def test_a_kill_at_any_moment_of_the_start_or_the_end_does_no_harm(undisturbed, tmp_path):
    draw = random.Random(0)
    for _ in range(KILLS):
        process = start(tmp_path, "mean")
        process.join(draw.uniform(0, 2))
        process.kill()
        process.join()
    process = start(tmp_path, "mean")
    assert children.join_all([process]) == [0]
    assert weights(tmp_path) == weights(undisturbed("mean"))
    assert log(tmp_path) == log(undisturbed("mean"))


def test_what_is_drawn_in_a_pause_does_not_change_a_run(data):
    config = Config(method="f-cagrad", epochs=1, batch_size=32)

    def weights_after(pause):
        trainer = Trainer(ImageTasks(data, children.dropping), config)
        for _ in trainer.advance():
            pause()
        return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

    assert torch.equal(weights_after(lambda: None), weights_after(lambda: torch.rand(3)))
