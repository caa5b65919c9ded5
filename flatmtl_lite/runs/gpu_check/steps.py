"""How often a step waits for the device, and what the flat part costs next to its arithmetic."""

import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from .problems import SMALL, Make, as_in_training, image_problem, scene_problem
from .rows import HEIGHT, SCENE_SIZE, WIDTH, Bench, Row, measured, needs_cuda, skipped, within

WAITS = 2  # copies to the host in a step
WARM_STEPS = 3
# name -> the problem, and whether it ends in time on a CPU
NETWORKS: dict[str, tuple[Make, bool]] = {
    "LeNet, 256 images": (partial(image_problem, "lenet", 256), True),
    "ResNet-18, 256 images": (partial(image_problem, "resnet18", 256), False),
    f"MTAN, 2 scenes {SCENE_SIZE}": (partial(scene_problem, 2, HEIGHT, WIDTH), False),
}


@needs_cuda
def waits_per_step(bench: Bench) -> Iterator[Row]:
    """Count the copies to the host in one step, and the calls that wait for the device."""
    for method in ("cagrad", "f-cagrad", "f-nash_mtl"):
        with as_in_training():
            step = SMALL["LeNet"](bench.device, torch.float32).step(method)
            for _ in range(WARM_STEPS):  # the first step waits more often
                step()
            copies = copies_to_host(step)
            places = waiting_places(step)
        name = f"{method}: copies to the host in a step"
        if copies is None:
            yield skipped(name, "torch's profiler sees no kernel on this machine")
        else:
            yield within(name, copies, WAITS)
        where = ", ".join(f"{place} {count}x" for place, count in places.items())
        yield measured(f"{method}: calls that wait for the device", places.total(), where)


def flat_part_beside_its_arithmetic(bench: Bench) -> Iterator[Row]:
    """Compare the time of F-CAGrad and CAGrad with the ratio of their floating-point operations."""
    for name, (make, ends_on_cpu) in NETWORKS.items():
        label = f"{name}: F-CAGrad / CAGrad"
        if not (bench.on_cuda or ends_on_cpu):
            yield skipped(label, "no CUDA; on a CPU it takes minutes")
            continue
        with as_in_training():
            problem = make(bench.device, torch.float32)
            steps = [problem.step(method, lr=1e-4) for method in ("f-cagrad", "cagrad")]
            flops = [operations(step) for step in steps]
            times = [median_seconds(step, bench) for step in steps]
        ratio, bound = times[0] / times[1], flops[0] / flops[1]
        why = f"{1000 * times[0]:.1f} ms and {1000 * times[1]:.1f} ms; by the arithmetic {bound:.2f}"
        yield measured(label, ratio, why, seconds=times, operations=flops)


def copies_to_host(step: Callable[[], object]) -> int | None:
    """Return how often a step copies from the device to the host; None if the profiler sees no kernel."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step()
        torch.cuda.synchronize()
    events = profile.events() or []
    if not any(event.device_type == torch.autograd.DeviceType.CUDA for event in events):
        return None
    return sum("Memcpy DtoH" in event.name for event in events)


def waiting_places(step: Callable[[], object]) -> Counter[str]:
    """Return the places in the code that wait for the device, by torch's own debug mode."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [note for note in notes if "synchronizing" in str(note.message)]
    return Counter(f"{Path(note.filename).name}:{note.lineno}" for note in waits)


def operations(step: Callable[[], object]) -> int:
    """Return the floating-point operations of a step's convolutions and products."""
    step()  # the first step also checks its closures
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def median_seconds(step: Callable[[], object], bench: Bench) -> float:
    """Return the median time of a step."""
    for _ in range(WARM_STEPS):
        step()
    count = 10 if bench.quick else 30
    return statistics.median(bench.seconds(step) for _ in range(count))


CHECKS: Sequence = (waits_per_step, flat_part_beside_its_arithmetic)
