"""Exercises of notebook 08: who pulls the mean, an error over known pixels, and Δm."""

import torch
from torch import Tensor

from ...diagnostics import cosines_of_gramian
from .exercise import Exercise
from .vectors import vector


def _gramian(*rows: tuple[float, ...]) -> Tensor:
    R = torch.tensor(rows, dtype=torch.float64)
    return R @ R.T


def _lengths(M: Tensor) -> Tensor:
    return M.diagonal().sqrt()


pulls = Exercise(
    arguments=("M",),
    cases=[
        (_gramian((1, 2, 0), (-2, 1, 1), (0, 9, -3)),),
        (_gramian((3, 0, 1), (-1, 1, 0.5), (0.2, -1, 2)),),
        (_gramian((1, 0.5), (-4, 1)),),
    ],
    right=lambda M: M.mean(1) / (_lengths(M) * M.mean().sqrt()),
    mistakes={
        "you return inner products with the mean. Divide by both lengths.": lambda M: M.mean(1),
        "you divide only by the task's length. Divide by the mean's length too: its square is the mean "
        "of all of M.": (lambda M: M.mean(1) / _lengths(M)),
        "you divide only by the mean's length. Divide by the task's length too.": lambda M: (
            M.mean(1) / M.mean().sqrt()
        ),
        "the mean of all of M is the square of the mean's length, so take its root.": (
            lambda M: M.mean(1) / (_lengths(M) * M.mean())
        ),
        "the diagonal of M holds squares, so take roots.": (
            lambda M: M.mean(1) / (M.diagonal() * M.mean().sqrt())
        ),
        "your numbers are too large by the number of tasks. The inner product with the mean is a "
        "mean, not a sum.": (lambda M: M.sum(1) / (_lengths(M) * M.mean().sqrt())),
        "you return the mean of the cosines with each task. It ignores that a long gradient pulls more.": (
            lambda M: cosines_of_gramian(M).mean(1)
        ),
        "you return angles in degrees. Return the cosines.": (
            lambda M: torch.rad2deg(torch.acos(M.mean(1) / (_lengths(M) * M.mean().sqrt())))
        ),
    },
    praise="the Gramian holds everything. You do not need the mean gradient itself.",
)


def _errors(pred: list[Tensor], depth: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the absolute errors of each batch, 0 at holes, and the masks of the pixels with a depth."""
    masks = [batch != 0 for batch in depth]
    return [(p - d).abs() * k for p, d, k in zip(pred, depth, masks, strict=True)], masks


def _over_known(pred: list[Tensor], depth: list[Tensor]) -> Tensor:
    errors, masks = _errors(pred, depth)
    return torch.cat(errors).sum() / torch.cat(masks).sum()


def _batch_by_batch(pred: list[Tensor], depth: list[Tensor]) -> Tensor:
    errors, masks = _errors(pred, depth)
    return torch.stack([e.sum() / k.sum() for e, k in zip(errors, masks, strict=True)]).mean()


depth_error = Exercise(
    arguments=("pred", "depth"),
    cases=[
        ([vector(3, 3, 3, 3), vector(3, 3, 3, 3)], [vector(2, 2, 2, 2), vector(0, 0, 0, 5)]),
        ([vector(1, 2.5, 4), vector(2, 2, 6)], [vector(1.5, 0, 4), vector(0, 0, 3)]),
        ([vector(0.5, 7)], [vector(0, 4)]),
    ],
    right=_over_known,
    mistakes={
        "you take the mean of the means of the batches, as the published code does. Then a pixel "
        "counts more in a "
        "batch with many holes. Add up errors and pixels over all batches, and divide once.": _batch_by_batch,
        "you count the holes as depth 0. Leave them out: a depth of 0 means that it is unknown.": (
            lambda pred, depth: (torch.cat(pred) - torch.cat(depth)).abs().mean()
        ),
        "you add up the errors of the known pixels, but you divide by the number of all pixels.": (
            lambda pred, depth: torch.cat(_errors(pred, depth)[0]).mean()
        ),
        "errors of opposite sign cancel. Take absolute values first.": (
            lambda pred, depth: (
                ((torch.cat(pred) - torch.cat(depth)) * (torch.cat(depth) != 0)).sum()
                / (torch.cat(depth) != 0).sum()
            )
        ),
        "you return the sum of the errors. Divide it by the number of known pixels.": (
            lambda pred, depth: torch.cat(_errors(pred, depth)[0]).sum()
        ),
    },
    praise="one sum, one count and one division: every known pixel counts the same.",
)


HIGHER = torch.tensor([True, True, False, False, False, False, True, True, True])
STL = vector(38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15)
TASK_SIZES = (2, 2, 5)  # metrics of classes, depth, normals


def _changes(values: Tensor, base: Tensor, higher: Tensor) -> Tensor:
    """Return the change of each metric in per cent, above 0 if it got worse."""
    return 100 * torch.where(higher, -1, 1) * (values - base) / base


delta_m = Exercise(
    arguments=("values", "base", "higher"),
    cases=[
        (vector(39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.50, 61.08), STL, HIGHER),
        (vector(30.47, 59.90, 0.6070, 0.2555, 24.88, 19.45, 29.18, 56.88, 69.36), STL, HIGHER),
        (vector(40, 60, 0.5, 0.2, 20, 15, 30, 60, 70), vector(50, 50, 0.4, 0.25, 25, 10, 40, 50, 60), HIGHER),
    ],
    right=lambda values, base, higher: _changes(values, base, higher).mean(),
    mistakes={
        "your sign is turned round. The formula in the paper has this sign too, but in its table "
        "less is better.": (lambda values, base, higher: -_changes(values, base, higher).mean()),
        "you divide by the method's own values. Divide by the base, so that all methods use the same unit.": (
            lambda values, base, higher: (_changes(values, base, higher) * base / values).mean()
        ),
        "you take the mean over the three tasks. The tables take it over the nine metrics, so "
        "normals count five "
        "times, classes and depth twice.": (
            lambda values, base, higher: torch.stack(
                [part.mean() for part in _changes(values, base, higher).split(TASK_SIZES)]
            ).mean()
        ),
        "you count every rise as worse. Turn the sign of the metrics for which higher is better.": (
            lambda values, base, higher: (100 * (values - base) / base).mean()
        ),
        "only the unit is wrong. Return per cent.": (
            lambda values, base, higher: _changes(values, base, higher).mean() / 100
        ),
        "you return the sum. Divide it by the number of metrics.": (
            lambda values, base, higher: _changes(values, base, higher).sum()
        ),
        "you cannot add degrees and metres. Divide each difference by its base.": (
            lambda values, base, higher: (100 * torch.where(higher, -1, 1) * (values - base)).mean()
        ),
        "you take absolute values, so better counts as worse. Keep the signs.": (
            lambda values, base, higher: _changes(values, base, higher).abs().mean()
        ),
    },
    praise=(
        "you divide every metric by its base, give it the sign of its direction, and take the mean "
        "over all nine."
    ),
)
