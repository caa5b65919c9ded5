"""Gradients, losses and sharpness of a network on fixed images at many radii ρ.

A learner can later move ρ in a figure without the network.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from ...diagnostics import sharpness
from ...micro_batch import MicroBatch
from ...passes import decompose
from ...state import StateGuard
from ...trunk_and_heads import TrunkAndHeads
from ..engine.rounding import rounded
from .twins import Closures, measure_networks

# radii of the plain ball; the code of arXiv 2211.13723 measures sharpness at 0.01 and 0.05
RADII = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def snapshot(
    features: Callable[[], Any],
    losses: Sequence[Callable[[Any], Tensor]],
    shared: Iterable[Tensor],
    heads: Iterable[Iterable[Tensor]],
    radii: Sequence[float] = RADII,
    adaptive: bool = False,
    norm: str = "together",
) -> dict[str, list]:
    """Losses, inner products of loss and flat gradients, and sharpness at every radius; leaves no trace.

    Every norm, angle and direction of a Gramian method at these radii follows from the Gramians. The
    sharpness of task i is the largest rise met in ten steps of ascent within radius ρ, in which trunk and
    head i move together (see :func:`flatmtl_lite.diagnostics.sharpness`). With ``norm="together"`` the
    first of these steps is the ε of the flat part. Then, up to rounding, sharpness >= perturbed loss - loss,
    and they are equal if ten steps find no more than SAM's single step. With "separate" that ε is longer
    than ρ, and the two cannot be compared. Randomness within the closures (dropout) draws the same numbers
    each time. BatchNorm in training mode takes the statistics of these images.

    A snapshot costs (1 + 12 T) R + 1 runs of the trunk and 12 T R backward passes for T tasks and R radii.
    Most of them belong to the ascent.

    Args:
        features, losses, shared, heads: as ``decompose`` takes them, on images that stay the same from
            snapshot to snapshot.
        radii: positive and increasing. 0 is left out: flat part and sharpness are 0 there, and axes of ρ
            are logarithmic. With ``adaptive`` ρ is another quantity, and larger radii are of interest.
        adaptive, norm: see :class:`~flatmtl_lite.perturbation.Perturbation`; ``adaptive`` holds for the
            sharpness too.

    Returns:
        ``rho`` (R,), ``losses`` (T,), ``perturbed_losses`` (R, T), ``gramians`` of [loss; flat]
        (R, 2T, 2T) and ``sharpness`` (R, T), lists of numbers of six significant digits.

    Raises:
        ValueError: arguments that do not fit; the message says which and what to do.
        NonFiniteGradient: a gradient, also a perturbed one, holds NaN or infinity.

    Example:
        >>> import torch
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> record = snapshot(lambda: w, [lambda z: (z**2).sum() / 2], [w], [[]], radii=[0.5])
        >>> record["losses"], record["perturbed_losses"], record["sharpness"]
        ([12.5], [[15.125]], [[2.625]])
        >>> record["gramians"]  # g = w, flat = ρ w/|w|
        [[[25.0, 2.5], [2.5, 0.25]]]
    """
    radii = list(radii)
    if not radii or sorted(set(radii)) != radii or not (radii[0] > 0 and math.isfinite(radii[-1])):
        raise ValueError(f"Got radii={radii}; expected positive, increasing numbers, such as {RADII}.")
    split, batch = TrunkAndHeads(shared, heads), MicroBatch(features, losses)
    split.check_tasks(len(batch.losses))
    with StateGuard():  # one run notes the generators' states: the ascent draws the masks of decompose
        batch.run(range(len(batch.losses)))
    shared, heads = split.shared or [], split.heads or []
    record: dict[str, Any] = {
        "rho": radii,
        "losses": [],
        "perturbed_losses": [],
        "gramians": [],
        "sharpness": [],
    }
    for rho in radii:
        with StateGuard():  # decompose alone leaves buffers and generators as after one pass
            d = decompose(features, batch.losses, shared, heads, rho, None, adaptive, norm)
        record["losses"] = d.losses
        record["perturbed_losses"].append(d.perturbed_losses)
        record["gramians"].append(d.gramian)
        rises = []
        for i, head in enumerate(heads):
            task = (lambda i=i: cast(Tensor, batch.run([i])[0])), shared + head
            rises.append(sharpness(*task, rho, adaptive=adaptive))
        record["sharpness"].append(rises)
    return rounded(record, 6)


def snapshot_of(model: nn.Module, closures: Closures) -> dict[str, Any]:
    """:func:`snapshot` of a network for all tasks, or of single-task twins, which have no Gramians.

    Args:
        model: a network for all tasks, or single-task twins.
        closures: gives features and losses of a network on fixed data.
    """
    return measure_networks(
        model,
        closures,
        lambda net, features, losses: snapshot(
            features, losses, net.shared_parameters(), net.head_parameters()
        ),
    )
