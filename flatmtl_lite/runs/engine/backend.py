"""How a device computes: one set of numeric settings for training, ``plan``, notebooks and ``gpu-check``."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from .folder import RunError
from .processes import WORKSPACE, WORKSPACES, fix_workspace


@contextmanager
def numerics(tf32: bool = False, deterministic: bool = False) -> Iterator[None]:
    """Run a block with the numeric settings of this kit; the earlier settings come back afterwards.

    cuDNN is on, takes the deterministic ones among its kernels, and chooses by rule, not by timing. So two
    runs choose the same kernels.

    TF32 rounds the factors of float32 products to ten bits. It is off for everything unless ``tf32`` is set,
    although many scripts leave it on for convolutions. The flat part is the difference of two gradients that
    agree in their first digits. Where it has a hundredth of their length, a rounding error of a thousandth of
    the gradients is a tenth of the flat part.

    By default two kernels of the scene networks still add in an order that changes from run to run: the
    cross-entropy of pixels, and the gradient of bilinear upsampling. The last bits of such a run do not
    repeat. With ``deterministic`` torch takes a repeatable kernel everywhere, and raises an error where it
    has none. ``networks/repeatable.py`` replaces the operations of this kit for which torch has none.

    Args:
        tf32: whether matrix products and convolutions on a GPU may use TF32.
        deterministic: whether every kernel must repeat to the bit.

    Raises:
        RunError: CUDA has started without the setting of cuBLAS that ``deterministic`` needs.

    Example:
        >>> with numerics():
        ...     torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark
        (True, False)
    """
    cudnn = torch.backends.cudnn
    with ExitStack() as restored:
        for name, value in (("enabled", True), ("benchmark", False), ("deterministic", True)):
            restored.callback(setattr, cudnn, name, getattr(cudnn, name))
            setattr(cudnn, name, value)
        _set_tf32(tf32, restored)
        if deterministic:
            _set_deterministic(restored)
        yield


def _set_tf32(on: bool, restored: ExitStack) -> None:
    """Allow or forbid TF32, by torch's older and newer settings alike; ``restored`` puts all of them back.

    Since torch 2.9 each kind of operation has a setting of its own, ``fp32_precision``, which the older
    settings do not always reach. An older setting cannot be read after a caller changed a newer one alone.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    newer: list[Any] = [matmul, cudnn.conv, cudnn.rnn] if hasattr(cudnn, "conv") else []
    also: Any = torch.backends.mkldnn  # an older setting writes it too
    # noted first, so that they come back last, after the older ones have overwritten them
    for part in (*newer, also.matmul) if newer else ():
        restored.callback(setattr, part, "fp32_precision", part.fp32_precision)
    with suppress(RuntimeError):
        restored.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    with suppress(RuntimeError):
        restored.callback(setattr, cudnn, "allow_tf32", cudnn.allow_tf32)
    torch.set_float32_matmul_precision("high" if on else "highest")
    cudnn.allow_tf32 = on
    for part in newer:
        part.fp32_precision = "tf32" if on else "ieee"


def _set_deterministic(restored: ExitStack) -> None:
    """Tell torch to take repeatable kernels alone, or to raise an error where it has none."""
    if not fix_workspace():
        raise RunError(
            f"Got deterministic=True with {WORKSPACE}={os.environ.get(WORKSPACE, '')!r}; expected one of "
            f"{', '.join(WORKSPACES)} before CUDA starts. Begin a new process with "
            f"{WORKSPACE}={WORKSPACES[0]} in its environment."
        )
    restored.callback(
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True)
    memory: Any = torch.utils.deterministic
    restored.callback(setattr, memory, "fill_uninitialized_memory", memory.fill_uninitialized_memory)
    memory.fill_uninitialized_memory = False  # nothing here reads memory that was not written
