"""How good and how honest a network's probabilities are: NLL, Brier score, ECE, reliability diagrams."""

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss, one_hot
from torchmetrics.functional.classification import multiclass_calibration_error

from ..engine.rounding import rounded
from .evaluation import check_task, outputs, percent_right


def log_probabilities(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Log-probabilities of each task in evaluation mode: images (N, H, W) uint8 -> (N, classes) per task.

    In float32, or in the model's dtype if that is wider; on the images' device.
    """
    logits = outputs(model, images)
    return [task.log_softmax(-1, dtype=torch.promote_types(task.dtype, torch.float32)) for task in logits]


def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """:func:`calibration_metrics` of every task from one pass over the images: T values per metric.

    Args:
        model: trunk and heads.
        images: (N, H, W) uint8.
        labels: (N, T), on the same device.
    """
    log_ps = log_probabilities(model, images)
    tasks = [calibration_metrics(log_p, y) for log_p, y in zip(log_ps, labels.unbind(1), strict=True)]
    return {key: [task[key] for task in tasks] for key in tasks[0]}


def calibration_metrics(log_p: Tensor, labels: Tensor) -> dict[str, float]:
    """``accuracy`` and ``ece`` in per cent, ``nll`` in nats and ``brier`` of one task, rounded.

    Args:
        log_p: (N, classes).
        labels: (N,).

    Raises:
        ValueError: the arguments are not log-probabilities and labels of one task.
        NonFiniteOutput: the largest log-probability of an image is NaN or infinite.
    """
    metrics = {"nll": nll(log_p, labels), "ece": ece(log_p, labels), "brier": brier(log_p, labels)}
    return {"accuracy": percent_right(log_p, labels), **rounded(metrics, 5)}


def nll(log_p: Tensor, labels: Tensor) -> float:
    """Negative log-likelihood of one task, the mean cross-entropy. A random guess has log(classes).

    Args:
        log_p: (N, classes).
        labels: (N,).
    """
    _check_task(log_p, labels)
    return nll_loss(log_p, labels).item()


def brier(log_p: Tensor, labels: Tensor) -> float:
    """Brier score of one task, 0 (right and sure) to 2 (wrong and sure): the mean of Σₖ (pₖ - yₖ)².

    Summed over the classes k, with y one-hot. The code of arXiv 2211.13723 has
    1 + Σ(Σₖ pₖ² - 2 p_label)/N, which is equal. A random guess has 1 - 1/classes.

    Args:
        log_p: (N, classes).
        labels: (N,).

    Example:
        >>> round(brier(torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(), torch.tensor([0, 0])), 4)
        0.37
    """
    _check_task(log_p, labels)
    return (log_p.exp() - one_hot(labels, log_p.shape[-1])).square().sum(-1).mean().item()


def ece(log_p: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error of one task, in per cent: the mean of |accuracy - confidence| over bins.

    Guo et al. 2017 (arXiv 1706.04599, eq. 3), by torchmetrics. Confidence is the largest probability, all
    bins have the same width, and each bin counts by its number of images.

    Args:
        log_p: (N, classes).
        labels: (N,).
        bins: number of bins.
    """
    _check_task(log_p, labels)
    error = multiclass_calibration_error(log_p.exp(), labels, log_p.shape[-1], n_bins=bins, norm="l1")
    return 100 * error.item()


def reliability(log_p: Tensor, labels: Tensor, bins: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """The bins of a reliability diagram: number of images, mean confidence and accuracy, (bins,) each.

    The mean of |accuracy - confidence|, weighted by the number of images, is :func:`ece`. Confidence and
    accuracy are 0 in an empty bin. The tensors are on the CPU.

    Args:
        log_p: (N, classes).
        labels: (N,).
        bins: number of bins of equal width in 0..1.

    Example:
        >>> log_p = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.25, 0.75]]).log()
        >>> count, confidence, accuracy = reliability(log_p, torch.tensor([0, 1, 1]), bins=5)
        >>> count, accuracy
        (tensor([0., 0., 0., 2., 1.]), tensor([0.0000, 0.0000, 0.0000, 0.5000, 1.0000]))
    """
    _check_task(log_p, labels)
    confidence, answer = log_p.exp().max(-1)
    places = (confidence * bins).long().clamp_max(bins - 1).cpu()
    count, confidence_sum, right = (
        torch.zeros(bins).index_add_(0, places, values.float().cpu())
        for values in (torch.ones_like(confidence), confidence, answer == labels)
    )
    return count, confidence_sum / count.clamp_min(1), right / count.clamp_min(1)


def reliability_lists(log_p: Tensor, labels: Tensor, bins: int = 10) -> dict[str, list]:
    """:func:`reliability` as lists that JSON can hold: ``count``, ``confidence``, ``accuracy``."""
    count, confidence, accuracy = reliability(log_p, labels, bins)
    return {"count": count.int().tolist(), **rounded({"confidence": confidence, "accuracy": accuracy})}


def _check_task(log_p: Tensor, labels: Tensor) -> None:
    check_task(log_p, labels)
    if not (log_p.logsumexp(-1).abs() <= 1e-3).all():
        raise ValueError(
            "Got log-probabilities whose exponentials do not sum to 1; expected log_probabilities(model, "
            "images), or the outputs' .log_softmax(-1)."
        )
