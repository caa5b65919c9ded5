"""One of two processes that share a batch: started by torchrun, it prints one JSON object.

``torchrun --nproc-per-node 2 -m flatmtl_lite.runs.gpu_check.rank DEVICE``
"""

import json
import sys
from typing import Any

import torch
import torch.distributed as dist

from ...aggregation import CAGrad
from ...optim import FlatMTL
from ..engine.processes import Processes, join_processes
from ..networks.images import lenet, task_closures
from .problems import as_in_training

COUNT = 32  # images of the whole batch


def shared_batch(processes: Processes) -> float:
    """Return how far the gradients of a shared batch are from the gradients of the whole batch."""
    torch.manual_seed(0)
    net = lenet()
    images = torch.randint(256, (COUNT, 36, 36), dtype=torch.uint8)
    labels = torch.randint(10, (COUNT, 2))
    net.to(processes.device, torch.float64)
    mine = slice(processes.rank, None, processes.count)

    def gradients(part: slice, group: Any) -> torch.Tensor:
        step = FlatMTL(
            torch.optim.SGD(net.parameters(), lr=0.1),
            shared=net.shared_parameters(),
            heads=net.head_parameters(),
            aggregate=CAGrad(),
            process_group=group,
        )
        step.backward([task_closures(net, images[part], labels[part])])
        return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    whole, shared = gradients(slice(None), None), gradients(mine, processes.group)
    return ((shared - whole).norm() / whole.norm()).item()


def main(device: str) -> None:
    """Compare, and let the first process print the result."""
    with join_processes(device) as processes, as_in_training():
        distances = processes.gather(shared_batch(processes))
        devices = processes.gather(str(processes.device))
        if processes.is_first:
            result = {"backend": dist.get_backend(), "devices": devices, "distance": max(distances)}
            print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
