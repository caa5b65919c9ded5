"""The nine metrics of the scene benchmark, and Δm, which combines them into one number."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics.functional.classification import multiclass_confusion_matrix

from ..data.scene_files import CLASSES
from ..networks.losses import LOSSES

HIGHER_IS_BETTER = {
    **dict.fromkeys(("miou", "pixacc"), True),
    **dict.fromkeys(("abs_err", "rel_err", "mean", "median"), False),
    **dict.fromkeys(("within_11", "within_22", "within_30"), True),
}
# Single-task SegNets on NYUv2, as CAGrad (https://arxiv.org/abs/2110.14048) and its successors quote them.
NYUV2_STL = dict(
    zip(HIGHER_IS_BETTER, (0.3830, 0.6376, 0.6754, 0.2780, 25.01, 19.21, 0.3014, 0.5720, 0.6915), strict=True)
)
ANGLES = (11.25, 22.5, 30.0)  # degrees


class SceneMetrics:
    """The nine metrics of one pass over a split; make a new object for every pass.

    Nothing outlives the object, so no pixel of a test pass gets into a training pass: in the published
    code one confusion matrix served both, and from the second epoch on the training mIoU held test pixels.

    Errors are means over all known pixels. The published code instead averages within each batch, then over
    batches, so its "median" is a mean of medians. A pixel then counts more in a batch with fewer known
    pixels, and the figure depends on the batch size. ``per_batch=True`` does the same, for comparison with
    published tables (batches of 2). mIoU and pixel accuracy come from all pixels either way.

    The angles are kept, 4 bytes per pixel (0.29 GB for the 654 scenes of NYUv2), so the median is exact.

    Args:
        per_batch: whether depth and normal errors are averaged over batches.

    Example:
        >>> truth = {"label": torch.tensor([[[0, 1, -1]]]), "depth": torch.tensor([[[[2.0, 4.0, 0.0]]]])}
        >>> truth["normal"] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 3)
        >>> logits = torch.nn.functional.one_hot(torch.tensor([[[0, 0, 5]]]), 13).movedim(-1, 1).float()
        >>> metrics = SceneMetrics()
        >>> metrics.update({**truth, "label": logits, "depth": torch.full((1, 1, 1, 3), 3.0)}, truth)
        >>> values = metrics.compute()
        >>> values["miou"], values["pixacc"], values["abs_err"], values["rel_err"], values["median"]
        (0.25, 0.5, 1.0, 0.375, 0.0)
    """

    def __init__(self, per_batch: bool = False):
        self.per_batch = per_batch
        self._confusions: list[Tensor] = []  # per batch: (13, 13), the true classes as rows
        self._depth: list[Tensor] = []  # per batch: sums of absolute and of relative errors, known pixels
        self._angles: list[np.ndarray] = []  # per batch: degrees, of the known pixels

    @torch.no_grad()
    def update(self, pred: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
        """Add a batch.

        Args:
            pred: ``label`` logits (N, 13, H, W), ``depth`` (N, 1, H, W), ``normal`` (N, 3, H, W), any length.
            target: ``label`` (N, H, W), ``depth`` and ``normal`` as in :class:`~flatmtl_lite.runs.Scenes`.

        Raises:
            ValueError: a part is missing or has another shape.
        """
        _check_shapes(pred, target)
        confusion = multiclass_confusion_matrix(
            pred["label"].argmax(1), target["label"], len(CLASSES), ignore_index=-1, validate_args=False
        )
        self._confusions.append(confusion)
        depth = target["depth"].double()
        is_known = depth != 0
        error = (pred["depth"] - depth).abs() * is_known
        relative = error / depth.where(is_known, 1.0)
        self._depth.append(torch.stack([error.sum(), relative.sum(), is_known.sum()]))
        degrees = _angle(pred["normal"].float(), target["normal"].float())
        self._angles.append(degrees[(target["normal"] != 0).any(1)].cpu().numpy())

    def class_iou(self) -> Tensor:
        """Intersection over union of each class (13,); NaN for a class neither in the labels nor predicted.

        Raises:
            ValueError: no batch was added.
        """
        confusion = self._confusion()
        hits = confusion.diag()
        return hits.double() / (confusion.sum(0) + confusion.sum(1) - hits)

    def compute(self) -> dict[str, float]:
        """The metrics of all batches so far; NaN if no pixel was known.

        Returns:
            ``miou`` and ``pixacc``, shares of 1 without the undefined pixels, mIoU over the classes in the
            labels or predicted; ``abs_err`` in metres and ``rel_err``; ``mean`` and ``median`` angle between
            the normals in degrees; ``within_11``, ``within_22``, ``within_30``: the share of pixels below
            11.25, 22.5 and 30 degrees.

        Raises:
            ValueError: no batch was added.
        """
        iou, confusion = self.class_iou(), self._confusion()
        pixacc = confusion.diag().sum() / confusion.sum()
        depth, angles = torch.stack(self._depth).cpu().numpy(), self._angles
        if not self.per_batch:
            depth, angles = depth.sum(0, keepdims=True), [np.concatenate(angles)]
        depth_errors = [sums[:2] / sums[2] for sums in depth if sums[2]]
        angle_metrics = [_angle_metrics(degrees) for degrees in angles if len(degrees)]
        values = [iou.nanmean(), pixacc, *_mean(depth_errors, 2), *_mean(angle_metrics, 5)]
        return {name: float(value) for name, value in zip(HIGHER_IS_BETTER, values, strict=True)}

    def _confusion(self) -> Tensor:
        if not self._confusions:
            raise ValueError("Got no batch; expected at least one. Call update first.")
        return torch.stack(self._confusions).sum(0)


def delta_m(
    values: Mapping[str, float] | Iterable[float],
    base: Mapping[str, float] | Iterable[float],
    higher_is_better: Mapping[str, bool] | Iterable[bool],
) -> float:
    """Δm: how much worse than a base (single-task training), in per cent; negative is better.

    Δm = 100/n Σ s (M - B)/B, with s = -1 for a metric where higher is better and s = 1 otherwise (Maninis
    et al. 2019, https://arxiv.org/abs/1904.08918). The sign is as in the tables of CAGrad and its successors.

    Args:
        values: the metrics M, n numbers. All three arguments may be mappings by name instead.
        base: B, n numbers in the same units, none 0.
        higher_is_better: n truth values.

    Raises:
        ValueError: the three do not have the same length or names, or B holds a 0.

    Example:
        >>> delta_m([0.45, 0.9], [0.5, 1.0], [True, False])  # a tenth worse, a tenth better
        0.0
        >>> round(delta_m({**NYUV2_STL, "miou": 0.4213}, NYUV2_STL, HIGHER_IS_BETTER), 2)
        -1.11
    """
    values, base, directions = _in_one_order(values, base, higher_is_better)
    signs = [-1 if higher else 1 for higher in directions]
    if not len(values) == len(base) == len(signs) > 0:
        raise ValueError(
            f"Got {len(values)} values, {len(base)} of the base and {len(signs)} directions; "
            "expected the same number of each, at least one."
        )
    if not all(base):
        raise ValueError(f"Got the base {base}; expected no 0: Δm divides by it. Leave that metric out.")
    changes = [s * (float(m) - float(b)) / float(b) for s, m, b in zip(signs, values, base, strict=True)]
    return 100 * sum(changes) / len(changes)


def _in_one_order(*arguments: Any) -> list[list]:
    """Return three iterables as lists; three mappings in the order of the second."""
    if not any(isinstance(argument, Mapping) for argument in arguments):
        return [list(argument) for argument in arguments]
    names = arguments[1].keys() if isinstance(arguments[1], Mapping) else ()
    if not all(isinstance(argument, Mapping) and argument.keys() == names for argument in arguments):
        raise ValueError(f"Got {list(arguments)}; expected three mappings with the same names, or none.")
    return [[argument[name] for name in names] for argument in arguments]


def _check_shapes(pred: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, batch in (("pred", pred), ("target", target)):
        if not batch.keys() >= LOSSES.keys():
            raise ValueError(f"Got {name} with {list(batch)}; expected {', '.join(LOSSES)}.")
    n, *size = target["label"].shape
    expected = {
        "pred": {"label": (n, len(CLASSES), *size), "depth": (n, 1, *size), "normal": (n, 3, *size)},
        "target": {"label": (n, *size), "depth": (n, 1, *size), "normal": (n, 3, *size)},
    }
    for name, batch in (("pred", pred), ("target", target)):
        shapes = {part: tuple(batch[part].shape) for part in LOSSES}
        if shapes != expected[name]:
            raise ValueError(f"Got {name} of shapes {shapes}; expected {expected[name]}.")


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Degrees between vectors (N, 3, H, W). Exact near 0 too, where the arc cosine loses half its digits."""
    a, b = normalize(a, dim=1), normalize(b, dim=1)
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)).rad2deg()


def _angle_metrics(degrees: np.ndarray) -> list[float]:
    return [degrees.mean(dtype=np.float64), np.median(degrees), *((degrees < a).mean() for a in ANGLES)]


def _mean(rows: Sequence[Any], size: int) -> Any:
    """Return the mean of rows of ``size`` numbers, or NaN if there are none."""
    return np.mean(rows, 0) if rows else [np.nan] * size
