"""How many processes load batches."""

import os

import torch

MOST_LOADERS = (
    4  # of one training process: a batch of two scenes costs a CPU core about as much as a step a GPU
)


def loader_processes(wanted: int, device: torch.device) -> int:
    """Return the number of processes that load batches for this process; 0: a thread does it.

    Args:
        wanted: the option ``workers``; -1: up to four on a GPU, and none on a CPU, whose cores train.
        device: the device that trains.
    """
    if wanted >= 0:
        return wanted
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of this process
    return max(0, min(MOST_LOADERS, share - 1))
