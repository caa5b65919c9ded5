"""A network on fixed images at many radii: what a learner later moves ρ on, without the network."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from ...decomposition import decompose
from ...diagnostics import sharpness
from ...gradients import MicroBatch, TrunkAndHeads
from ...perturbation import StateGuard
from ..engine.rounding import rounded

# of the plain ball; the code of arXiv 2211.13723 measures sharpness at 0.01 and 0.05
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
    sharpness of task i is the largest rise met in ten steps of ascent within radius ρ, trunk and head i
    moving together (see :func:`flatmtl_lite.diagnostics.sharpness`). With ``norm="together"`` the first
    of these steps is the ε of the flat part: up to rounding, sharpness >= perturbed loss - loss, with
    equality where ten steps find no more than SAM's one. With "separate" that ε is longer than ρ, and
    the two cannot be compared. Randomness within the closures (dropout) draws the same numbers each time;
    BatchNorm in training mode takes the statistics of these images.

    It costs (1 + 12 T) R + 1 runs of the trunk and 12 T R backward passes for T tasks and R radii, most of
    them the ascent's.

    Args:
        features, losses, shared, heads: as ``decompose`` takes them, on images that stay the same from
            snapshot to snapshot.
        radii: positive and increasing. 0 is left out: there flat part and sharpness are 0, and axes of ρ
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
        >>> found = snapshot(lambda: w, [lambda z: (z**2).sum() / 2], [w], [[]], radii=[0.5])
        >>> found["losses"], found["perturbed_losses"], found["sharpness"]
        ([12.5], [[15.125]], [[2.625]])
        >>> found["gramians"]  # g = w, flat = ρ w/|w|
        [[[25.0, 2.5], [2.5, 0.25]]]
    """
    radii = list(radii)
    if not radii or sorted(set(radii)) != radii or not (radii[0] > 0 and math.isfinite(radii[-1])):
        raise ValueError(f"Got radii={radii}; expected positive, increasing numbers, such as {RADII}.")
    split, batch = TrunkAndHeads(shared, heads), MicroBatch(features, losses)
    split.check_tasks(len(batch.losses))
    with StateGuard():  # one run notes the generators' states: the ascent draws the masks of decompose
        batch.run(range(len(batch.losses)))
    found = {"rho": radii, "losses": [], "perturbed_losses": [], "gramians": [], "sharpness": []}
    for rho in radii:
        with StateGuard():  # decompose alone leaves buffers and generators as after one pass
            d = decompose(features, batch.losses, split.shared, split.heads, rho, None, adaptive, norm)
        found["losses"] = d.losses
        found["perturbed_losses"].append(d.perturbed_losses)
        found["gramians"].append(d.gramian)
        rises = []
        for i, head in enumerate(split.heads):
            own = (lambda i=i: batch.run([i])[0]), split.shared + head
            rises.append(sharpness(*own, rho, adaptive=adaptive))
        found["sharpness"].append(rises)
    return rounded(found, 6)
