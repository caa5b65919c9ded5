"""The two presets of the paper on the device: speed, memory, hours; and an evaluation at NYUv2's size."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import Subset

from ..data.multimnist import MultiTaskData
from ..data.scenes import Scenes
from ..engine.config import Config
from ..engine.errors import RunError
from ..engine.memory import explain_device_errors
from ..engine.processes import Processes
from ..engine.trainer import Trainer
from ..experiments.images import ACCURACY_IMAGES, ImageTasks
from ..experiments.registry import read_options
from ..experiments.scenes import SceneTasks, nyuv2_score
from ..networks.images import resnet18
from ..networks.scenes import SceneNet, encoder_decoder, mtan
from .problems import as_in_training
from .rows import SCENE_SIZE, Bench, Row, measured, needs_cuda, skipped, within

WARM_STEPS = 3
SAME_METRICS = 1e-2  # relative, in float32: a pixel may change its class
IMAGES = 1000  # validation and test images that an evaluation is timed on
EPOCH = 100  # scenes of an epoch: the rooms again and again


class Sizes(NamedTuple):
    """Items of the full run: for training, and for one evaluation."""

    train: int
    evaluated: int


FULL = {
    "multimnist": Sizes(120_000, ACCURACY_IMAGES + 12_000 + 20_000),
    "nyuv2": Sizes(750, 45 + 654),
}


@needs_cuda
def paper_presets(bench: Bench) -> Iterator[Row]:
    """Measure training steps and an evaluation of each preset; say how long the full run takes."""
    for name in FULL:
        for method in ["f-cagrad"] if bench.quick else ["f-cagrad", "cagrad", "mean"]:
            config = read_options(name, "paper", {"method": method}).config
            try:
                with as_in_training(), explain_device_errors(config):
                    yield from preset_rows(name, config, bench)
            except RunError as error:
                yield Row(f"{name} --preset paper, {method}", None, "fits", "fail", str(error))


def evaluation_at_full_size(bench: Bench) -> Iterator[Row]:
    """Evaluate a network on scenes of NYUv2's size, and compare its metrics with the CPU's."""
    full = bench.on_cuda or not bench.quick
    tasks = scene_tasks(bench, mtan if full else encoder_decoder, 2 if not bench.on_cuda else None)
    with as_in_training():
        net = tasks.network().to(bench.device)
        metrics: dict = {}
        seconds = bench.seconds(lambda: metrics.update(tasks.evaluate(net)))
    scenes = count_scenes(tasks)
    values = [value for key, value in metrics["test"].items() if key != "loss"]
    why = f"{'MTAN' if full else 'encoder-decoder'}, {scenes} scenes"
    finite = all(map(math.isfinite, values))
    yield Row(
        f"evaluation at {SCENE_SIZE}: seconds per scene",
        seconds / scenes,
        "finite metrics",
        "pass" if finite else "fail",
        why,
    )
    if bench.on_cuda:
        yield within(
            f"evaluation at {SCENE_SIZE}: metrics against the CPU", _against_cpu(bench), SAME_METRICS
        )


@needs_cuda
def final_measures(bench: Bench) -> Iterator[Row]:
    """Take the measures that follow the last epoch of NYUv2, whose Hessian product needs the most memory."""
    if bench.quick:
        yield skipped("final measures", "left out by --quick")
        return
    tasks = scene_tasks(bench, mtan)
    label = f"final measures of MTAN at {SCENE_SIZE}: peak memory in GiB"
    try:
        with as_in_training():
            net = tasks.network().to(bench.device)
            bench.forget_peak()
            seconds = bench.seconds(lambda: tasks.measure(net))
    except torch.OutOfMemoryError:
        advice = f"of {bench.gib():.1f} GiB; train with --no-measure, then --resume --device cpu"
        yield measured(label, "too large", advice)
        return
    yield measured(label, bench.peak_gib(), f"of {bench.gib():.1f} GiB; {seconds:.0f} s")


def scene_tasks(bench: Bench, network: Callable[..., SceneNet], scenes: int | None = None) -> SceneTasks:
    """Return rooms of NYUv2's size with the settings of its preset; ``scenes``: number of test scenes."""
    rooms, test = Scenes(bench.rooms, "train"), Scenes(bench.rooms, "val")
    train = Subset(rooms, [item % len(rooms) for item in range(EPOCH)])
    return SceneTasks(
        *(train, Subset(rooms, range(2)), Subset(test, range(scenes or len(test)))),
        network=network,
        score=nyuv2_score,
        augment=True,
        per_batch=True,
        measured=2,
        device=bench.device,
    )


def image_tasks(bench: Bench, count: int) -> ImageTasks:
    """Return random images in the form of Multi-MNIST with the network of its preset."""
    generator = torch.Generator().manual_seed(0)

    def draw(number: int) -> tuple[Tensor, Tensor]:
        images = torch.randint(256, (number, 36, 36), generator=generator, dtype=torch.uint8)
        return images, torch.randint(10, (number, 2), generator=generator)

    images, labels = draw(count)
    val_images, val_labels = draw(IMAGES)
    data = MultiTaskData(
        train_images=images,
        train_labels=labels,
        train_clean_labels=labels,
        val_images=val_images,
        val_labels=val_labels,
        test_images=val_images,
        test_labels=val_labels,
        task_names=("one", "two"),
        classes=(10, 10),
        origin="random images",
    )
    return ImageTasks(data, resnet18, bench.device)


def preset_rows(name: str, config: Config, bench: Bench) -> Iterator[Row]:
    """Yield speed, memory and the hours of the full run for one preset and one method."""
    steps = WARM_STEPS + (10 if bench.quick else 30)
    tasks: ImageTasks | SceneTasks
    if name == "multimnist":
        tasks = image_tasks(bench, (steps + 1) * config.batch_size)
        evaluated = min(ACCURACY_IMAGES, tasks.size) + 2 * IMAGES
    else:
        tasks = scene_tasks(bench, mtan)
        evaluated = count_scenes(tasks)
    bench.forget_peak()
    trainer = Trainer(tasks, replace(config, snapshot_every=0), Processes(device=bench.device))
    advance = trainer.advance()
    try:
        times = [bench.seconds(lambda: next(advance)) for _ in range(steps)]
    finally:
        advance.close()  # type: ignore[attr-defined]
    evaluation = bench.seconds(lambda: tasks.evaluate(trainer.model))
    step = statistics.median(times[WARM_STEPS:])
    label = f"{name} --preset paper, {config.method}"
    yield measured(f"{label}: steps a second", 1 / step, f"{1000 * step:.1f} ms a step", seconds=times)
    yield measured(f"{label}: peak memory in GiB", bench.peak_gib(), f"of {bench.gib():.1f} GiB")
    mean = statistics.fmean(times[WARM_STEPS:])  # batches may come in bursts
    hours = full_hours(FULL[name], config, mean, evaluation / evaluated)
    yield measured(f"{label}: hours for the full run", hours, f"{config.epochs} epochs, with evaluations")


def count_scenes(tasks: SceneTasks) -> int:
    """Return the number of scenes of an evaluation."""
    return sum(len(cast(Sized, split)) for split in tasks.splits.values())


def full_hours(sizes: Sizes, config: Config, step: float, evaluation: float) -> float:
    """Return the hours of a full run, from the seconds of a step and of the evaluation of one item.

    Example:
        >>> config = Config(epochs=2, batch_size=10, evaluate_every=1)
        >>> full_hours(Sizes(100, 50), config, step=60.0, evaluation=12.0)
        0.6666666666666666
    """
    steps = sizes.train // config.batch_size * config.epochs
    evaluations = len({1, *range(config.evaluate_every, config.epochs + 1, config.evaluate_every)})
    return (steps * step + evaluations * sizes.evaluated * evaluation) / 3600


def _against_cpu(bench: Bench) -> float:
    """Return the largest relative difference of a metric on the device from the CPU's, on two scenes."""
    metrics: list[Mapping[str, float]] = []
    for device in (bench.device, torch.device("cpu")):
        tasks = scene_tasks(replace_device(bench, device), encoder_decoder, 2)
        with torch.random.fork_rng(devices=[]), as_in_training():
            torch.manual_seed(0)
            net: SceneNet = encoder_decoder()
            metrics.append(tasks.evaluate(net.to(device))["test"])
    return max(
        abs(metrics[0][key] - value) / max(abs(value), 1e-6)
        for key, value in metrics[1].items()
        if key != "loss"
    )


def replace_device(bench: Bench, device: torch.device) -> Bench:
    """Return a bench of another device with the same folder."""
    return Bench(device, bench.folder, bench.quick, bench.deadline)


CHECKS: Sequence = (evaluation_at_full_size, paper_presets, final_measures)
