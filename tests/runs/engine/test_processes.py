"""Two processes: what they train, that they go on to the bit, and that they leave nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from flatmtl_lite.__main__ import main
from flatmtl_lite.runs import launch
from flatmtl_lite.runs.engine import processes
from flatmtl_lite.runs.engine.processes import on_host, pick_device
from tests.runs import children

OPTIONS = dict(network="mlp", sample=True, n_train=160, n_val=40, n_test=40, method="f-pcgrad", epochs=8)
OPTIONS |= dict(batch_size=32, evaluate_every=15)
OFTEN = dict(experiment="multimnist", checkpoint_seconds=0.02, progress=False)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "flatmtl_lite"]


def model(folder):
    saved = sorted((folder / "checkpoints").glob("*.pt"))[-1]
    return torch.load(saved, weights_only=True)["model"]


def log(folder):
    entries = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in entries]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of a run that torchrun started with two processes, as a user starts it."""
    folder = tmp_path_factory.mktemp("two")
    options = {"out": folder} | OPTIONS
    flags = [["--" + k.replace("_", "-"), *([] if v is True else [str(v)])] for k, v in options.items()]
    words = ["train", "multimnist", "--threads", "1", *(word for flag in flags for word in flag)]
    ended = subprocess.run([*TORCHRUN, *words], capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
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


@pytest.mark.slow
def test_the_description_tells_of_torchrun_and_its_processes(two):
    run = json.loads((two / "run.json").read_text())
    assert run["processes"] == 2
    assert run["about"]["command"].startswith("torchrun --nproc-per-node 2 -m flatmtl_lite train multimnist")


@pytest.mark.slow
def test_two_processes_that_are_killed_go_on_to_the_same_bits(two, tmp_path):
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = set(tmp_path.glob("checkpoints/*"))
        ranks = children.start_ranks(children.train, tmp_path, OPTIONS | OFTEN)
        while set(tmp_path.glob("checkpoints/*.pt")) <= before and ranks[0].is_alive():
            time.sleep(0.005)
        if number == signal.SIGKILL:  # one is gone, then torchrun ends the other
            ranks[1].kill()
            ranks[0].kill()
        else:
            for process in ranks:
                process.terminate()
        codes = children.join_all(ranks)
        assert codes == ([-9, -9] if number == signal.SIGKILL else [128 + number] * 2)
        assert not (tmp_path / "result.json").exists()
    assert children.join_all(children.start_ranks(children.train, tmp_path, OPTIONS | OFTEN)) == [0, 0]
    assert all(torch.equal(value, model(two)[name]) for name, value in model(tmp_path).items())
    assert log(tmp_path) == log(two)


def test_running_statistics_and_dropout_of_each_process_go_on_too():
    assert children.join_all(children.start_ranks(children.go_on_from_pauses)) == [0, 0]


@pytest.mark.parametrize("fails", [False, True])
def test_the_others_wait_for_an_evaluation_as_long_as_it_takes(fails):
    """The group of the gradients gives up after a second here; an error of the first process reaches all."""
    ranks = children.start_ranks(children.wait_for_an_evaluation, fails)
    assert children.join_all(ranks) == ([7, 7] if fails else [0, 0])


@pytest.mark.slow
def test_who_waits_for_a_process_that_is_gone_learns_of_it():
    first, second = children.start_ranks(children.wait_for_the_first, 1000)
    time.sleep(15)
    assert first.is_alive()
    assert second.is_alive()
    first.kill()
    codes = children.join_all([first, second], timeout=60)
    assert codes[0] == -signal.SIGKILL
    assert codes[1] not in (0, None, -signal.SIGKILL), "the second ended by itself, with an error"


def test_tensors_are_passed_on_by_the_cpu():
    assert children.join_all(children.start_ranks(children.exchange_tensors)) == [0, 0]


def test_a_copy_on_the_host_holds_shared_memory_once():
    net = torch.nn.BatchNorm1d(2)
    state = {
        "model": net.state_dict(),
        "processes": [dict(net.named_buffers())],
        "seen": [(3, torch.ones(2))],
    }
    copied = on_host(state)
    assert copied["model"]._metadata == state["model"]._metadata
    assert copied["model"]["running_mean"] is copied["processes"][0]["running_mean"]
    net(torch.randn(4, 2))
    assert not torch.equal(state["model"]["running_mean"], copied["model"]["running_mean"])
    assert copied["seen"][0][0] == 3


LEAVE_NO_THREAD = """
import gc, importlib.util, sys, weakref
import torch

spec = importlib.util.spec_from_file_location("processes", sys.argv[1])  # without the rest of the kit
sys.modules["processes"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
join_processes = module.join_processes

with join_processes("cpu") as processes:
    group = weakref.ref(processes.group)
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    processes.broadcast(1)
del processes
gc.collect()
assert group() is None, "something holds the group, and with it threads that outlive the interpreter"
"""


def test_no_thread_of_the_group_is_left():
    """In a new interpreter, because the order of imports is the point."""
    environment = os.environ | children.rank_variables(rank=0, count=1)
    command = [sys.executable, "-c", LEAVE_NO_THREAD, processes.__file__]
    subprocess.run(command, env=environment, check=True, timeout=200)


@pytest.mark.slow
def test_a_run_goes_on_with_as_many_processes(two, tmp_path, capsys):
    shutil.copytree(two, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert main(["train", "multimnist", "--out", str(tmp_path / "run"), "--resume"]) == 1
    assert "began with other processes: 2 there and 1 here" in capsys.readouterr().err


def test_the_device_is_picked():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
