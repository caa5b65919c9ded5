"""Two processes, started as a user starts them: what they train, and that they go on to the bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from flatmtl_lite.runs import launch
from flatmtl_lite.runs.engine.processes import pick_device

OPTIONS = dict(network="mlp", sample=True, n_train=160, n_val=40, n_test=40, method="f-pcgrad", epochs=30)
OPTIONS |= dict(batch_size=32, evaluate_every=15, checkpoint_seconds=0.05)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "flatmtl_lite"]


def torchrun(out, *more, **options):
    """Start two processes that train in ``out``."""
    options = {"out": out} | OPTIONS | options
    flags = [["--" + k.replace("_", "-"), *([] if v is True else [str(v)])] for k, v in options.items()]
    words = ["train", "multimnist", "--threads", "1", *more, *(word for flag in flags for word in flag)]
    return subprocess.Popen([*TORCHRUN, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def model(folder):
    saved = sorted((folder / "checkpoints").glob("*.pt"))[-1]
    return torch.load(saved, weights_only=True)["model"]


def log(folder):
    entries = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in entries]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    process = torchrun(folder)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    return folder


@pytest.mark.slow
def test_two_processes_train_what_one_does(two, tmp_path):
    launch("multimnist", tmp_path, progress=False, **OPTIONS)
    for name, value in model(tmp_path).items():
        assert torch.allclose(value, model(two)[name], atol=1e-4)
    for one, other in zip(log(tmp_path), log(two), strict=True):
        assert one.keys() == other.keys()
        if one["kind"] == "step":
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-3)
        if one["kind"] == "evaluation":
            assert one["test"]["nll"] == pytest.approx(other["test"]["nll"], rel=1e-3)
    assert json.loads((two / "run.json").read_text())["processes"] == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes in /proc")
def test_two_processes_that_are_killed_go_on_to_the_same_bits(two, tmp_path):
    for first, number in ((False, signal.SIGKILL), (None, signal.SIGTERM)):
        process = torchrun(tmp_path, "--resume")
        before = sorted(tmp_path.glob("checkpoints/*"))
        while sorted(tmp_path.glob("checkpoints/*")) == before and process.poll() is None:
            time.sleep(0.01)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(process.pid if first is None else int(workers[0 if first else 1]), number)
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert not (tmp_path / "result.json").exists()
    last = torchrun(tmp_path, "--resume")
    said = last.communicate(timeout=120)[0]
    assert last.returncode == 0, said
    assert all(torch.equal(value, model(two)[name]) for name, value in model(tmp_path).items())
    assert log(tmp_path) == log(two)


PAUSES = """
import copy
import torch
from flatmtl_lite.runs import Config, fashion_and_mnist, mlp
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.engine.processes import processes
from flatmtl_lite.runs.engine.trainer import Trainer

def network(classes):
    model = mlp(classes, width=16)
    model.trunk.extend([torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2)])
    return model

data = fashion_and_mnist(seed=0, n_train=100, n_val=20, n_test=20, sample=True)
with processes("cpu") as these:
    for method in ("f-cagrad", "rlw", "f-stl"):
        def trainer():
            return Trainer(ImageTasks(data, network), Config(method, epochs=2, batch_size=32), these)

        whole = trainer()
        pauses = [(copy.deepcopy(whole.state_dict()), list(whole.record.log)) for _ in whole.advance()]
        for state, log in pauses[::3]:
            other = trainer()
            other.load_state_dict(these.told(state), log)
            for _ in other.advance():
                pass
            for a, b in zip(whole.model.parameters(), other.model.parameters(), strict=True):
                assert torch.equal(a, b), method
        for of_rank in these.gathered([p.detach() for p in whole.model.parameters()]):
            assert all(torch.equal(a, b) for a, b in zip(of_rank, whole.model.parameters(), strict=True))
print("the same bits")
"""


@pytest.mark.slow
def test_running_statistics_and_dropout_of_each_process_go_on_too(tmp_path):
    script = tmp_path / "pauses.py"
    script.write_text(PAUSES)
    command = [*TORCHRUN[:-2], str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.stdout.count("the same bits") == 2, done.stderr


GONE = """
import gc, weakref
import torch
from flatmtl_lite.runs.engine.processes import processes

with processes("cpu") as these:
    group = weakref.ref(these.group)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    these.told(1)
del these
gc.collect()
assert group() is None, "something holds the group, and with it threads that outlive the interpreter"
print("gone")
"""


@pytest.mark.slow
def test_no_thread_of_the_group_is_left(tmp_path):
    script = tmp_path / "gone.py"
    script.write_text(GONE)
    done = subprocess.run([*TORCHRUN[:-2], str(script)], capture_output=True, text=True, timeout=200)
    assert done.stdout.count("gone") == 2, done.stderr


@pytest.mark.slow
def test_a_run_goes_on_with_as_many_processes(two, capsys):
    from flatmtl_lite.__main__ import main

    assert main(["train", "multimnist", "--out", str(two), "--resume"]) == 1
    assert "begun with other processes: 2 there and 1 here" in capsys.readouterr().err


def test_the_device_is_picked():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
