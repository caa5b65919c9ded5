"""How undecided a network is, on images of the kind it was trained on and on other images."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..engine.rounding import rounded
from .evaluation import check_finite


def entropy(log_p: Tensor) -> Tensor:
    """Predictive entropy -Σ p log p in nats, 0 (sure) to log(classes): (N, classes) -> (N,).

    Raises:
        NonFiniteOutput: the largest log-probability of an image is NaN or infinite.

    Example:
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log())
        tensor([0.6931, 0.0000])
    """
    check_finite(log_p.amax(-1), "a largest log-probability")
    return torch.special.entr(log_p.exp()).sum(-1)


def entropy_histograms(log_probabilities: Mapping[str, Sequence[Tensor]], bins: int = 20) -> dict[str, list]:
    """Histograms of the predictive entropy, in and out of domain, on one scale.

    Images in domain are of the kind that the network was trained on. Images out of domain are of another
    variant, whose tasks may differ.

    Args:
        log_probabilities: name of the data -> log-probabilities (N, classes) of each task on its images.
        bins: number of bins of equal width from 0 to log(classes), of the task with the most classes.

    Returns:
        ``edges``, bins + 1 numbers, and for each name of the data T lists of counts.

    Raises:
        ValueError: no data, or data that are not of the same tasks.

    Example:
        >>> log_p = {"seen": [torch.tensor([[1.0, 0.0]]).log()], "new": [torch.tensor([[0.5, 0.5]]).log()]}
        >>> entropy_histograms(log_p, bins=2)
        {'edges': [0.0, 0.34657, 0.69315], 'seen': [[1, 0]], 'new': [[0, 1]]}
    """
    classes = {name: [log_p.shape[-1] for log_p in tasks] for name, tasks in log_probabilities.items()}
    first = next(iter(classes.values()), [])
    if not first or any(numbers != first for numbers in classes.values()):
        raise ValueError(
            f"Got numbers of classes {classes}; expected the classes of one network, the same for all data. "
            "Give name -> log_probabilities(model, images) with the same model."
        )
    width = math.log(max(first)) / bins
    histograms = {"edges": rounded([width * k for k in range(bins + 1)], 5)}
    for name, tasks in log_probabilities.items():
        places = [(entropy(log_p) / width).long().clamp_max(bins - 1) for log_p in tasks]
        histograms[name] = [place.bincount(minlength=bins).tolist() for place in places]
    return histograms
