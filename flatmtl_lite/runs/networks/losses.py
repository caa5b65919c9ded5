"""The losses of the three scene tasks."""

from torch import Tensor
from torch.nn.functional import normalize

from ..data.scene_files import explain_labels
from .repeatable import summed_cross_entropy

SHORTEST = 1e-3  # length of a predicted normal: a direction's gradient is 1 over the length, unbounded at 0


def label_loss(pred: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy over the defined pixels; 0, with a graph, if no pixel is defined.

    Args:
        pred: logits (N, C, H, W).
        label: (N, H, W) int64, -1 where undefined.

    Raises:
        ValueError: a label is neither a class nor -1. This is checked on the CPU only: a GPU would have to
            wait for the check in every step.
    """
    try:
        total = summed_cross_entropy(pred, label)
    except IndexError:
        wrong = label[(label < -1) | (label >= pred.shape[1])].unique().tolist()
        raise ValueError(f"Got a target with {explain_labels(wrong)}") from None
    return total / (label != -1).sum().clamp_min(1)


def depth_loss(pred: Tensor, depth: Tensor) -> Tensor:
    """Mean absolute error over the pixels of known depth, in metres; 0, with a graph, if no depth is known.

    Args:
        pred: (N, 1, H, W).
        depth: (N, 1, H, W), 0 where unknown.
    """
    is_known = depth != 0
    return ((pred - depth).abs() * is_known).sum() / is_known.sum().clamp_min(1)


def normal_loss(pred: Tensor, normal: Tensor) -> Tensor:
    """1 - mean cosine over the pixels of known normal; 0, with a graph, if no normal is known.

    Args:
        pred: (N, 3, H, W) of any length; normalised here. A vector shorter than 0.001 is divided by 0.001.
        normal: (N, 3, H, W) of length 1, all 0 where unknown.
    """
    is_known = (normal != 0).any(1)
    cosine = (normalize(pred, dim=1, eps=SHORTEST) * normal).sum(1)
    return ((1 - cosine) * is_known).sum() / is_known.sum().clamp_min(1)


LOSSES = {"label": label_loss, "depth": depth_loss, "normal": normal_loss}
