"""Loss part and flat part of each task's SAM gradient, and the five ways to combine them.

Algorithm 1 of arXiv 2211.13723 is :func:`decompose` followed by :func:`decomposed`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .aggregation import Aggregator, GramianAggregator, Mean, gramian, relative_accuracy, weighted_sum
from .aggregation.base import check_aggregator
from .gradients import (
    Features,
    Losses,
    MicroBatch,
    TaskGradients,
    TrunkAndHeads,
    flatten,
    task_gradients,
    unflatten,
)
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, Perturbation, StateGuard, perturbed


@dataclass
class Decomposition:
    """Each task's SAM gradient, split: sam = loss + flat.

    Attributes:
        loss: g(θ), shape (..., T, P).
        flat: g(θ+ε) - g(θ), shape (..., T, P); None, for "no perturbation", reads as zeros.
        head_grads: per task a list of tensors, the head's SAM gradients.
        head_loss_grads: the same at θ.
        losses: task losses at θ, (T,).
        perturbed_losses: task losses at θ+ε, (T,), or None.
    """

    loss: Tensor
    flat: Tensor | None = None
    head_grads: list[list[Tensor]] | None = None
    head_loss_grads: list[list[Tensor]] | None = None
    losses: Tensor | None = None
    perturbed_losses: Tensor | None = None

    def __post_init__(self):
        self._has_flat = self.flat is not None
        if not self._has_flat:
            self.flat = self.loss.new_zeros(()).expand(self.loss.shape)
        if self.flat.shape != self.loss.shape:
            raise ValueError(
                f"Got a flat part of shape {tuple(self.flat.shape)} for a loss part of shape "
                f"{tuple(self.loss.shape)}; expected equal shapes (..., T, P)."
            )

    @property
    def sam(self) -> Tensor:
        """g(θ+ε), shape (..., T, P)."""
        return self.loss + self.flat

    @cached_property
    def gramian(self) -> Tensor:
        """Inner products of the 2T rows [loss; flat], (..., 2T, 2T), on the CPU: one product for all
        norms, angles and weights.

        Raises:
            NonFiniteGradient: a row holds NaN or infinity.
        """
        if self._has_flat:
            return gramian(self.loss, self.flat)
        T = self.loss.shape[-2]
        return torch.nn.functional.pad(gramian(self.loss), (0, T, 0, T))


def decompose(
    features: Features,
    losses: Losses,
    shared: Iterable[Tensor] | None = None,
    heads: Iterable[Iterable[Tensor]] | None = None,
    rho: float = DEFAULT_RHO,
    rho_heads: float | None = None,
    adaptive: bool = False,
    norm: str = DEFAULT_NORM,
    perturb: str = "task",
) -> Decomposition:
    """Split each task's SAM gradient into its loss part and its flat part (arXiv 2211.13723, Alg. 1).

    The clean pass runs the trunk once; the perturbed pass of task i runs the trunk and head i only.
    Weights, BatchNorm buffers and generators are afterwards as after one clean pass, and as before
    the call if anything raises; dropout draws the same masks in both passes.

    Args:
        features: () -> z, runs the trunk on the batch; z is anything.
        losses: per task z -> scalar, running that task's head.
        shared, heads: parameters of the trunk, and per task of the head. Left out, they are found
            from the graph: what every loss reaches is shared, what one loss reaches is its head.
        rho, rho_heads, adaptive, norm, perturb: see :class:`~flatmtl_lite.perturbation.Perturbation`.

    Returns:
        A :class:`Decomposition` with loss, flat of shape (T, P).

    Raises:
        ValueError: arguments that do not fit; the message says which and what to do.
        NonFiniteGradient: a clean gradient holds NaN or infinity.

    Example:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> tasks = [lambda z: (z**2).sum() / 2, lambda z: z[0]]
        >>> d = decompose(lambda: w, tasks, shared=[w], heads=[[], []], rho=0.1)
        >>> d.loss, d.flat
        (tensor([[1., 2.],
                [1., 0.]]), tensor([[0.0447, 0.0894],
                [0.0000, 0.0000]]))
    """
    perturbation = Perturbation(rho, rho_heads, adaptive, norm, perturb)
    with StateGuard() as state:
        return run_passes(state, [MicroBatch(features, losses)], TrunkAndHeads(shared, heads), perturbation)


def run_passes(
    state: StateGuard,
    passes: Sequence[MicroBatch],
    split: TrunkAndHeads,
    perturbation: Perturbation | None,
    weigh: Callable[[Tensor], Tensor] | None = None,
    average: Callable[[TaskGradients], None] = lambda gradients: None,
) -> Decomposition:
    """:func:`decompose` over micro-batches: first gradients, ε, second gradients, difference.

    Args:
        state: the guard in whose block this runs, so that all can be put back.
        passes: the micro-batches that make one batch.
        split: shared and head parameters.
        perturbation: None, or a zero one: no perturbed pass runs.
        weigh: losses at θ (T,) -> weights (T,). If given, one backward of the weighted sum does, and loss
            and flat have one row, of which only their sum, with a perturbation, is so weighted: the clean
            pass is that of the mean loss, to which ε belongs. Not for ``perturb="task"``.
        average: called on every set of gradients, to average it over processes in place.
    """
    tasks = range(len(passes[0].losses))
    split.check_tasks(len(tasks))
    is_erm = perturbation is None or perturbation.is_zero
    clean = task_gradients(passes, split, tasks, weigh if is_erm else weigh and Mean().loss_weights)
    state.keep()
    average(clean)
    _mark_nonfinite_heads(clean)
    heads = _per_head(clean.heads, split)
    d = Decomposition(clean.shared, None, heads, heads, clean.losses)
    if not is_erm:
        weights = weigh and weigh(clean.losses)
        sam = _perturbed_gradients(passes, split, clean, perturbation, weigh and (lambda _: weights))
        average(sam)
        _mark_nonfinite_heads(sam)
        flat, sam_heads = sam.shared.sub_(clean.shared), _per_head(sam.heads, split)
        d = Decomposition(clean.shared, flat, sam_heads, heads, clean.losses, sam.losses)
    _ = d.gramian  # finds what is not finite
    return d


def _perturbed_gradients(
    passes: Sequence[MicroBatch],
    split: TrunkAndHeads,
    clean: TaskGradients,
    perturbation: Perturbation,
    weigh: Callable[[Tensor], Tensor] | None,
) -> TaskGradients:
    """The tasks' gradients at θ+ε, ε from the clean gradients: one per task, or one for all."""
    theta = flatten(split.shared)
    theta_heads = [flatten(head) if head else empty for head, empty in zip(split.heads, clean.heads)]
    if perturbation.perturb == "mean":
        mean_head = torch.cat(clean.heads) / len(clean.heads)
        all_heads = torch.cat(theta_heads)
        epsilon = perturbation.step(clean.shared.mean(0), mean_head, theta, all_heads)
        with perturbed(split.parameters, torch.cat([theta, all_heads]), torch.cat(epsilon)):
            return task_gradients(passes, split, range(len(split.heads)), weigh)
    sam = TaskGradients(torch.empty_like(clean.shared), [], torch.empty_like(clean.losses))
    for i, head in enumerate(split.heads):
        epsilon = perturbation.step(clean.shared[i], clean.heads[i], theta, theta_heads[i])
        with perturbed(split.shared + head, torch.cat([theta, theta_heads[i]]), torch.cat(epsilon)):
            own = task_gradients(passes, split, [i])
        sam.shared[i], sam.losses[i] = own.shared[0], own.losses[0]
        sam.heads += own.heads
    return sam


def erm(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss): gradient-based multi-task learning without SAM. (..., P)"""
    return combine(d, aggregate, "erm")


def direct(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss + flat): the SAM gradients, aggregated whole. (..., P)"""
    return combine(d, aggregate, "direct")


def decomposed(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss) + A(flat): the F-method (arXiv 2211.13723, Alg. 1). (..., P)"""
    return combine(d, aggregate, "decomposed")


def second(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """2 A([A(loss), A(flat)]): "second aggregation" of its Table 6. (..., P)"""
    return combine(d, aggregate, "second")


def each(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """2 A over i of A([lossᵢ, flatᵢ]): "each aggregation" of its Table 6. (..., P)"""
    return combine(d, aggregate, "each")


RULES = {
    "erm": lambda A, loss, flat: A(loss, "loss"),
    "direct": lambda A, loss, flat: A(loss + flat, "sam"),
    "decomposed": lambda A, loss, flat: A(loss, "loss") + A(flat, "flat"),
    "second": lambda A, loss, flat: 2 * A(torch.stack([A(loss, "loss"), A(flat, "flat")], -2)),
    "each": lambda A, loss, flat: 2 * A(A(torch.stack([loss, flat], -2))),
}


def combine(d: Decomposition, aggregate: Aggregator, rule: str) -> Tensor:
    """The direction (..., P) by the rule of that name in ``RULES``.

    ``A`` is there given the name of the part too, for aggregators that remember each part by itself.

    Raises:
        ValueError: ``aggregate`` is none, reads losses and there are none, or cannot take the rule's rows.
    """
    check_aggregator(aggregate, rule)
    if not isinstance(aggregate, GramianAggregator):
        _ = d.gramian  # finds what is not finite
        return RULES[rule](aggregate.for_step(d.losses), d.loss, d.flat)
    of_loss, of_flat = coefficients(d.gramian, aggregate, rule, relative_accuracy(d.loss)).chunk(2, -1)
    direction = weighted_sum(of_loss, d.loss)
    return direction + weighted_sum(of_flat, d.flat) if d._has_flat else direction


def coefficients(M: Tensor, aggregate: GramianAggregator, rule: str, eps: float | None = None) -> Tensor:
    """A rule's direction as coefficients of the 2T rows [loss; flat], (..., 2T), float64, on the CPU.

    Every vector of the rule is a combination of those rows, so the rule runs on coefficient vectors,
    whose inner products ``M`` = [loss; flat][loss; flat]ᵀ (..., 2T, 2T) gives; nothing is of length P.
    ``M`` must be finite. ``eps`` is its relative accuracy, by default that of its dtype: in float32, a sum
    of rows that cancels to less than about 1e-3 of its terms has weights no better than rounding.
    """
    eps = torch.finfo(M.dtype).eps if eps is None else eps
    batch, n, M = M.shape[:-2], M.shape[-1], M.double()
    blocks = {"loss": M[..., : n // 2, : n // 2], "flat": M[..., n // 2 :, n // 2 :]}

    def A(rows: Tensor, part: str | None = None) -> Tensor:
        metric = M.reshape(*batch, *[1] * (rows.ndim - M.ndim), n, n)
        inner = blocks[part] if part in blocks else rows @ metric @ rows.mT
        weights = aggregate.weigh(inner, eps, part)
        return (weights.unsqueeze(-2) @ rows).squeeze(-2)

    loss, flat = torch.eye(n, dtype=torch.float64, device="cpu").expand(*batch, n, n).split(n // 2, dim=-2)
    return RULES[rule](A, loss, flat)


def _mark_nonfinite_heads(gradients: TaskGradients) -> None:
    """Make an entry of a trunk's row NaN where its head is not finite, so that one look finds both."""
    for i, head in enumerate(gradients.heads):
        if len(head):
            row = min(i, len(gradients.shared) - 1)
            gradients.shared[row, 0] += (0 * head.abs().amax()).to(gradients.shared.dtype)


def _per_head(vectors: list[Tensor], split: TrunkAndHeads) -> list[list[Tensor]]:
    return [unflatten(v, head) for v, head in zip(vectors, split.heads, strict=True)]
