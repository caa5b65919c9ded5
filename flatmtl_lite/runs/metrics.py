"""How good and how honest a network's probabilities are: NLL, ECE, reliability diagrams."""

import torch
from torch import Tensor
from torch.nn.functional import nll_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from .evaluation import outputs
from .networks import MultiTaskNet


def log_probabilities(model: MultiTaskNet, images: Tensor) -> list[Tensor]:
    """Per task what the network says, in evaluation mode: images (N, H, W) uint8 -> (N, classes)."""
    return [task.log_softmax(-1) for task in outputs(model, images)]


def nll(log_p: Tensor, labels: Tensor) -> float:
    """Negative log-likelihood of one task, the mean cross-entropy; a guess at random has log(classes).

    Args:
        log_p: (N, classes).
        labels: (N,).
    """
    return nll_loss(log_p, labels).item()


def ece(log_p: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error of one task, in per cent: the mean of |accuracy - confidence| over bins.

    Guo et al. 2017 (arXiv 1706.04599, eq. 3), by torchmetrics: confidence is the largest probability,
    the bins are of equal width, each counts by its number of images.

    Args:
        log_p: (N, classes).
        labels: (N,).
        bins: number of bins.
    """
    found = multiclass_calibration_error(log_p.exp(), labels, log_p.shape[-1], n_bins=bins, norm="l1")
    return 100 * found.item()


def reliability(log_p: Tensor, labels: Tensor, bins: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """The bins of a reliability diagram: number of images, mean confidence and accuracy, (bins,) each.

    The share-weighted mean of |accuracy - confidence| is :func:`ece`. Both are 0 in an empty bin.

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
    confidence, answer = log_p.exp().max(-1)
    place = (confidence * bins).long().clamp_max(bins - 1)
    count, said, right = (
        torch.zeros(bins).index_add_(0, place, values.float())
        for values in (torch.ones_like(confidence), confidence, answer == labels)
    )
    return count, said / count.clamp_min(1), right / count.clamp_min(1)
