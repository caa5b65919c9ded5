"""Errors of memory and of devices, as torch words them, become advice."""

import pytest
import torch

from flatmtl_lite.runs import Config, RunError
from flatmtl_lite.runs.engine import processes
from flatmtl_lite.runs.engine.memory import explain_device_errors
from flatmtl_lite.runs.engine.processes import join_processes, pick_device

NO_MEMORY = r"Out of memory: .*--micro-batches 2, now 1"
GONE = "The device has failed or is gone: .* go on with --resume"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "Out of memory: MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."), NO_MEMORY),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
            NO_MEMORY,
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            NO_MEMORY,
        ),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."), NO_MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), NO_MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), NO_MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), NO_MEMORY),
        (RuntimeError("GET was unable to find an engine to execute this computation"), NO_MEMORY),
        (
            RuntimeError(
                "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
                "workers are out of shared memory."
            ),
            "A process that loads scenes has ended.*--workers 0 needs none",
        ),
        (
            RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set ..."),
            "Method f-moco cannot run with --deterministic",
        ),
        (RuntimeError("CUDA error: device-side assert triggered"), "an index out of its range"),
        (RuntimeError("CUDA error: unspecified launch failure\nCompile with ..."), GONE),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), GONE),
        (getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: unknown error"), GONE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), GONE),
    ],
    ids=str,
)
def test_an_error_of_memory_or_device_is_explained(error, message):
    with pytest.raises(RunError, match=message) as raised, explain_device_errors(Config("f-moco")):
        raise error
    assert raised.value.__cause__ is error
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no")]
)
def test_any_other_error_stays_as_it_is(error):
    with pytest.raises(type(error)) as raised, explain_device_errors(Config()):
        raise error
    assert raised.value is error


def a_build_for_cuda(monkeypatch, reason):
    """A torch that is built for CUDA and cannot start it."""

    def fail(*_, **__):
        raise RuntimeError(reason)

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch, "empty", fail)
    monkeypatch.setattr(torch.cuda, "init", fail)


DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU ..."
OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver ..."


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_machine_without_cuda_says_what_is_missing(name, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(
        ValueError, match=rf"Got device='{name}'.*is built without CUDA. Install a build for CUDA"
    ):
        pick_device(name)
    for reason in (DRIVER, OLD):
        a_build_for_cuda(monkeypatch, reason)
        with pytest.raises(
            ValueError, match=f"built for CUDA 12.8 and cannot use it: {reason[:40]}.*nvidia-smi"
        ):
            pick_device(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES='' hides every GPU"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_cpu_in_place_of_a_gpu_with_a_driver_is_said(monkeypatch, capsys):
    assert pick_device() == torch.device("cpu")
    said = capsys.readouterr().err
    monkeypatch.setattr(processes.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert pick_device() == torch.device("cpu")
    assert "Training on the CPU. This machine has an NVIDIA driver, but" in capsys.readouterr().err
    assert said == "" or "NVIDIA" in said


def test_mps_is_not_picked_and_refused_by_name(monkeypatch):
    def no_float64(*_, device, **__):
        if device.type == "mps":
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"
            )

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "empty", no_float64)
    assert pick_device().type == "cpu"
    with pytest.raises(ValueError, match=r"Got device='mps', .* it has no float64"):
        pick_device("mps")


def test_several_tasks_of_srun_are_refused(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # of a batch script, which runs once
    with join_processes("cpu") as alone:
        assert alone.count == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    command = "srun --ntasks-per-node=1 torchrun --nproc-per-node 4 -m flatmtl_lite train"
    with pytest.raises(ValueError, match=f"Got 4 tasks of srun.*{command}"), join_processes("cpu"):
        pass
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    with (
        pytest.raises(ValueError, match=r"torchrun --nnodes 2 .* --nproc-per-node 2 "),
        join_processes("cpu"),
    ):
        pass


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_fewer_gpus_than_processes_are_refused(device, monkeypatch):
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(ValueError, match=r"4 processes for 2 GPU.*--nproc-per-node 2, .* --device cuda:0"),
        join_processes(device),
    ):
        pass
