"""Aggregators side by side, as multiples of a floor: ``python -m benchmarks.aggregators``.

The floor is what every Gramian method must do with the gradients: the products G Gᵀ and w G; GradDrop and the
loss weightings need no G Gᵀ, and GradDrop no w G. One thread, float32. The gradients conflict: G is a normal
T x T matrix times a normal T x P one, the same for all. The contenders take turns, in random order, of
``CALLS`` calls each; a time is the median of all of them. That is done in ``RUNS`` processes, one after the
other; shown are medians over these, of the times and of each process's own multiples, whose range stands
next to them. The first call of a turn runs on the caches that another contender left; its time is shown
too. TorchJD takes the matrix, and so does LibMTL's own ``backward``, which also writes the direction into
``.grad``. Of LibMTL 1.1.5 these are all Gramian methods (its CAGrad is written for three tasks); its loss
weightings see no gradient, its GradDrop those of features.
"""

import datetime
import random
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import chain

import torch
import torchjd.aggregation as torchjd

import flatmtl_lite as fm
from benchmarks.libmtl import backward, weightings
from benchmarks.timing import in_processes, machine

RUNS, TURNS, CALLS = 5, 11, 20
SIZES = [(3, 1_000_000), (10, 100_000)]
PROBLEMS = 10_000


def gradients(T: int, P: int, *batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(*batch, T, T, generator=generator)
    return mix @ torch.randn(*batch, T, P, generator=generator)


def methods(T: int) -> dict[str, fm.Aggregator]:
    learned = fm.LearnedWeighting
    return {name: cls(T) if issubclass(cls, learned) else cls() for name, cls in fm.AGGREGATORS.items()}


def torchjds(T: int) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
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
        "config": torchjd.ConFIG,
        "dual_proj": torchjd.DualProj,
        "excess_mtl": torchjd.ExcessMTL,
        "aligned_mtl": torchjd.AlignedMTL,
        "gradvac": torchjd.GradVac,
        "graddrop": torchjd.GradDrop,
    }
    contenders = {}
    for name, make in makers.items():
        try:
            contenders[name] = make()
        except ImportError as missing:
            print(f"TorchJD's {name} is left out: {str(missing).splitlines()[0]}")
    return contenders


def libmtl(G: torch.Tensor) -> dict[str, Callable[[], object]]:
    """LibMTL's Gramian methods under our keys, where it is installed."""
    names = {
        "mgda": ("MGDA", {"mgda_gn": "none"}),
        "pcgrad": ("PCGrad", {}),
        "cagrad": ("CAGrad", {"calpha": 0.4, "rescale": 2}),
        "imtl_g": ("IMTL", {}),
        "gradvac": ("GradVac", {"beta": 0.5}),
    }
    if len(G) != 3:
        del names["cagrad"]
    module = weightings()
    if module is None:
        return {}
    return {key: backward(getattr(module, name)(), G, **given) for key, (name, given) in names.items()}


def in_turns(
    contenders: dict[str, Callable[[], object]], turns: int = TURNS, calls: int = CALLS
) -> dict[str, tuple[float, float]]:
    """Milliseconds of each contender: the median over all calls, and over the first calls of its turns."""
    times = {name: [] for name in contenders}
    order, shuffled = list(contenders.items()), random.Random(0)
    for turn in range(turns + 1):  # the first warms up
        shuffled.shuffle(order)
        for name, run in order:
            seconds = []
            for _ in range(calls):
                start = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - start)
            if turn:
                times[name].append(seconds)
    return {
        name: (1000 * statistics.median(chain(*rows)), 1000 * statistics.median(row[0] for row in rows))
        for name, rows in times.items()
    }


def whole_calls(T: int, P: int) -> dict[str, tuple[float, float]]:
    """Milliseconds, as :func:`in_turns` gives them, of all contenders in this process."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="You are solving a parameterized problem")  # TorchJD's Nash-MTL
    G = gradients(T, P)
    M = G @ G.mT
    losses = torch.linspace(0.5, 2.0, T)
    half = torch.full((1, T), 1 / T)
    contenders = {"floor": lambda: (G @ G.mT, half @ G)}
    for name, A in methods(T).items():
        contenders[f"ours {name}"] = lambda A=A: A(G, losses=losses)
        if isinstance(A, fm.GramianAggregator) and not A.reads_losses:
            contenders[f"solver {name}"] = lambda A=A: A.weights(M)
    with redirect_stdout(None):  # the parent has said what is missing
        contenders |= {f"TorchJD {name}": lambda A=A: A(G) for name, A in torchjds(T).items()}
        contenders |= {f"LibMTL {name}": run for name, run in libmtl(G).items()}
    return in_turns(contenders)


def show(T: int, P: int) -> None:
    """Print the medians over the runs of :func:`whole_calls`."""
    runs = in_processes(whole_calls, RUNS, T, P)

    def over_runs(name: str, kind: int = 0) -> tuple[float, list[float]]:
        """The median milliseconds, and the sorted multiples of the floor; kind 1: of first calls."""
        times = [run[name][kind] for run in runs]
        return statistics.median(times), sorted(
            time / run["floor"][kind] for time, run in zip(times, runs, strict=True)
        )

    print(f"\n{T} x {P:,}: floor {over_runs('floor')[0]:.2f} ms, ", end="")
    print(f"as the first call of a turn {over_runs('floor', 1)[0]:.2f} ms")
    print("in brackets multiples of the floor\n")
    heads = {"flatmtl_lite": 17, "range": 15, "first call": 13, "solver": 11, "TorchJD": 19, "LibMTL": 18}
    print(" " * 12 + "".join(f"{head:>{width}}" for head, width in heads.items()))
    for name in methods(T):
        ms, multiples = over_runs(f"ours {name}")
        first = statistics.median(over_runs(f"ours {name}", 1)[1])
        row = f"{name:<12}{ms:6.2f} ms {f'({statistics.median(multiples):.2f})':>7}"
        row += f"{multiples[0]:8.2f} - {multiples[-1]:.2f}{f'({first:.2f})':>13}"
        solver = f"solver {name}"
        row += f"{over_runs(solver)[0]:8.2f} ms" if solver in runs[0] else f"{'':11}"
        for peer, width in (("TorchJD", 19), ("LibMTL", 18)):
            if f"{peer} {name}" in runs[0]:
                ms, multiples = over_runs(f"{peer} {name}")
                row += f"{f'{ms:.2f} ms ({statistics.median(multiples):.2f})':>{width}}"
            else:
                row += " " * width
        print(row.rstrip())


def batched_calls() -> dict[str, tuple[float, float]]:
    """Milliseconds, as :func:`in_turns` gives them, of the solvers for ``PROBLEMS`` Gramians at once."""
    torch.set_num_threads(1)
    G = gradients(3, 30, PROBLEMS)
    M = G @ G.mT
    gramian = {name: A for name, A in methods(3).items() if isinstance(A, fm.GramianAggregator)}
    solvers = {name: lambda A=A: A.weights(M) for name, A in gramian.items() if not A.reads_losses}
    return in_turns(solvers, calls=3)


def main() -> None:
    print(f"{datetime.date.today()}, {machine()}; {RUNS} runs of {TURNS} turns of {CALLS} calls")
    torchjds(2), weightings()  # say what is missing
    for T, P in SIZES:
        show(T, P)
    print(f"\n{PROBLEMS:,} Gramians of T = 3 in one call, turns of 3 calls\n")
    runs = in_processes(batched_calls, RUNS)
    for name in runs[0]:
        ms = statistics.median(run[name][0] for run in runs)
        print(f"{name:<14}{1000 * ms / PROBLEMS:10.2f} microseconds each")


if __name__ == "__main__":
    main()
