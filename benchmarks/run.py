"""Timings side by side in one process, as ratios. ``make bench``, or ``python benchmarks/run.py``.

Steps on the LeNet of Multi-MNIST, two tasks, batches of 256 real images, one thread. The contenders
take turns, so a machine that drifts slows all alike; a ratio is the median over the rounds.
"""

import datetime
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torchjd.aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

import flatmtl_lite as fm
from flatmtl_lite.runs import fashion_and_mnist, lenet, task_closures

ROUNDS, BATCH, TASKS = 40, 256, 2
# T forwards and T backwards more, a backward counting as two forwards
FLOP_BOUND = (1 + 5 * TASKS) / (1 + 2 * TASKS)


def contenders(images: torch.Tensor, labels: torch.Tensor) -> dict[str, Callable[[], None]]:
    """Training steps by name, each on a network of its own."""

    def make(step: Callable) -> Callable[[], None]:
        torch.manual_seed(0)
        model = lenet()
        features, losses = task_closures(model, images, labels)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        heads = [list(head.parameters()) for head in model.heads]
        return step(model, features, losses, optimizer, heads)

    def plain(model, features, losses, optimizer, heads):
        def step():
            optimizer.zero_grad()
            z = features()
            (sum(loss(z) for loss in losses) / TASKS).backward()
            optimizer.step()

        return step

    def flatmtl(aggregate: fm.Aggregator, combine: str) -> Callable:
        def build(model, features, losses, optimizer, heads):
            options = dict(aggregate=aggregate, combine=combine, rho=0.05)
            step = fm.FlatMTL(optimizer, model.trunk.parameters(), heads, **options)
            return lambda: step(features, losses)

        return build

    def torchjd_cagrad(model, features, losses, optimizer, heads):
        aggregate = torchjd.aggregation.CAGrad(c=0.4)
        shared = list(model.trunk.parameters())

        def step():
            optimizer.zero_grad()
            z = features()
            mtl_backward([loss(z) for loss in losses], features=z)
            jac_to_grad(shared, aggregate)
            optimizer.step()

        return step

    return {
        "plain PyTorch, mean loss": make(plain),
        "Mean": make(flatmtl(fm.Mean(), "erm")),
        "CAGrad": make(flatmtl(fm.CAGrad(0.4), "erm")),
        "CAGrad, TorchJD": make(torchjd_cagrad),
        "direct CAGrad": make(flatmtl(fm.CAGrad(0.4), "direct")),
        "F-CAGrad": make(flatmtl(fm.CAGrad(0.4), "decomposed")),
    }


def step_times(
    steps: dict[str, Callable[[], None]], rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each contender's step, round by round, after three rounds of warming up."""
    times = {name: [] for name in steps}
    order = list(steps.items())
    for round_ in range(rounds + 3):
        order.append(order.pop(0))  # nobody should always run on the caches that the same other left
        for name, step in order:
            start = clock()
            step()
            if round_ >= 3:
                times[name].append(clock() - start)
    return times


def ratio(times: dict[str, list[float]], one: str, other: str, digits: int = 2) -> str:
    """Median of one / other over the rounds, with its quartiles."""
    ratios = [a / b for a, b in zip(times[one], times[other], strict=True)]
    low, median, high = (f"{q:.{digits}f}" for q in statistics.quantiles(ratios, n=4))
    return f"{median}  (quartiles {low} to {high})"


def import_seconds() -> tuple[float, float]:
    """Seconds a new interpreter needs to import torch, and then flatmtl_lite: medians of seven."""
    code = (
        "import time; t0 = time.perf_counter(); import torch; t1 = time.perf_counter(); import flatmtl_lite; "
        "print(t1 - t0, time.perf_counter() - t1)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(7)]
    torch_alone, ours = zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    return statistics.median(torch_alone), statistics.median(ours)


def main() -> None:
    torch.set_num_threads(1)
    data = fashion_and_mnist(seed=0)
    images, labels = data.train_images[:BATCH], data.train_labels[:BATCH]
    times = step_times(contenders(images, labels))
    machine = f"{platform.machine()} CPU, 1 thread, torch {torch.__version__}"
    print(f"{datetime.date.today()}, {machine}; LeNet, T = {TASKS}, batch {BATCH}, {ROUNDS} rounds\n")
    for name, seconds in times.items():
        print(f"{name:<26}{1000 * statistics.median(seconds):7.1f} ms a step")
    print()
    for one, other, note in (
        ("F-CAGrad", "CAGrad", f"flop bound (1 + 5T)/(1 + 2T) = {FLOP_BOUND:.2f}"),
        ("CAGrad", "Mean", f"flop bound (1 + 2T)/3 = {(1 + 2 * TASKS) / 3:.2f}"),
        ("Mean", "plain PyTorch, mean loss", "what FlatMTL adds to a bare loop"),
        ("CAGrad", "CAGrad, TorchJD", "the peer's step"),
        ("F-CAGrad", "direct CAGrad", ""),
    ):
        print(f"{one} / {other}: {ratio(times, one, other)}  {note}")
    torch_alone, ours = import_seconds()
    print(f"\nimport flatmtl_lite: {ours:.3f} s on top of torch's own {torch_alone:.2f} s")


if __name__ == "__main__":
    main()
