"""Losses and metrics of the scene benchmark, and Δm, which makes one number of nine."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics.functional.classification import multiclass_confusion_matrix

from ..data.scenes import CLASSES
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

    Errors are means over all known pixels. The published code instead takes them batch by batch, and then
    the mean over batches (so "median" is a mean of medians): a pixel then counts more in a batch that knows
    fewer, and the figure depends on the batch size. ``per_batch=True`` does the same, for comparison with
    published tables (batches of 2); mIoU and pixel accuracy come from all pixels either way.

    The angles are kept, 4 bytes a pixel (0.29 GB for the 654 scenes of NYUv2), so the median is exact.

    Args:
        per_batch: whether depth and normal errors are averaged over batches.

    Example:
        >>> truth = {"label": torch.tensor([[[0, 1, -1]]]), "depth": torch.tensor([[[[2.0, 4.0, 0.0]]]])}
        >>> truth["normal"] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 3)
        >>> logits = torch.nn.functional.one_hot(torch.tensor([[[0, 0, 5]]]), 13).movedim(-1, 1).float()
        >>> metrics = SceneMetrics()
        >>> metrics.update({**truth, "label": logits, "depth": torch.full((1, 1, 1, 3), 3.0)}, truth)
        >>> found = metrics.compute()
        >>> found["miou"], found["pixacc"], found["abs_err"], found["rel_err"], found["median"]
        (0.25, 0.5, 1.0, 0.375, 0.0)
    """

    def __init__(self, per_batch: bool = False):
        self.per_batch = per_batch
        self._confusion: Tensor | int = 0  # rows: the truth
        self._depth: list[Tensor] = []  # per batch: sum of absolute errors, of relative ones, pixels
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
        _check(pred, target)
        self._confusion = self._confusion + multiclass_confusion_matrix(
            pred["label"].argmax(1), target["label"], len(CLASSES), ignore_index=-1, validate_args=False
        )
        depth = target["depth"].double()
        known = depth != 0
        error = (pred["depth"] - depth).abs() * known
        relative = error / depth.where(known, 1.0)
        self._depth.append(torch.stack([error.sum(), relative.sum(), known.sum()]))
        degrees = _angle(pred["normal"].float(), target["normal"].float())
        self._angles.append(degrees[(target["normal"] != 0).any(1)].cpu().numpy())

    def class_iou(self) -> Tensor:
        """Intersection over union of each class (13,); NaN for a class neither there nor said.

        Raises:
            ValueError: no batch was added.
        """
        if not self._depth:
            raise ValueError("Got no batch; expected at least one. Call update first.")
        hits = self._confusion.diag()
        return hits.double() / (self._confusion.sum(0) + self._confusion.sum(1) - hits)

    def compute(self) -> dict[str, float]:
        """The metrics of all batches so far; NaN where not one pixel was known.

        Returns:
            ``miou`` and ``pixacc``, shares of 1 without the undefined pixels, mIoU over the classes
            there or said; ``abs_err`` in metres and ``rel_err``; ``mean`` and ``median`` angle between
            the normals in degrees; ``within_11``, ``within_22``, ``within_30``: the share of pixels below
            11.25, 22.5 and 30 degrees.

        Raises:
            ValueError: no batch was added.
        """
        iou = self.class_iou()
        pixacc = self._confusion.diag().sum() / self._confusion.sum()
        depth, angles = torch.stack(self._depth).cpu().numpy(), self._angles
        if not self.per_batch:
            depth, angles = depth.sum(0, keepdims=True), [np.concatenate(angles)]
        depth = [sums[:2] / sums[2] for sums in depth if sums[2]]
        angles = [_angle_metrics(degrees) for degrees in angles if len(degrees)]
        means = [np.mean(rows, 0) if rows else [np.nan] * n for rows, n in ((depth, 2), (angles, 5))]
        values = [iou.nanmean(), pixacc, *means[0], *means[1]]
        return {name: float(value) for name, value in zip(HIGHER_IS_BETTER, values, strict=True)}


def delta_m(
    values: Mapping[str, float] | Iterable[float],
    base: Mapping[str, float] | Iterable[float],
    higher_is_better: Mapping[str, bool] | Iterable[bool],
) -> float:
    """Δm: how much worse than a base (single-task training), in per cent; negative is better.

    100/n Σ s (M - B)/B with s = -1 where higher is better and 1 where lower is (Maninis et al. 2019,
    https://arxiv.org/abs/1904.08918; the sign as in the tables of CAGrad and of its successors).

    Args:
        values: the metrics M, n numbers; or by name, then all three are.
        base: B, in the same units; none is 0.
        higher_is_better: for each metric.

    Raises:
        ValueError: the three do not have the same length or names, or B holds a 0.

    Example:
        >>> delta_m([0.45, 0.9], [0.5, 1.0], [True, False])  # a tenth worse, a tenth better
        0.0
        >>> round(delta_m({**NYUV2_STL, "miou": 0.4213}, NYUV2_STL, HIGHER_IS_BETTER), 2)
        -1.11
    """
    given = [values, base, higher_is_better]
    if any(isinstance(each, Mapping) for each in given):
        if not all(isinstance(each, Mapping) and each.keys() == given[0].keys() for each in given):
            raise ValueError(f"Got {given}; expected three mappings with the same names, or none.")
        given = [[each[name] for name in base] for each in given]
    values, base, signs = list(given[0]), list(given[1]), [-1 if higher else 1 for higher in given[2]]
    if not len(values) == len(base) == len(signs) > 0:
        raise ValueError(
            f"Got {len(values)} values, {len(base)} of the base and {len(signs)} directions; "
            "expected as many of each, at least one."
        )
    if not all(base):
        raise ValueError(f"Got the base {base}; expected no 0: Δm divides by it. Leave that metric out.")
    changes = [s * (float(m) - float(b)) / float(b) for s, m, b in zip(signs, values, base, strict=True)]
    return 100 * sum(changes) / len(changes)


def _check(pred: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, given in (("pred", pred), ("target", target)):
        if not given.keys() >= LOSSES.keys():
            raise ValueError(f"Got {name} with {list(given)}; expected {', '.join(LOSSES)}.")
    n, *size = target["label"].shape
    expected = {
        "pred": {"label": (n, len(CLASSES), *size), "depth": (n, 1, *size), "normal": (n, 3, *size)},
        "target": {"label": (n, *size), "depth": (n, 1, *size), "normal": (n, 3, *size)},
    }
    for name, given in (("pred", pred), ("target", target)):
        found = {part: tuple(given[part].shape) for part in LOSSES}
        if found != expected[name]:
            raise ValueError(f"Got {name} of shapes {found}; expected {expected[name]}.")


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Degrees between vectors (N, 3, H, W); exact near 0 too, where the arc cosine loses half its digits."""
    a, b = normalize(a, dim=1), normalize(b, dim=1)
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)).rad2deg()


def _angle_metrics(degrees: np.ndarray) -> list[float]:
    return [degrees.mean(dtype=np.float64), np.median(degrees), *((degrees < a).mean() for a in ANGLES)]
