"""Aggregators side by side in one process, as multiples of a floor: ``python benchmarks/aggregators.py``.

The floor is what every Gramian method must do with the gradients: the products G Gᵀ and w G; GradDrop and
the loss weightings need no G Gᵀ, and GradDrop no w G. One thread, float32. The contenders take turns; times
are medians over the rounds. The gradients conflict: G is a normal T x T matrix times a normal T x P one, the
same for all. The other peer, LibMTL, is not among them: on the package index is its version of 2021, which
needs a torchvision that fits, and a live network to aggregate.
"""

import datetime
import platform
import random
import statistics
import time
import warnings
from collections.abc import Callable

import torch
import torchjd.aggregation as torchjd

import flatmtl_lite as fm

ROUNDS, WARM_UP = 31, 3
SIZES = [(3, 1_000_000), (10, 100_000)]
PROBLEMS = 10_000


def gradients(T: int, P: int, *batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(*batch, T, T, generator=generator)
    return mix @ torch.randn(*batch, T, P, generator=generator)


def methods(T: int) -> dict[str, fm.Aggregator]:
    learned = fm.LearnedWeighting
    return {name: cls(T) if issubclass(cls, learned) else cls() for name, cls in fm.AGGREGATORS.items()}


def peers(T: int) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """TorchJD's aggregators under our keys; those whose own solver is not installed are left out."""
    makers = {
        "mean": torchjd.Mean,
        "mgda": torchjd.MGDA,
        "pcgrad": torchjd.PCGrad,
        "cagrad": lambda: torchjd.CAGrad(c=0.4),
        "imtl_g": torchjd.IMTLG,
        "nash_mtl": lambda: torchjd.NashMTL(n_tasks=T),
        "fairgrad": lambda: torchjd.FairGrad(alpha=2.0),
        "upgrad": torchjd.UPGrad,
        "aligned_mtl": torchjd.AlignedMTL,
        "gradvac": torchjd.GradVac,
        "graddrop": torchjd.GradDrop,
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as missing:
            print(f"TorchJD's {name} is left out: {str(missing).splitlines()[0]}")
    return found


def interleaved(contenders: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of each contender: the median over rounds in which all take turns, in random order."""
    times = {name: [] for name in contenders}
    order, shuffled = list(contenders.items()), random.Random(0)
    for round_ in range(rounds + WARM_UP):
        shuffled.shuffle(order)  # nobody should always run on the caches that the same other left
        for name, run in order:
            start = time.perf_counter()
            run()
            if round_ >= WARM_UP:
                times[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}


def whole_calls(T: int, P: int) -> None:
    G = gradients(T, P)
    M = G @ G.mT
    losses = torch.linspace(0.5, 2.0, T)
    ours, theirs = methods(T), peers(T)
    gramian = {name: A for name, A in ours.items() if isinstance(A, fm.GramianAggregator)}
    half = torch.full((1, T), 1 / T)
    contenders = {"floor": lambda: (G @ G.mT, half @ G)}
    contenders |= {f"ours {name}": lambda A=A: A(G, losses=losses) for name, A in ours.items()}
    contenders |= {f"solver {name}": lambda A=A: A.weights(M) for name, A in gramian.items()}
    contenders |= {f"TorchJD {name}": lambda A=A: A(G) for name, A in theirs.items()}
    ms = interleaved(contenders)
    print(f"\n{T} x {P:,}: floor {ms['floor']:.2f} ms; in brackets the multiple of the floor\n")
    print(f"{'':<14}{'flatmtl_lite':>20}{'its solver':>14}{'TorchJD':>20}")
    for name in ours:
        own, solver, peer = (ms.get(f"{who} {name}") for who in ("ours", "solver", "TorchJD"))
        cells = f"{own:10.2f} ms ({own / ms['floor']:.2f})"
        cells += f"{solver:11.2f} ms" if solver is not None else f"{'':14}"
        if peer is not None:
            cells += f"{peer:10.2f} ms ({peer / ms['floor']:.2f})"
        print(f"{name:<14}{cells}".rstrip())


def batched_calls() -> None:
    G = gradients(3, 30, PROBLEMS)
    M = G @ G.mT
    contenders = {
        name: lambda A=A: A.weights(M)
        for name, A in methods(3).items()
        if isinstance(A, fm.GramianAggregator)
    }
    print(f"\n{PROBLEMS:,} Gramians of T = 3 in one call\n")
    for name, ms in interleaved(contenders, rounds=7).items():
        print(f"{name:<14}{1000 * ms / PROBLEMS:10.2f} microseconds each")


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="You are solving a parameterized problem")  # TorchJD's Nash-MTL
    machine = f"{platform.machine()} CPU, 1 thread, torch {torch.__version__}"
    print(f"{datetime.date.today()}, {machine}; medians of {ROUNDS} rounds")
    for T, P in SIZES:
        whole_calls(T, P)
    batched_calls()


if __name__ == "__main__":
    main()
