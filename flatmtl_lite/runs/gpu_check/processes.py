"""Whether two processes that share a batch get the gradients of the whole batch."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch

from .repeat import environment
from .rows import Bench, Row, skipped, within

SAME = 1e-9  # relative, in float64
CHILD_SECONDS = 120.0  # after which two processes count as hanging


def two_processes(bench: Bench) -> Iterator[Row]:
    """Share a batch between two processes: on one device by gloo, on two GPUs by NCCL."""
    device = f"cuda:{bench.device.index or 0}" if bench.on_cuda else str(bench.device)
    yield _row(f"two processes on {device}, gloo", "gloo", device, bench)
    name = "two processes on two GPUs, NCCL"
    count = torch.cuda.device_count() if bench.on_cuda else 0
    if count < 2:
        yield skipped(name, "one GPU" if count else "no CUDA")
    else:
        yield _row(name, "nccl", "cuda", bench)


def _row(name: str, backend: str, device: str, bench: Bench) -> Row:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    child = subprocess.Popen(
        [*torchrun, "-m", "flatmtl_lite.runs.gpu_check.rank", device],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    limit = min(CHILD_SECONDS, bench.seconds_left)
    try:
        output, errors = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        child.terminate()  # torchrun passes it on to its processes; it cannot pass on a kill
        with suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=40)
        child.kill()
        if limit < CHILD_SECONDS:
            raise
        return Row(name, "no end", f"<= {CHILD_SECONDS:.0f} s", "fail", "the two processes hang")
    if child.returncode:
        lines = [line for line in errors.splitlines() if "Error" in line]
        return Row(name, f"exit code {child.returncode}", "0", "fail", lines[0].strip() if lines else "")
    result = json.loads([line for line in output.splitlines() if line.startswith("{")][-1])
    if result["backend"] != backend:
        return Row(name, result["backend"], backend, "fail", "another backend was taken")
    return within(name, result["distance"], SAME, f"on {' and '.join(result['devices'])}")


CHECKS: Sequence = (two_processes,)
