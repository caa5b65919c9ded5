"""Steps a second: the run engine, a loop around FlatMTL, plain PyTorch, the formulas written out, and peers.

``python -m benchmarks.engine``; ``--large`` adds the ResNet-18. One process, one thread; the same LeNet, the
same batches of 256 real images, the same SGD for all. A round is four steps of every contender in turn; a
ratio is the median over the rounds. Steps are timed in processor time, so that other jobs count little. The
bare loop runs twice: what the two differ by is noise. Whether the C library hands memory back between two
steps changes from run to run; to see one per cent, forbid it:
``MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=1073741824 python -m benchmarks.engine``.

LibMTL is among them if it is installed (``benchmarks/libmtl.py``). Its CAGrad is written for three tasks and
for weights that are not channels_last, so these are what it is compared on.
"""

import argparse
import datetime
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
import torchjd.aggregation
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchjd.autojac import jac_to_grad, mtl_backward

import flatmtl_lite as fm
from benchmarks.libmtl import weightings
from benchmarks.timing import ratio, step_times
from flatmtl_lite.runs import (
    Config,
    MultiTaskData,
    MultiTaskNet,
    RunFolder,
    lenet,
    multi_mnist,
    resnet18,
    task_closures,
)
from flatmtl_lite.runs.engine.trainer import Trainer
from flatmtl_lite.runs.experiments.images import ImageTasks

ROUNDS, STEPS, BATCH = 40, 4, 256
EPOCH = 48  # steps: what the engine does once an epoch falls into one round of twelve, and is timed apart
C, RHO = 0.4, 0.05
NEVER = 10**6
Step = Callable[[Tensor, Tensor], object]  # of images (N, H, W) uint8 and labels (N, T)


def losses_at(model: MultiTaskNet, images: Tensor, labels: Tensor) -> list[Tensor]:
    z = model.trunk(images.unsqueeze(1).float() / 255)
    return [cross_entropy(head(z), y) for head, y in zip(model.heads, labels.unbind(1), strict=True)]


def flat_vector(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])


def write_back(vector: Tensor, parameters: list[nn.Parameter]) -> None:
    for p, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p)


def cagrad_of_two(G: Tensor) -> Tensor:
    """Algorithm 1 of arXiv 2110.14048 for two tasks, its dual solved in closed form; divided by 1 + c."""
    (a, b), (_, d) = (G @ G.T).tolist()
    mean, apart, slope = (a + 2 * b + d) / 4, a - 2 * b + d, (a - d) / 2
    inside = C * C * mean * apart - slope * slope
    if inside > 0:
        w = (d - b - slope * math.sqrt(max(a * d - b * b, 0) / inside)) / apart
    else:
        w = float(slope < 0)
    w = min(max(w, 0.0), 1.0)
    mixed = w * G[0] + (1 - w) * G[1]
    return (G.mean(0) + C * math.sqrt(mean) / mixed.norm() * mixed) / (1 + C)


def plain(model: MultiTaskNet, optimizer: torch.optim.Optimizer) -> Step:
    def step(images, labels):
        optimizer.zero_grad()
        losses = losses_at(model, images, labels)
        (sum(losses) / len(losses)).backward()
        optimizer.step()

    return step


def written_cagrad(model: MultiTaskNet, optimizer: torch.optim.Optimizer) -> Step:
    shared, heads = list(model.trunk.parameters()), [list(head.parameters()) for head in model.heads]

    def step(images, labels):
        rows = []
        for loss, head in zip(losses_at(model, images, labels), heads, strict=True):
            grads = torch.autograd.grad(loss, shared + head, retain_graph=True)
            rows.append(flat_vector(grads[: len(shared)]))
            for p, grad in zip(head, grads[len(shared) :], strict=True):
                p.grad = grad
        write_back(cagrad_of_two(torch.stack(rows)), shared)
        optimizer.step()

    return step


def written_f_cagrad(model: MultiTaskNet, optimizer: torch.optim.Optimizer) -> Step:
    """Algorithm 1 of arXiv 2211.13723, one norm over trunk and head."""
    shared, heads = list(model.trunk.parameters()), [list(head.parameters()) for head in model.heads]

    def step(images, labels):
        losses = losses_at(model, images, labels)
        clean = [
            torch.autograd.grad(loss, shared + head, retain_graph=True)
            for loss, head in zip(losses, heads, strict=True)
        ]
        x, rows, sam_rows = images.unsqueeze(1).float() / 255, [], []
        for t, head in enumerate(heads):
            moved = shared + head
            before = [p.detach().clone() for p in moved]
            scale = RHO / flat_vector(clean[t]).norm()
            with torch.no_grad():
                for p, grad in zip(moved, clean[t], strict=True):
                    p.add_(scale * grad)
            sam = torch.autograd.grad(cross_entropy(model.heads[t](model.trunk(x)), labels[:, t]), moved)
            with torch.no_grad():
                for p, value in zip(moved, before, strict=True):
                    p.copy_(value)
            rows.append(flat_vector(clean[t][: len(shared)]))
            sam_rows.append(flat_vector(sam[: len(shared)]))
            for p, grad in zip(head, sam[len(shared) :], strict=True):
                p.grad = grad
        loss_part, flat_part = torch.stack(rows), torch.stack(sam_rows) - torch.stack(rows)
        write_back(cagrad_of_two(loss_part) + cagrad_of_two(flat_part), shared)
        optimizer.step()

    return step


def flatmtl(aggregate: fm.Aggregator, combine: str) -> Callable[..., Step]:
    def build(model, optimizer):
        heads = [head.parameters() for head in model.heads]
        step = fm.FlatMTL(
            optimizer, model.trunk.parameters(), heads, aggregate, RHO, combine=combine, norm="together"
        )
        return lambda images, labels: step(*task_closures(model, images, labels))

    return build


def torchjd_cagrad(model: MultiTaskNet, optimizer: torch.optim.Optimizer) -> Step:
    aggregate, shared = torchjd.aggregation.CAGrad(c=C), list(model.trunk.parameters())

    def step(images, labels):
        optimizer.zero_grad()
        z = model.trunk(images.unsqueeze(1).float() / 255)
        losses = [cross_entropy(head(z), y) for head, y in zip(model.heads, labels.unbind(1), strict=True)]
        mtl_backward(losses, features=z)
        jac_to_grad(shared, aggregate)
        optimizer.step()

    return step


def libmtl_cagrad(model: MultiTaskNet, optimizer: torch.optim.Optimizer) -> Step:
    """LibMTL's own ``backward``, given what its trainer would have mixed in."""
    weighting = weightings().CAGrad()
    weighting.task_num, weighting.device, weighting.rep_grad = len(model.heads), "cpu", False
    weighting.get_share_params = model.trunk.parameters
    # it writes into the .grad that is there; when it was written, zero_grad left one
    weighting.zero_grad_share_params = lambda: model.trunk.zero_grad(set_to_none=False)

    def step(images, labels):
        optimizer.zero_grad(set_to_none=False)
        weighting.backward(losses_at(model, images, labels), calpha=C, rescale=2)
        optimizer.step()

    return step


def loop(data: MultiTaskData, model: MultiTaskNet, build: Callable[..., Step], steps: int = STEPS):
    """A round of a loop that a user writes: the batches are the engine's."""
    step = build(model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))

    def batches():
        order = torch.Generator().manual_seed(0)
        while True:
            for chosen in torch.randperm(len(data.train_images), generator=order).split(BATCH):
                yield data.train_images[chosen], data.train_labels[chosen]

    each = batches()

    def run():
        for _ in range(steps):
            step(*next(each))

    return run


class Engine:
    """A round of the engine.

    Attributes:
        model: the network that it trains.
        epoch_ends: seconds of what it did at the end of each epoch.
    """

    def __init__(self, data: MultiTaskData, network: Callable, steps: int = STEPS, **options):
        common = dict(batch_size=BATCH, epochs=NEVER, evaluate_every=NEVER, rho=RHO)
        training = dict(optimizer="sgd", lr=0.01, momentum=0.9, schedule="constant", norm="together")
        self.trainer = Trainer(ImageTasks(data, network), Config(**common, **training, **options))
        self.model, self.steps, self.epoch_ends = self.trainer.model, steps, []
        self._advance = self.trainer.advance()

    def __call__(self) -> None:
        for _ in range(self.steps):
            began = time.process_time()
            if next(self._advance) is None:
                self.epoch_ends.append(time.process_time() - began)
                next(self._advance)


def made(network: Callable, data: MultiTaskData) -> MultiTaskNet:
    torch.manual_seed(0)
    return network(data.classes)


def agreement(method: str, models: dict[str, MultiTaskNet]) -> None:
    """Print how far the networks that were trained by that method are apart."""
    with torch.no_grad():
        own = [model for name, model in models.items() if name.startswith(method + ",")]
        weights = torch.stack([flat_vector(tuple(model.parameters())) for model in own])
        apart = (weights - weights[0]).abs().max().item()
    print(f"{method}: the weights of {len(own)} contenders differ by at most {apart:.0e} after {STEPS} steps")


def speeds(times: dict[str, list[float]], steps: int = STEPS) -> None:
    for name, seconds in times.items():
        each = statistics.median(seconds) / steps
        print(f"{name:<36}{1000 * each:8.1f} ms a step{1 / each:8.2f} steps a second")
    print()


def ratios(times: dict[str, list[float]], pairs: list[tuple[str, str, str]]) -> None:
    for one, other, note in pairs:
        print(f"{one} / {other}: {ratio(times, one, other, digits=3)}  {note}".rstrip())


def two_tasks() -> None:
    """The engine, loops and TorchJD on LeNet; and what the engine does off the hot path."""
    data = multi_mnist("fashion+mnist", 0, EPOCH * BATCH, 2000, 4000, sample=True)
    loops = {
        "LS, bare loop": plain,
        "LS, bare loop again": plain,
        "LS, loop around FlatMTL": flatmtl(fm.Mean(), "erm"),
        "CAGrad, written out": written_cagrad,
        "CAGrad, loop around FlatMTL": flatmtl(fm.CAGrad(C), "erm"),
        "CAGrad, TorchJD": torchjd_cagrad,
        "F-CAGrad, written out": written_f_cagrad,
        "F-CAGrad, loop around FlatMTL": flatmtl(fm.CAGrad(C), "decomposed"),
    }
    models = {name: made(lenet, data) for name in loops}
    rounds = {name: loop(data, models[name], build) for name, build in loops.items()}
    engines = {
        "LS, engine, not measuring": Engine(data, lenet, method="mean", measure_every=NEVER),
        "LS, engine": Engine(data, lenet, method="mean"),
        "CAGrad, engine": Engine(data, lenet, method="cagrad"),
        "F-CAGrad, engine": Engine(data, lenet, method="f-cagrad"),
    }
    models |= {name: engine.model for name, engine in engines.items()}
    rounds |= engines
    for run in rounds.values():
        run()
    for method in ("LS", "CAGrad", "F-CAGrad"):
        # a bare loop's heads follow the mean loss, TorchJD's CAGrad is 1 + c times as long
        agreement(method, {n: m for n, m in models.items() if "bare" not in n and "TorchJD" not in n})
    print()

    times = step_times(rounds, ROUNDS, time.process_time)
    speeds(times)
    ratios(
        times,
        [
            ("LS, bare loop again", "LS, bare loop", "noise"),
            ("LS, engine, not measuring", "LS, bare loop", "engine and FlatMTL"),
            ("LS, engine, not measuring", "LS, loop around FlatMTL", "engine alone"),
            ("LS, engine", "LS, engine, not measuring", "angles measured at one step of four"),
            ("CAGrad, engine", "CAGrad, loop around FlatMTL", "engine alone"),
            ("CAGrad, engine", "CAGrad, written out", ""),
            ("CAGrad, engine", "CAGrad, TorchJD", ""),
            ("F-CAGrad, engine", "F-CAGrad, loop around FlatMTL", "engine alone"),
            ("F-CAGrad, engine", "F-CAGrad, written out", ""),
            ("F-CAGrad, engine", "CAGrad, engine", ""),
        ],
    )
    print("\nOff the hot path:")
    for name, engine in engines.items():
        end = statistics.median(engine.epoch_ends[1:])  # the first also evaluates
        share = 100 * end / (EPOCH * statistics.median(times[name]) / STEPS)
        print(f"{name}, end of an epoch of {EPOCH} steps: {1000 * end:.1f} ms, {share:.2f} % of it")
    trainer = engines["F-CAGrad, engine"].trainer
    seconds = median_time(lambda: trainer.experiment.evaluate(trainer.model))
    print(f"evaluation on 10,000 training, 2,000 validation and 4,000 test images: {seconds:.2f} s")
    save_time("LeNet", trainer)


def three_tasks() -> None:
    """CAGrad on three tasks and weights in the order NCHW, with LibMTL if it is there."""
    data = multi_mnist(
        "fashion+mnist", 0, EPOCH * BATCH, 1, 1, sample=True, tasks=["digit", "garment", "parity"]
    )
    loops = {"CAGrad, FlatMTL": flatmtl(fm.CAGrad(C), "erm"), "CAGrad, TorchJD": torchjd_cagrad}
    if weightings() is not None:
        loops["CAGrad, LibMTL"] = libmtl_cagrad
    models = {name: made(lenet, data).to(memory_format=torch.contiguous_format) for name in loops}
    rounds = {name: loop(data, models[name], build) for name, build in loops.items()}
    for run in rounds.values():
        run()
    agreement("CAGrad", {name: model for name, model in models.items() if "TorchJD" not in name})
    print()
    times = step_times(rounds, ROUNDS // 2, time.process_time)
    speeds(times)
    ratios(times, [("CAGrad, FlatMTL", name, "the peer's step") for name in list(loops)[1:]])


def large() -> None:
    """The ResNet-18, a step a round, three rounds."""
    data = multi_mnist("fashion+mnist", 0, EPOCH * BATCH, 1, 1, sample=True)
    rounds = {
        "LS, bare loop": loop(data, made(resnet18, data), plain, steps=1),
        "LS, engine, not measuring": Engine(data, resnet18, 1, method="mean", measure_every=NEVER),
        "F-CAGrad, written out": loop(data, made(resnet18, data), written_f_cagrad, steps=1),
        "F-CAGrad, engine": Engine(data, resnet18, 1, method="f-cagrad"),
    }
    times = step_times(rounds, 3, time.process_time)
    speeds(times, steps=1)
    ratios(
        times,
        [
            ("LS, engine, not measuring", "LS, bare loop", "engine and FlatMTL"),
            ("F-CAGrad, engine", "F-CAGrad, written out", ""),
        ],
    )


def save_time(name: str, trainer: Trainer) -> None:
    """Print what a checkpoint of that run costs, written out and synced."""
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(path)
        folder.take()
        folder.begin({})
        seconds = median_time(lambda: folder.save(trainer.state_dict(), trainer.run.log))
        size = max(file.stat().st_size for file in folder.checkpoints.folder.iterdir())
        folder.release()
    print(f"checkpoint of {name}: {1000 * seconds:.0f} ms, {size / 1e6:.1f} MB")


def median_time(run: Callable[[], object]) -> float:
    """Seconds: the median of seven."""
    times = []
    for _ in range(7):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps a second of the run engine and of others.")
    parser.add_argument("--large", action="store_true", help="the ResNet-18 too: some minutes more")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = f"{platform.machine()} CPU, 1 thread, torch {torch.__version__}"
    print(f"{datetime.date.today()}, {machine}; batch {BATCH}, {ROUNDS} rounds of {STEPS} steps")
    print("times of steps are processor time\n")
    print("LeNet, T = 2")
    two_tasks()
    small = multi_mnist("fashion+mnist", 0, 16, 1, 1, sample=True)
    trainer = Trainer(ImageTasks(small, resnet18), Config(batch_size=16))
    next(trainer.advance())
    save_time("ResNet-18", trainer)
    print("\nLeNet in NCHW, T = 3")
    three_tasks()
    if arguments.large:
        print("\nResNet-18, T = 2, 3 rounds of 1 step")
        large()


if __name__ == "__main__":
    main()
