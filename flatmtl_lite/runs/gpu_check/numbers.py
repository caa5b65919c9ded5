"""Whether the device computes what the CPU computes, and how much of the flat part float32 leaves."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ...aggregation import AGGREGATORS, Aggregator, LearnedWeighting
from ...decomposition import RULES, Decomposition, combine
from ...passes import decompose
from .problems import SMALL, Problem, as_in_training
from .rows import Bench, Row, measured, needs_cuda, skipped, within

SAME = 1e-9  # relative distance of two computations in float64
FLOAT32 = 1e-2  # relative error of a flat part in float32
RHO = 0.05
CPU = torch.device("cpu")
TASKS, WEIGHTS = 3, 1000


@needs_cuda
def float64_on_both_devices(bench: Bench) -> Iterator[Row]:
    """Compare losses, loss parts, flat parts and head gradients of the device with the CPU's."""
    for name, make in SMALL.items():
        with as_in_training():
            parts = [gradient_parts(make(device, torch.float64)) for device in (bench.device, CPU)]
        for part, values in parts[0].items():
            distance = max(map(relative_distance, values, parts[1][part]))
            yield within(f"{name} in float64: {part}", distance, SAME)


@needs_cuda
def rules_and_aggregators(bench: Bench) -> Iterator[Row]:
    """Compare the direction of every rule and of every aggregator on the device with the CPU's."""
    generator = torch.Generator().manual_seed(0)
    shape = 2, TASKS, WEIGHTS
    loss, flat = torch.randn(shape, generator=generator, dtype=torch.float64)
    losses = torch.linspace(0.5, 2.0, TASKS, dtype=torch.float64)
    pairs = {f"cagrad, {rule}": ("cagrad", rule) for rule in RULES}
    yield from _directions(f"{len(RULES)} rules with CAGrad", pairs, loss, flat, losses, bench)
    pairs = {name: (name, "decomposed") for name in AGGREGATORS}
    yield from _directions(f"{len(AGGREGATORS)} aggregators, decomposed", pairs, loss, flat, losses, bench)


def flat_part_in_float32(bench: Bench) -> Iterator[Row]:
    """Compare flat parts in float32, without and with TF32, with float64 on the same device."""
    for name, make in SMALL.items():
        with as_in_training():
            exact = gradient_parts(make(bench.device, torch.float64))["flat parts"]
            rounded = gradient_parts(make(bench.device, torch.float32))["flat parts"]
        error = max(map(relative_distance, rounded, exact))
        yield within(f"{name}: flat part in float32", error, FLOAT32, "relative to float64")
        label = f"{name}: flat part in TF32"
        if not bench.on_cuda:
            yield skipped(label, "no CUDA")
        elif torch.cuda.get_device_capability(bench.device) < (8, 0):
            yield skipped(label, "the GPU has no TF32")
        else:
            with as_in_training(tf32=True):
                rounded = gradient_parts(make(bench.device, torch.float32))["flat parts"]
            error = max(map(relative_distance, rounded, exact))
            yield measured(label, error, "relative to float64; training leaves TF32 off by default")


def gradient_parts(problem: Problem) -> dict[str, list[Tensor]]:
    """Return the losses, both parts of each task's gradient, and the heads' gradients of a problem."""
    net = problem.net
    d = decompose(problem.features, problem.losses, net.shared_parameters(), net.head_parameters(), rho=RHO)
    assert d.losses is not None
    assert d.perturbed_losses is not None
    heads = [torch.cat([grad.flatten() for grad in head]) for head in d.head_grads]
    return {
        "losses": [d.losses],
        "perturbed losses": [d.perturbed_losses],
        "loss parts": list(d.loss),
        "flat parts": list(d.flat),
        "heads": heads,
    }


def relative_distance(value: Tensor, reference: Tensor) -> float:
    """Return ‖value - reference‖ / ‖reference‖, computed on the CPU in float64.

    Example:
        >>> relative_distance(torch.tensor([3.0]), torch.tensor([2.0]))
        0.5
    """
    value, reference = value.detach().cpu().double(), reference.detach().cpu().double()
    return ((value - reference).norm() / reference.norm()).item()


def _directions(
    name: str,
    pairs: Mapping[str, tuple[str, str]],
    loss: Tensor,
    flat: Tensor,
    losses: Tensor,
    bench: Bench,
) -> Iterator[Row]:
    """Yield one row with the largest distance, and one for each direction that cannot be computed."""
    distances = {}
    for label, (method, rule) in pairs.items():
        try:
            here, there = (
                combine(
                    Decomposition(loss.to(device), flat.to(device), losses=losses.to(device)),
                    new_aggregator(method, TASKS),
                    rule,
                )
                for device in (bench.device, CPU)
            )
            distances[label] = relative_distance(here, there)
        except Exception as error:
            yield Row(f"{label} on both devices", None, "", "fail", f"{type(error).__name__}: {error}")
    worst = max(distances, key=lambda label: distances[label], default="")
    if worst:
        yield within(name, distances[worst], SAME, f"largest: {worst}", distances=distances)


def new_aggregator(name: str, tasks: int) -> Aggregator:
    """Return a new aggregator; it is told the number of tasks if it learns a parameter for each."""
    method = AGGREGATORS[name]
    return method(tasks) if issubclass(method, LearnedWeighting) else method()


CHECKS: Sequence = (float64_on_both_devices, rules_and_aggregators, flat_part_in_float32)
