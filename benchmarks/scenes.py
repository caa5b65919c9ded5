"""Steps on dense scenes, their memory, and whether the reader keeps up. ``python -m benchmarks.scenes``.

The small encoder-decoder, three tasks, batches of 8 synthetic rooms of 96x128 pixels, one thread. Steps take
turns. Memory: each contender in a process of its own, the largest resident set in five steps less what was
resident before the first. The reader reads, checks and augments batches that are in the file
cache; its images per second are of processor time, since it works while the step does.
"""

import datetime
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import flatmtl_lite as fm
from benchmarks.timing import ratio, step_times
from flatmtl_lite.runs import Augmented, Scenes, encoder_decoder, scene_batches, scene_closures
from flatmtl_lite.runs.data.scenes import Scene
from flatmtl_lite.runs.rooms import write_rooms

ROOMS, BATCH, SIZE, TASKS = 64, 8, (96, 128), 3
FLOP_BOUND = (1 + 5 * TASKS) / (1 + 2 * TASKS)  # if the heads cost nothing
METHODS = {
    "Mean": (fm.Mean(), "erm"),
    "CAGrad": (fm.CAGrad(0.4), "erm"),
    "direct CAGrad": (fm.CAGrad(0.4), "direct"),
    "F-CAGrad": (fm.CAGrad(0.4), "decomposed"),
}


def contender(name: str, batch: Scene) -> Callable[[], object]:
    """A training step on a network of its own."""
    torch.manual_seed(0)
    model = encoder_decoder()
    features, losses = scene_closures(model, batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    aggregate, combine = METHODS[name]
    parameters = model.shared_parameters(), model.head_parameters()
    step = fm.FlatMTL(optimizer, *parameters, aggregate, rho=0.02, combine=combine)
    return lambda: step(features, losses)


def images_per_second(root: Path) -> float:
    """Of the reader, augmentation included; median of five passes after one of warming up."""
    rates = []
    for epoch in range(6):
        start = time.process_time()
        scenes = Augmented(Scenes(root), 0, epoch)
        for _ in scene_batches(scenes, torch.arange(ROOMS).split(BATCH)):
            pass
        rates.append(ROOMS / (time.process_time() - start))
    return statistics.median(rates[1:])


def first_batch(root: Path) -> Scene:
    return next(scene_batches(Scenes(root), [torch.arange(BATCH)]))


def print_peak(name: str, root: Path) -> None:
    """What the process of one contender prints: megabytes that five steps take beyond what was there."""
    step = contender(name, first_batch(root))
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    for _ in range(5):
        step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 2**20)


def peak_megabytes(name: str, root: Path) -> float:
    """Median of three processes."""
    command = [sys.executable, "-m", "benchmarks.scenes", name, str(root)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        print_peak(sys.argv[1], Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "rooms"
        write_rooms(root, ROOMS, 0, *SIZE)
        rate = images_per_second(root)
        batch = first_batch(root)
        times = step_times({name: contender(name, batch) for name in METHODS}, 40)
        peaks = {name: peak_megabytes(name, root) for name in METHODS}
    machine = f"{platform.machine()} CPU, 1 thread, torch {torch.__version__}"
    print(f"{datetime.date.today()}, {machine}; encoder-decoder, T = {TASKS}, batch {BATCH} of {SIZE}\n")
    for name, seconds in times.items():
        step = statistics.median(seconds)
        print(f"{name:<14}{1000 * step:7.0f} ms a step  {BATCH / step:6.0f} images/s  {peaks[name]:6.0f} MB")
    needed = BATCH / statistics.median(times["Mean"])
    print(f"\nreader: {rate:.0f} images/s, {rate / needed:.1f} times what the fastest step takes")
    for one, other, note in (
        ("F-CAGrad", "CAGrad", f"flop bound (1 + 5T)/(1 + 2T) = {FLOP_BOUND:.2f}"),
        ("CAGrad", "Mean", f"flop bound (1 + 2T)/3 = {(1 + 2 * TASKS) / 3:.2f}"),
        ("F-CAGrad", "direct CAGrad", ""),
    ):
        print(f"{one} / {other}: {ratio(times, one, other)}  {note}")
    print(f"memory of a step, F-CAGrad / CAGrad: {peaks['F-CAGrad'] / peaks['CAGrad']:.2f}")
    print(f"memory of a step, F-CAGrad / Mean: {peaks['F-CAGrad'] / peaks['Mean']:.2f}")


if __name__ == "__main__":
    main()
