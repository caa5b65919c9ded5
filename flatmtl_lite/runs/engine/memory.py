"""Turn an error of memory or of a device into advice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .config import Config
from .folder import RunError

# how torch, cuBLAS and cuDNN (before and since version 9) say that an allocation failed
NO_MEMORY = (
    *("out of memory", "allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED"),  # no room for their first handle
    *("HOST_ALLOCATION_FAILED", "DEVICE_ALLOCATION_FAILED", "unable to find an engine to execute"),
)
NO_LOADER = ("DataLoader worker", "shared memory(shm)")
NOT_REPEATABLE = "does not have a deterministic implementation"
WRONG_INDEX = "device-side assert"
DEVICE_FAILED = ("CUDA error", "CUDA driver error", "cuDNN error", "HIP error", "NCCL error")


@contextmanager
def explain_device_errors(config: Config) -> Iterator[None]:
    """Raise a RunError that says what to do, if the block runs out of memory or its device fails."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        explanation = _explanation(error, config)
        if explanation is None:
            raise
        raise RunError(explanation) from error


def _explanation(error: Exception, config: Config) -> str | None:
    """Return what happened and what to do, or None for an error that has nothing to do with the device."""
    text = str(error).strip()
    first_line = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _has(text, NO_MEMORY):
        return (
            f"Out of memory: {first_line} Compute a training batch in more parts (--micro-batches "
            f"{2 * config.micro_batches}, now {config.micro_batches}), take a smaller --batch-size (now "
            f"{config.batch_size}), a smaller --network or another --device, in a new folder."
        )
    if _has(text, NO_LOADER):
        return (
            f"A process that loads scenes has ended: {first_line} Perhaps it lacked memory that processes "
            "share (/dev/shm; in Docker, --shm-size). Go on with --resume and fewer --workers; --workers 0 "
            "needs none."
        )
    if NOT_REPEATABLE in text:
        return (
            f"Method {config.method} cannot run with --deterministic: {first_line} In a new folder, leave it "
            "out."
        )
    if WRONG_INDEX in text:
        return f"A GPU met an index out of its range, such as a class that does not exist: {first_line}"
    if _has(text, DEVICE_FAILED):
        return (
            f"The device has failed or is gone: {first_line} This process cannot use it any more. Look at "
            "nvidia-smi. Then go on with --resume, or on another device with --device."
        )
    return None


def _has(text: str, parts: tuple[str, ...]) -> bool:
    return any(part.lower() in text.lower() for part in parts)
