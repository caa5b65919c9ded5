"""Split each task's SAM gradient into a loss part and a flat part, and combine them by one of five rules.

Algorithm 1 of arXiv 2211.13723 is :func:`decompose` followed by :func:`decomposed`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from .aggregation import Mean, NonFiniteGradient, gramian, relative_accuracy, weighted_sum
from .aggregation.base import Aggregator, GramianAggregator, check_aggregator
from .gradients import (
    Features,
    Losses,
    MicroBatch,
    TaskGradients,
    TrunkAndHeads,
    flatten,
    task_gradients,
    unflatten,
    weighted_gradients,
)
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, Perturbation, StateGuard, perturbed


class Decomposition:
    """Each task's SAM gradient, split: sam = loss + flat.

    Args:
        loss: g(θ), shape (..., T, P).
        flat: g(θ+ε) - g(θ), shape (..., T, P); None: no perturbation, so zeros.
        head_grads: per task a list of tensors, the head's SAM gradients.
        head_loss_grads: per task a list of tensors, the head's gradients at θ.
        losses: task losses at θ, (T,).
        perturbed_losses: task losses at θ+ε, (T,), or None.

    Attributes: the arguments; ``flat`` is always a tensor.

    Raises:
        ValueError: loss and flat part have different shapes.

    Example:
        >>> Decomposition(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.0]])).sam
        tensor([[1.5000, 2.0000]])
    """

    def __init__(
        self,
        loss: Tensor,
        flat: Tensor | None = None,
        head_grads: Sequence[list[Tensor]] = (),
        head_loss_grads: Sequence[list[Tensor]] = (),
        losses: Tensor | None = None,
        perturbed_losses: Tensor | None = None,
    ) -> None:
        if flat is not None and flat.shape != loss.shape:
            raise ValueError(
                f"Got a flat part of shape {tuple(flat.shape)} for a loss part of shape "
                f"{tuple(loss.shape)}; expected equal shapes (..., T, P)."
            )
        self.loss = loss
        self.flat = loss.new_zeros(()).expand(loss.shape) if flat is None else flat
        self.has_flat = flat is not None
        self.head_grads, self.head_loss_grads = list(head_grads), list(head_loss_grads)
        self.losses, self.perturbed_losses = losses, perturbed_losses
        self._gramian: Tensor | None = None

    @property
    def sam(self) -> Tensor:
        """g(θ+ε), shape (..., T, P)."""
        return self.loss + self.flat

    @property
    def gramian(self) -> Tensor:
        """Inner products of the 2T rows [loss; flat], (..., 2T, 2T), on the CPU.

        This one product yields all norms, angles and weights. It is computed at the first use.

        Raises:
            NonFiniteGradient: a row holds NaN or infinity.
        """
        if self._gramian is None:
            self._gramian = self._products(Tensor.cpu)
        return self._gramian

    def check_finite(self) -> None:
        """Raise NonFiniteGradient, which names the tasks, unless both parts are finite."""
        if self._gramian is None:  # only finite rows have a Gramian
            finite = (self.loss.isfinite() & self.flat.isfinite()).all(-1)
            _check_tasks_finite(finite.reshape(-1, finite.shape[-1]).all(0))

    def check_finite_with_heads(self, finite_heads: Tensor) -> None:
        """Raise NonFiniteGradient, which names the tasks, unless both parts and all heads are finite.

        Every step needs the Gramian on the CPU, and the Gramian shows whether the rows are finite. The heads'
        flags travel with it, so the check needs no copy of its own.

        Args:
            finite_heads: per task whether the gradients of its head are finite, (T,), bool.
        """

        def to_cpu(products: Tensor) -> Tensor:
            numbers = torch.cat([products.flatten(), finite_heads.to(products)]).cpu()
            _check_tasks_finite(numbers[products.numel() :])
            return numbers[: products.numel()].view(products.shape)

        self._gramian = self._products(to_cpu)

    def _products(self, to_cpu: Callable[[Tensor], Tensor]) -> Tensor:
        if self.has_flat:
            return gramian(self.loss, self.flat, to_cpu=to_cpu)
        T = self.loss.shape[-2]
        return torch.nn.functional.pad(gramian(self.loss, to_cpu=to_cpu), (0, T, 0, T))


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

    The clean pass runs the trunk once. The perturbed pass of task i runs the trunk and head i only.
    Afterwards the weights are unchanged, and BatchNorm buffers and generators are as after one clean pass.
    If anything raises, all are as before the call. Dropout draws the same masks in both passes.

    Args:
        features: () -> z, runs the trunk on the batch; z is anything.
        losses: per task z -> scalar, running that task's head.
        shared, heads: parameters of the trunk, and per task of the head. Lists that are left out are found
            from the graph: a parameter that every loss reaches is shared, one that one loss reaches
            belongs to its head.
        rho, rho_heads, adaptive, norm, perturb: see :class:`~flatmtl_lite.perturbation.Perturbation`.

    Returns:
        A :class:`Decomposition` with loss, flat of shape (T, P).

    Raises:
        ValueError: arguments that do not fit; the message says which and what to do.
        NonFiniteGradient: a gradient, clean or perturbed, holds NaN or infinity.

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
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    perturbation: Perturbation | None,
    average: Callable[[TaskGradients], None] = lambda gradients: None,
) -> Decomposition:
    """Run :func:`decompose` over micro-batches: first gradients, ε, second gradients, difference.

    Args:
        state: the guard in whose block this runs; it puts buffers and generators back.
        batches: the micro-batches that make one batch.
        groups: shared and head parameters.
        perturbation: None, or a zero one: no perturbed pass runs.
        average: called on every set of gradients, to average it over processes in place; by default there
            is one process and nothing to do.

    Raises:
        ValueError, NonFiniteGradient: as :func:`decompose`.
    """
    tasks = range(len(batches[0].losses))
    groups.check_tasks(len(tasks))
    clean = task_gradients(batches, groups, tasks)
    state.keep()
    average(clean)
    if perturbation is None or perturbation.is_zero:
        return _difference(clean, None, groups)
    if perturbation.perturb == "mean":
        with _moved_by_mean(groups, clean, perturbation):
            sam = task_gradients(batches, groups, tasks)
    else:
        sam = _perturbed_gradients(batches, groups, clean, perturbation)
    average(sam)
    return _difference(clean, sam, groups)


def run_weighted_passes(
    state: StateGuard,
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    perturbation: Perturbation | None,
    weigh: Callable[[Tensor], Tensor],
    average: Callable[[TaskGradients], None] = lambda gradients: None,
) -> Decomposition:
    """Run the passes with one backward pass of the weighted losses instead of one per task.

    Without a perturbation the one row ``loss`` is the gradient of the weighted losses. With a perturbation,
    which is always by the mean loss, ``loss`` is the gradient of the mean loss, and the sum ``loss + flat``
    is the gradient of the weighted losses at θ+ε.

    Args:
        state, batches, groups, perturbation, average: as for :func:`run_passes`.
        weigh: losses at θ (T,) -> weights (T,).

    Raises:
        ValueError: as :func:`decompose`.
        NonFiniteGradient: as :func:`decompose`, but the one row cannot tell which task it was.
    """
    groups.check_tasks(len(batches[0].losses))
    is_erm = perturbation is None or perturbation.is_zero
    clean = weighted_gradients(batches, groups, weigh if is_erm else Mean().loss_weights)
    state.keep()
    average(clean)
    if perturbation is None or perturbation.is_zero:
        return _difference(clean, None, groups)
    weights = weigh(clean.losses)
    with _moved_by_mean(groups, clean, perturbation):
        sam = weighted_gradients(batches, groups, lambda losses: weights)
    average(sam)
    return _difference(clean, sam, groups)


def _perturbed_gradients(
    batches: Sequence[MicroBatch], groups: TrunkAndHeads, clean: TaskGradients, perturbation: Perturbation
) -> TaskGradients:
    """Return the tasks' gradients at θ+ε, where each task has its own ε from its clean gradient."""
    theta, theta_heads = _weights(groups, clean)
    sam = TaskGradients(torch.empty_like(clean.shared), [], torch.empty_like(clean.losses))
    for i, head in enumerate(groups.heads):
        epsilon = perturbation.step(clean.shared[i], clean.heads[i], theta, theta_heads[i])
        with perturbed(groups.shared + head, torch.cat([theta, theta_heads[i]]), torch.cat(epsilon)):
            task = task_gradients(batches, groups, [i])
        sam.shared[i], sam.losses[i] = task.shared[0], task.losses[0]
        sam.heads += task.heads
    return sam


@contextmanager
def _moved_by_mean(groups: TrunkAndHeads, clean: TaskGradients, perturbation: Perturbation) -> Iterator[None]:
    """Move all weights by one ε, from the gradient of the mean loss, as long as the block runs."""
    theta, theta_heads = _weights(groups, clean)
    all_heads, mean_head = torch.cat(theta_heads), torch.cat(clean.heads) / len(clean.heads)
    epsilon = perturbation.step(clean.shared.mean(0), mean_head, theta, all_heads)
    with perturbed(groups.parameters, torch.cat([theta, all_heads]), torch.cat(epsilon)):
        yield


def _weights(groups: TrunkAndHeads, clean: TaskGradients) -> tuple[Tensor, list[Tensor]]:
    """Return copies of the weights: the trunk's (P,), and one vector per head, in the head's dtype."""
    heads = [flatten(head) if head else empty for head, empty in zip(groups.heads, clean.heads)]
    return flatten(groups.shared), heads


def _difference(clean: TaskGradients, sam: TaskGradients | None, groups: TrunkAndHeads) -> Decomposition:
    """Split SAM gradients by subtracting the clean ones; check that all gradients are finite."""
    heads = [unflatten(vector, head) for vector, head in zip(clean.heads, groups.heads, strict=True)]
    finite_heads = _finite_heads(clean)
    d = Decomposition(clean.shared, None, heads, heads, clean.losses)
    if sam is not None:
        flat = sam.shared.sub_(clean.shared)
        sam_heads = [unflatten(vector, head) for vector, head in zip(sam.heads, groups.heads, strict=True)]
        d = Decomposition(clean.shared, flat, sam_heads, heads, clean.losses, sam.losses)
        finite_heads &= _finite_heads(sam)
    d.check_finite_with_heads(finite_heads)
    return d


def _finite_heads(gradients: TaskGradients) -> Tensor:
    """Return per head whether its gradient is finite, (T,), bool, without waiting for the device."""
    return torch.stack([head.isfinite().all() for head in gradients.heads])


def _check_tasks_finite(finite: Tensor) -> None:
    """Raise NonFiniteGradient for the tasks whose entry of ``finite`` (T,) is 0 or False."""
    if bad_tasks := [i for i, is_finite in enumerate(finite.tolist()) if not is_finite]:
        raise NonFiniteGradient(bad_tasks)


class Direction(Protocol):
    """An aggregator in a rule: rows (..., T, P) -> direction (..., P).

    ``part`` names the rows ("loss", "flat" or "sam") for aggregators that remember each part by itself.
    """

    def __call__(self, rows: Tensor, part: str | None = None) -> Tensor: ...


RULES: dict[str, Callable[[Direction, Tensor, Tensor], Tensor]] = {
    "erm": lambda A, loss, flat: A(loss, "loss"),
    "direct": lambda A, loss, flat: A(loss + flat, "sam"),
    "decomposed": lambda A, loss, flat: A(loss, "loss") + A(flat, "flat"),
    "second": lambda A, loss, flat: 2 * A(torch.stack([A(loss, "loss"), A(flat, "flat")], -2)),
    "each": lambda A, loss, flat: 2 * A(A(torch.stack([loss, flat], -2))),
}


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
    """2 A([A(loss), A(flat)]): "second aggregation" of arXiv 2211.13723, Table 6. (..., P)"""
    return combine(d, aggregate, "second")


def each(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """2 A over i of A([lossᵢ, flatᵢ]): "each aggregation" of arXiv 2211.13723, Table 6. (..., P)"""
    return combine(d, aggregate, "each")


def check_rule(rule: str) -> None:
    """Raise ValueError unless ``rule`` is a key of ``RULES``."""
    if rule not in RULES:
        raise ValueError(f"Got combine={rule!r}; expected one of {', '.join(RULES)}.")


def combine(d: Decomposition, aggregate: Aggregator, rule: str) -> Tensor:
    """Return the direction (..., P) by the rule of that name in ``RULES``.

    Raises:
        ValueError: the rule is unknown; ``aggregate`` is not an aggregator, reads losses and there are none,
            or cannot take the rule's rows.
        NonFiniteGradient: a row holds NaN or infinity.

    Example:
        >>> d = Decomposition(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        >>> combine(d, Mean(), "erm")
        tensor([2., 1.])
    """
    check_rule(rule)
    check_aggregator(aggregate, rule)
    if not isinstance(aggregate, GramianAggregator):
        d.check_finite()
        return RULES[rule](aggregate.for_step(d.losses), d.loss, d.flat)
    of_loss, of_flat = coefficients(d.gramian, aggregate, rule, relative_accuracy(d.loss)).chunk(2, -1)
    direction = weighted_sum(of_loss, d.loss)
    return direction + weighted_sum(of_flat, d.flat) if d.has_flat else direction


def coefficients(M: Tensor, aggregate: GramianAggregator, rule: str, eps: float | None = None) -> Tensor:
    """Return a rule's direction as coefficients of the 2T rows [loss; flat], (..., 2T), float64, on the CPU.

    Every vector of the rule is a combination of those rows. So the rule runs on coefficient vectors, and
    ``M`` gives their inner products. No vector has length P.

    Args:
        M: [loss; flat][loss; flat]ᵀ (..., 2T, 2T), finite.
        aggregate: the aggregator.
        rule: key of ``RULES``.
        eps: relative accuracy of ``M``, by default that of its dtype. In float32, a sum of rows that cancels
            to less than about 1e-3 of its terms has weights that are mostly rounding.

    Example:
        >>> coefficients(torch.eye(4), Mean(), "decomposed")
        tensor([0.5000, 0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    eps = torch.finfo(M.dtype).eps if eps is None else eps
    batch, n, M = M.shape[:-2], M.shape[-1], M.double()
    blocks = {"loss": M[..., : n // 2, : n // 2], "flat": M[..., n // 2 :, n // 2 :]}

    def A(rows: Tensor, part: str | None = None) -> Tensor:
        metric = M.reshape(*batch, *[1] * (rows.ndim - M.ndim), n, n)
        inner = blocks[part] if part in blocks else rows @ metric @ rows.mT
        weights = aggregate.weigh(inner, eps, part)
        return (weights.unsqueeze(-2) @ rows).squeeze(-2)

    loss, flat = torch.eye(n, dtype=torch.float64, device="cpu").expand(*batch, n, n).chunk(2, -2)
    return RULES[rule](A, loss, flat)
