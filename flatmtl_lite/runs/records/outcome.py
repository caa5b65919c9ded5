"""What is recorded of a trained network, and of the angles of its training."""

import statistics
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...diagnostics import share_in_conflict, sum_by_thirds
from ..data.multimnist import MultiTaskData
from ..engine.rounding import rounded
from ..engine.run import Run
from ..measures.calibration import evaluate
from ..measures.evaluation import top_eigenvalues
from ..measures.landscape import line
from ..measures.twins import measure_networks
from ..networks.images import image_input, task_closures

SHOWN_IMAGES = 8  # the first test images, which all seeds share
SLICE_POINTS = 21


def measured(run: Run, data: MultiTaskData) -> dict[str, Any]:
    """Return :func:`accuracies`, :func:`quality` and :func:`angles` of a trained network."""
    return accuracies(run) | quality(run.model, data, run.sharpness) | angles(run)


def quality(model: nn.Module, data: MultiTaskData, sharpness: list[float]) -> dict[str, list[float]]:
    """Return by task accuracy (``test``, in per cent), ``nll`` and ``ece`` on test images, and ``sharpness``.

    Args:
        model: the network.
        data: for the test images.
        sharpness: of each task's training loss, as ``train`` and ``task_sharpness`` return it.
    """
    metrics = evaluate(model, data.test_images, data.test_labels)
    return {
        "test": metrics["accuracy"],
        "nll": rounded(metrics["nll"]),
        "ece": rounded(metrics["ece"]),
        "sharpness": rounded(sharpness),
    }


def portrait(model: nn.Module, data: MultiTaskData, sharpness: list[float]) -> dict[str, Any]:
    """Return what the ρ knob shows of a network: its :func:`quality`, ``slice`` and ``answers``.

    The slice holds the training losses along one fixed random direction, (points, T). The answers are those
    to the first eight test images, (8, T, 2): a class and its probability in per cent.
    """
    images, labels = data.train_images, data.train_labels
    slices = measure_networks(
        model,
        lambda net, tasks: task_closures(net, images, labels[:, list(tasks)]),
        partial(line, points=SLICE_POINTS),
    )
    probability, answer = shown_logits(model, data).softmax(-1).max(-1)
    return {
        **quality(model, data, sharpness),
        "slice": rounded(slices["losses"], 4),
        "answers": torch.stack([answer, (100 * probability).round().long()], -1).tolist(),
    }


def shown_logits(model: nn.Module, data: MultiTaskData) -> Tensor:
    """Return the logits of the first eight test images, (8, T, classes), without gradients."""
    with torch.no_grad():
        return torch.stack(model(image_input(model, data.test_images[:SHOWN_IMAGES])), 1)


def curvature(model: nn.Module, data: MultiTaskData) -> dict[str, list[float]]:
    """Return the top eigenvalue of the Hessian of each task's training loss."""
    return {"top_eigenvalue": rounded(top_eigenvalues(model, data.train_images, data.train_labels))}


def angles(run: Run) -> dict[str, Any]:
    """Return the angles of two tasks' gradients by thirds of training, from the measured steps.

    Returns:
        ``conflict``: shares of steps with a negative cosine, and ``cosine``: mean cosines, each by part,
        "loss" and "flat"; ``norms`` of both parts in the last third, (T,) each; ``same``: mean cosine of the
        decomposed direction with the direct one. What was not measured is left out.
    """
    values: dict[str, Any] = {"conflict": {}, "cosine": {}, "norms": {}}
    for part, norms in (("loss", "norms"), ("flat", "flat_norms")):
        steps = [step for step in run.measured_steps if part in step]
        if not steps:
            continue
        times = [step["epoch"] for step in steps]
        counts = sum_by_thirds(times, run.config.epochs, [[s[part][0] < 0, s[part][0] >= 0] for s in steps])
        sums = sum_by_thirds(times, run.config.epochs, [s[part][0] for s in steps])
        late = [step[norms] for step in steps if step["epoch"] >= run.config.epochs * 2 / 3]
        values["conflict"][part] = rounded(share_in_conflict(counts), 3)
        values["cosine"][part] = rounded(sums / counts.sum(-1), 3)
        values["norms"][part] = rounded([statistics.mean(task) for task in zip(*late, strict=True)], 3)
    if same := [step["same"] for step in run.measured_steps if "same" in step]:
        values["same"] = round(statistics.mean(same), 4)
    return values


def mean_cosines(run: Run, since: int) -> dict[str, float]:
    """Return the mean cosines of two tasks' gradients, by part, over the measured steps after an epoch."""
    steps = [step for step in run.measured_steps if step["epoch"] >= since]
    by_part = {part: [step[part][0] for step in steps if part in step] for part in ("loss", "flat")}
    return {part: rounded(statistics.mean(values), 3) for part, values in by_part.items() if values}


def accuracies(run: Run) -> dict[str, Any]:
    """Return final accuracies by split and task, and those of the epoch that validation picks.

    ``course`` is the mean test accuracy at every evaluation.
    """
    final, picked = run.accuracies[-1], max(run.accuracies, key=lambda e: sum(e["val"]))
    return {
        **{split: final[split] for split in ("train", "val", "test")},
        "picked_epoch": picked["epoch"],
        "picked_test": picked["test"],
        "course": [round(statistics.mean(e["test"]), 2) for e in run.accuracies],
    }
