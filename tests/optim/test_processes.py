"""Two processes with half a batch each are one process with two micro-batches."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import torch

import flatmtl_lite as fm
from tests.optim.nets import breaks, halves, headless

SETTINGS = [
    {"aggregate": name, "combine": rule, "perturb": perturb, "norm": norm, "adaptive": norm == "together"}
    for name, rule, perturb, norm in [
        ("cagrad", "decomposed", "task", "separate"),
        ("mgda", "each", "task", "together"),
        ("cagrad", "direct", "mean", "together"),
        ("mean", "erm", "task", "separate"),
        ("mean", "direct", "mean", "separate"),
        ("pcgrad", "second", "task", "separate"),
        ("si", "erm", "task", "separate"),
        ("si", "direct", "mean", "separate"),
        ("bmtl", "decomposed", "task", "separate"),
        ("famo", "erm", "task", "separate"),
        ("constant", "erm", "task", "separate"),
        ("rlw", "erm", "task", "separate"),
        ("uw", "direct", "mean", "together"),
        ("imtl_l", "erm", "task", "separate"),
        ("gradvac", "decomposed", "task", "separate"),
        ("gradnorm", "decomposed", "task", "separate"),
        ("db_mtl", "decomposed", "task", "separate"),
        ("moco", "direct", "mean", "separate"),
        ("excess_mtl", "erm", "task", "separate"),
        ("graddrop", "direct", "task", "separate"),
        ("cagrad", "direct", fm.SAMO(), "together"),
        ("mean", "direct", fm.SAMO(one_draw=True), "separate"),
        ("mgda", "direct", fm.Polar(), "separate"),
        ("cagrad", "decomposed", fm.SAMO(local="coin"), "separate"),
    ]
]
SETTINGS += [
    {"aggregate": "cagrad", "perturb": fm.Polar(), "combine": "direct", "noise": 0.1},
    {"aggregate": "cagrad", "flat_tasks": 0.5},
]


def lacking(net, rank):
    """Half of the batch without the first task, and in the first process without the last one."""
    features, losses = halves(net)[rank]
    absent = (0, 2) if rank == 0 else (0,)
    return features, [(lambda z: None) if i in absent else loss for i, loss in enumerate(losses)]


def gradients_by_setting(net, batches, process_group=None):
    results = []
    for setting in SETTINGS:
        method = fm.AGGREGATORS[setting["aggregate"]]
        aggregate = method(3) if issubclass(method, fm.LearnedWeighting) else method()
        options = {**setting, "aggregate": aggregate}
        step = net.step(rho=0.3, process_group=process_group, **options)
        report = step.backward(batches)
        learnt = [p.grad for p in aggregate.parameters()]
        if aggregate.observes:
            weights = copy.deepcopy(net.state_dict())
            step.optimizer.step()
            step.observe()
            learnt += [entry.nan_to_num(-1.0) for entry in aggregate.memory.values()]
            net.load_state_dict(weights)
        results.append((net.gradients(), report.losses, report.perturbed_losses, report.gramian, learnt))
    return results


def worker(rank, folder):
    """One of two processes, with one half of the batch; the second task has no head."""
    from torch import distributed

    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    net = headless()
    results = gradients_by_setting(net, [halves(net)[rank]], distributed.group.WORLD)
    results += gradients_by_setting(net, [lacking(net, rank)], distributed.group.WORLD)
    nan = net.step(process_group=distributed.group.WORLD, on_nonfinite="skip")
    report = nan(*(breaks(net, 1, "trunk") if rank == 0 else net.batch()))
    torch.save((results, report.skipped), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_are_one_process_with_two_micro_batches(tmp_path):
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    commands = [[sys.executable, str(Path(__file__)), str(rank), str(tmp_path)] for rank in range(2)]
    processes = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], "".join(errors)

    net = headless()
    expected = gradients_by_setting(net, halves(net))
    expected += gradients_by_setting(net, [lacking(net, rank) for rank in range(2)])
    alone = gradients_by_setting(net, halves(net)[:1])
    for rank in range(2):
        results, skipped = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(results, expected, rtol=1e-9, atol=1e-13)
        assert skipped  # NaN in one process is NaN in both: they stay in step
    for (gradients, *_), (other, *_) in zip(expected, alone, strict=False):
        assert not gradients[0].allclose(other[0])  # half a batch alone gives something else


if __name__ == "__main__":
    worker(int(sys.argv[1]), sys.argv[2])
