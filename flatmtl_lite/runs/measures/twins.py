"""What is measured of any network on fixed training data: a network for all tasks, or single-task twins."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from ...diagnostics import top_eigenvalue
from ..engine.model import MultiTaskNet, parts
from ..engine.rounding import rounded
from .landscape import line, plane
from .snapshots import snapshot

# a network and its tasks -> features and losses, on data that stay the same
Fixed = Callable[[MultiTaskNet, Sequence[int]], tuple[Callable, list[Callable]]]


def snapshot_of(model: nn.Module, fixed: Fixed) -> dict[str, Any]:
    """See :func:`~flatmtl_lite.runs.measures.snapshots.snapshot`; single-task twins have no Gramians."""
    found = [
        snapshot(*fixed(net, tasks), net.shared_parameters(), net.head_parameters())
        for net, tasks in parts(model)
    ]
    return _side_by_side(found)


def landscape_of(model: nn.Module, fixed: Fixed) -> dict[str, Any]:
    """Of each task's loss the top Hessian eigenvalue, and slices along a line and in a plane."""
    eigenvalues = []
    for net, tasks in parts(model):
        features, losses = fixed(net, tasks)
        for head, loss in zip(net.head_parameters(), losses, strict=True):
            task = partial(_loss_of, features, loss)
            eigenvalues.append(top_eigenvalue(task, net.shared_parameters() + head))
    return {
        "top_eigenvalue": rounded(eigenvalues, 6),
        "slices": {
            "line": _side_by_side([line(net, *fixed(net, tasks)) for net, tasks in parts(model)]),
            "plane": _side_by_side([plane(net, *fixed(net, tasks)) for net, tasks in parts(model)]),
        },
    }


def _loss_of(features: Callable[[], Any], loss: Callable[[Any], Tensor]) -> Tensor:
    return loss(features())


def _side_by_side(found: list[dict]) -> dict:
    """What was measured of single-task twins, as if of one network; there are no angles between twins."""
    if len(found) == 1:
        return found[0]

    def join(values: list) -> list:
        if isinstance(values[0][0], list):
            return [join(list(entries)) for entries in zip(*values, strict=True)]
        return [number for one in values for number in one]

    axes = {key: found[0][key] for key in ("rho", "alpha") if key in found[0]}
    joined = [key for key in found[0] if key not in axes and key != "gramians"]  # in an order that stays
    return axes | {key: join([one[key] for one in found]) for key in joined}
