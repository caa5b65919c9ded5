"""The numeric settings of a device: what they are inside the block, and that the earlier ones come back."""

import os
import subprocess
import sys
from contextlib import suppress
from functools import partial

import pytest
import torch

from flatmtl_lite.runs import Config, RunError, fashion_and_mnist, launch, mlp, train
from flatmtl_lite.runs.engine.backend import numerics
from flatmtl_lite.runs.engine.processes import WORKSPACE, fix_workspace
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.plan import plan

cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul


def settings():
    names = ("enabled", "benchmark", "deterministic", "allow_tf32")
    newer = (
        [part.fp32_precision for part in (matmul, cudnn.conv, cudnn.rnn)] if hasattr(cudnn, "conv") else []
    )
    return [
        *(getattr(cudnn, name) for name in names),
        *(torch.get_float32_matmul_precision(), matmul.allow_tf32, *newer),
        *(torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory),
    ]


@pytest.mark.parametrize("tf32", [False, True])
def test_cudnn_stays_on_and_tf32_is_off_unless_it_is_asked_for(tf32):
    before = settings()
    with numerics(tf32):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, False, True)
        assert cudnn.allow_tf32 is matmul.allow_tf32 is tf32
        if hasattr(cudnn, "conv"):
            for part in (matmul, cudnn.conv, cudnn.rnn):
                assert part.fp32_precision == ("tf32" if tf32 else "ieee")
    assert settings() == before


def test_settings_of_the_caller_come_back_after_an_error(monkeypatch):
    for name, value in (("enabled", False), ("benchmark", True), ("allow_tf32", False)):
        monkeypatch.setattr(cudnn, name, value)
    torch.set_float32_matmul_precision("medium")
    try:
        before = settings()
        with suppress(KeyError), numerics(deterministic=True):
            assert torch.are_deterministic_algorithms_enabled()
            assert settings() != before
            raise KeyError
        assert settings() == before
    finally:
        torch.set_float32_matmul_precision("highest")


NEWER = """
import torch
from flatmtl_lite.runs.engine.backend import numerics
parts = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
torch.backends.fp32_precision = "tf32"
parts[1].fp32_precision = "ieee"
before = [part.fp32_precision for part in parts]
with numerics():
    assert [part.fp32_precision for part in parts] == ["ieee"] * 3
assert [part.fp32_precision for part in parts] == before, before
"""


@pytest.mark.skipif(not hasattr(cudnn, "conv"), reason="before torch 2.9 there is one kind of setting")
def test_a_caller_who_uses_the_newer_settings_gets_them_back():
    """In a process of its own, because torch cannot return to the older settings after that."""
    subprocess.run([sys.executable, "-c", NEWER], check=True, timeout=200)


def test_cublas_repeats_before_cuda_starts_and_too_late_is_said(monkeypatch):
    monkeypatch.setenv(WORKSPACE, "")
    monkeypatch.delenv(WORKSPACE)
    assert fix_workspace()
    assert os.environ[WORKSPACE] == ":4096:8"
    monkeypatch.delenv(WORKSPACE)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    before = settings()
    with (
        pytest.raises(RunError, match="expected one of :4096:8, :16:8 before CUDA starts"),
        numerics(False, True),
    ):
        pass
    assert settings() == before
    with numerics():  # nothing is asked for
        pass
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with numerics(deterministic=True):
        assert torch.are_deterministic_algorithms_enabled()
    assert settings() == before


@pytest.mark.parametrize("tf32", [False, True])
def test_every_door_trains_and_measures_by_the_settings_of_the_run(tf32, tmp_path, monkeypatch):
    noted = {"step": [], "measure": []}

    def note(name, function, *arguments):
        noted[name].append((cudnn.enabled, cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled()))
        return function(*arguments)

    step = Trainer._step
    monkeypatch.setattr(Trainer, "_step", lambda *a: note("step", step, *a))
    monkeypatch.setattr(ImageTasks, "measure", lambda *a: note("measure", lambda *_: {}, *a))
    before = settings()
    options = dict(network="mlp", sample=True, n_train=32, n_val=20, n_test=20, epochs=1, batch_size=32)
    options |= dict(method="f-mean", tf32=tf32, deterministic=True, device="cpu")
    plan("multimnist", **options)
    launch("multimnist", tmp_path, progress=False, **options)
    data = fashion_and_mnist(seed=0, n_train=32, n_val=20, n_test=20, sample=True)
    config = Config("f-mean", epochs=1, batch_size=32, tf32=tf32, deterministic=True)
    train(data, config, partial(mlp, width=16))
    assert noted == {"step": [(True, tf32, True)] * 3, "measure": [(True, tf32, True)]}
    assert settings() == before
