"""The machine and the versions, for the file; nothing in it names a person or a computer."""

import datetime
import os
import platform
from contextlib import suppress
from typing import Any

import torch

from ..engine.provenance import code_version, driver_version, machine_class


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return machine class, versions and date for the file that its owner sends."""
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    return {
        "date": datetime.date.today().isoformat(),
        "kit": code_version(),
        "machine": machine_class(device),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver_version() if gpus else None,
        "gpus": [_describe_gpu(number, number == (device.index or 0)) for number in range(gpus)],
    }


def _describe_gpu(number: int, is_picked: bool) -> dict[str, Any]:
    """Return a GPU's class, and the free memory of the one that is checked: other programs may use some."""
    gpu = torch.cuda.get_device_properties(number)
    free = None
    if is_picked:  # to ask another one would start CUDA on it
        with suppress(RuntimeError):
            free = round(torch.cuda.mem_get_info(number)[0] / 2**30, 1)
    return {
        "name": gpu.name,
        "gib": round(gpu.total_memory / 2**30, 1),
        "free_gib": free,
        "capability": f"{gpu.major}.{gpu.minor}",
    }
