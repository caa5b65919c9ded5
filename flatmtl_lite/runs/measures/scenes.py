"""The nine metrics of the scene benchmark, and Δm, which combines them into one number."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics.functional.classification import multiclass_confusion_matrix

from ..data.scene_files import CLASSES, explain_labels
from ..networks.losses import LOSSES
from .evaluation import check_finite

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
            ValueError: a part is missing or has another shape, a label is neither a class nor -1, a depth or
                normal is not finite, or a depth is negative. Nothing of the batch is added then.
            NonFiniteOutput: a prediction is NaN or infinite.
        """
        _check_shapes(pred, target)
        _check_target(target)
        check_finite(pred["label"].amax(1), "a largest label logit")
        for part in ("depth", "normal"):
            check_finite(pred[part], f"a predicted {part}")
        confusion = multiclass_confusion_matrix(
            pred["label"].argmax(1),
            target["label"].long(),
            len(CLASSES),
            ignore_index=-1,
            validate_args=False,
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

    Δm = 100/n Σ s (M - B)/|B|, with s = -1 for a metric where higher is better and s = 1 otherwise (Maninis
    et al. 2019, https://arxiv.org/abs/1904.08918, who divide by B: their metrics are positive). The sign is
    as in the tables of CAGrad and its successors.

    Args:
        values: the metrics M, n finite numbers. All three arguments may be mappings by name instead.
        base: B, n finite numbers in the same units, none 0.
        higher_is_better: n truth values.

    Raises:
        ValueError: the three do not have the same length or names, B holds a 0, or a value is not of its
            kind; the message names the metric.

    Example:
        >>> delta_m([0.45, 0.9], [0.5, 1.0], [True, False])  # a tenth worse, a tenth better
        0.0
        >>> round(delta_m({**NYUV2_STL, "miou": 0.4213}, NYUV2_STL, HIGHER_IS_BETTER), 2)
        -1.11
    """
    names, values, base, directions = _in_one_order(values, base, higher_is_better)
    changes = []
    for name, value, base_value, higher in zip(names, values, base, directions, strict=True):
        m, b = _number(value, f"value of {name}"), _number(base_value, f"base of {name}")
        if b == 0:
            raise ValueError(
                f"Got {base_value} as the base of {name}; expected no 0: Δm divides by it. Leave it out."
            )
        sign = -1 if _truth(higher, name) else 1
        changes.append(sign * (m - b) / abs(b))
    return 100 * sum(changes) / len(changes)


def _in_one_order(*arguments: Any) -> list[list]:
    """Return names and three lists of equal length; three mappings are put in the order of the second."""
    if any(isinstance(argument, Mapping) for argument in arguments):
        names = list(arguments[1]) if isinstance(arguments[1], Mapping) else []
        if not all(isinstance(argument, Mapping) and {*argument} == {*names} for argument in arguments):
            raise ValueError(f"Got {list(arguments)}; expected three mappings with the same names, or none.")
        columns = [[argument[name] for name in names] for argument in arguments]
    else:
        columns = [list(argument) for argument in arguments]
        names = [f"metric {place}" for place in range(1, len(columns[0]) + 1)]
    values, base, directions = columns
    if not len(values) == len(base) == len(directions) > 0:
        raise ValueError(
            f"Got {len(values)} values, {len(base)} of the base and {len(directions)} directions; "
            "expected the same number of each, at least one."
        )
    return [names, *columns]


def _number(value: Any, what: str) -> float:
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"Got {value!r} as the {what}; expected a finite number. Leave the metric out if there is none."
        )
    return number


def _truth(value: Any, name: str) -> bool:
    """Return a truth value of Python, numpy or torch; the text "False" would count as true."""
    plain = value.item() if isinstance(value, (Tensor, np.generic)) else value
    if isinstance(plain, (bool, int, float)) and plain in (0, 1):
        return bool(plain)
    raise ValueError(
        f"Got {value!r} as the direction of {name}; expected True if higher is better, and False otherwise."
    )


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


def _check_target(target: Mapping[str, Tensor]) -> None:
    """Refuse targets that are not as :class:`~flatmtl_lite.runs.Scenes` reads them."""
    label, depth, normal = (target[part] for part in LOSSES)
    whole = label.long()
    wrong = label[(whole < -1) | (whole >= len(CLASSES)) | (whole != label)]
    if len(wrong):
        raise ValueError(f"Got a target with {explain_labels(wrong.unique().tolist())}")
    for name, wrong, expected in (
        ("depth", depth[~(depth.isfinite() & (depth >= 0))], "metres >= 0, and 0 where unknown"),
        ("normal", normal[~normal.isfinite()], "vectors of length 1, and three zeros where unknown"),
    ):
        if len(wrong):
            raise ValueError(f"Got a target {name} of {wrong[0].item():g}; expected {expected}.")


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Degrees between vectors (N, 3, H, W). Exact near 0 too, where the arc cosine loses half its digits."""
    a, b = normalize(a, dim=1), normalize(b, dim=1)
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)).rad2deg()


def _angle_metrics(degrees: np.ndarray) -> list[float]:
    return [degrees.mean(dtype=np.float64), np.median(degrees), *((degrees < a).mean() for a in ANGLES)]


def _mean(rows: Sequence[Any], size: int) -> Any:
    """Return the mean of rows of ``size`` numbers, or NaN if there are none."""
    return np.mean(rows, 0) if rows else [np.nan] * size
