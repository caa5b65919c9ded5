"""Split each task's SAM gradient into a loss part and a flat part, and combine them by one of five rules.

Algorithm 1 of arXiv 2211.13723 is :func:`decompose` followed by :func:`decomposed`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from .aggregation import Mean, NonFiniteGradient, gramian, relative_accuracy, weighted_sum
from .aggregation.base import Aggregator, GramianAggregator, check_aggregator
from .aggregation.unit_rows import identity
from .gradients import (
    AbsentTask,
    Features,
    Losses,
    MicroBatch,
    TaskGradients,
    task_gradients,
    weighted_gradients,
)
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, Perturbation, StateGuard, move, perturbed, restored
from .state import replayed
from .trunk_and_heads import TrunkAndHeads, flatten, unflatten


class Decomposition:
    """Each task's SAM gradient, split: sam = loss + flat.

    Args:
        loss: g(θ), shape (..., T, P).
        flat: g(θ+ε) - g(θ), shape (..., T, P); None: no perturbation, so zeros.
        head_grads: per task a list of tensors, the head's SAM gradients.
        head_loss_grads: per task a list of tensors, the head's gradients at θ.
        losses: task losses at θ, (T,).
        perturbed_losses: task losses at θ+ε, (T,), or None.
        tasks: numbers of the T tasks, if some are absent; by default 0 to T - 1.

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
        tasks: Sequence[int] | None = None,
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
        self.tasks = tuple(range(loss.shape[-2]) if tasks is None else tasks)
        self._gramian: Tensor | None = None
        self._losses_on_cpu: Tensor | None = None

    @property
    def sam(self) -> Tensor:
        """g(θ+ε), shape (..., T, P)."""
        return self.loss + self.flat

    @property
    def rows(self) -> Tensor:
        """[loss; flat], (..., 2T, P), or the loss part alone if no flat part was given.

        After :func:`decompose` the two parts lie next to each other in memory, and this is a view.
        """
        if not self.has_flat:
            return self.loss
        T, P = self.loss.shape[-2:]
        parts = self.loss, self.flat
        adjacent = self.flat.data_ptr() == self.loss.data_ptr() + T * P * self.loss.element_size()
        if self.loss.ndim == 2 and adjacent and all(part.is_contiguous() for part in parts):
            return self.loss.as_strided((2 * T, P), (P, 1))
        return torch.cat(parts, -2)

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

    def check_step(self, losses: Tensor, largest: Tensor) -> None:
        """Raise NonFiniteGradient, which names the tasks, unless gradients and losses of a step are finite.

        Every step needs the Gramian on the CPU, and the Gramian shows whether the rows are finite. The other
        numbers that the step needs there travel with it.

        Args:
            losses: (passes, T).
            largest: per pass and task the largest absolute entry of its head's gradient, (passes, T).
        """

        def to_cpu(products: Tensor) -> Tensor:
            M, entries, all_losses = _to_cpu(products, largest, losses)
            _check_tasks_finite(entries.isfinite().all(0))
            losses_on_cpu.append(all_losses)
            return M

        losses_on_cpu: list[Tensor] = []
        self._gramian = self._products(to_cpu)
        _check_tasks_finite(losses_on_cpu[0].isfinite().all(0), "loss")
        self._losses_on_cpu = losses_on_cpu[0][0]

    def _products(self, to_cpu: Callable[[Tensor], Tensor]) -> Tensor:
        T, parts = self.loss.shape[-2], 2 if self.has_flat else 1
        M = gramian(self.rows, parts, to_cpu)
        return M if self.has_flat else torch.nn.functional.pad(M, (0, T, 0, T))


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
        losses: per task z -> scalar, running that task's head; or z -> None: the task is absent from this
            batch, and its row is left out.
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
    groups = TrunkAndHeads(shared, heads)

    def split() -> Decomposition:
        with StateGuard() as state:
            return run_passes([MicroBatch(features, losses, state)], groups, perturbation)

    return replayed(split)


def run_passes(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    perturbation: Perturbation | None,
    average: Callable[[TaskGradients], None] = TaskGradients.average,
    verify: bool = False,
) -> Decomposition:
    """Run :func:`decompose` over micro-batches: first gradients, ε, second gradients less the first.

    Args:
        batches: the micro-batches that make one batch. The block of their guard must be active; it puts
            buffers and generators back.
        groups: shared and head parameters.
        perturbation: None, or a zero one: no perturbed pass runs.
        average: called on every set of gradients, to average it in place over micro-batches, and perhaps over
            processes.
        verify: whether to check that the losses repeat, which takes one more pass without backward.

    Raises:
        ValueError, NonFiniteGradient: as :func:`decompose`.
    """
    T = len(batches[0].losses)
    groups.check_tasks(T)
    is_erm = perturbation is None or perturbation.is_zero
    groups.reserve(T if is_erm else 2 * T + 1)  # the loss part, the flat part, a copy of the weights
    clean = task_gradients(batches, groups, range(T))
    average(clean)
    tasks = _leave_out_absent(clean)
    if perturbation is None or perturbation.is_zero:
        return _decomposition(clean, None, groups, tasks)
    if verify:
        batches[0].check_repeats()
    if perturbation.perturb == "mean":
        with _moved_by_mean(groups, clean, perturbation, tasks):
            sam = task_gradients(batches, groups, tasks, first=len(tasks), minus=0)
    else:
        sam = _perturbed_gradients(batches, groups, clean, perturbation, tasks)
    average(sam)
    return _decomposition(clean, sam, groups, tasks)


def run_weighted_passes(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    perturbation: Perturbation | None,
    weigh: Callable[[Tensor], Tensor],
    average: Callable[[TaskGradients], None] = TaskGradients.average,
) -> Decomposition:
    """Run the passes with one backward pass of the weighted losses instead of one per task.

    Without a perturbation the one row ``loss`` is the gradient of the weighted losses. With a perturbation,
    which is always by the mean loss, ``loss`` is the gradient of the mean loss, and the sum ``loss + flat``
    is the gradient of the weighted losses at θ+ε.

    Args:
        batches, groups, perturbation, average: as for :func:`run_passes`.
        weigh: losses at θ (T,) -> weights (T,).

    Raises:
        ValueError: as :func:`decompose`.
        NonFiniteGradient: as :func:`decompose`, but the one row cannot tell which task it was.
        AbsentTask: a loss is None.
    """
    tasks = range(len(batches[0].losses))
    groups.check_tasks(len(tasks))
    is_erm = perturbation is None or perturbation.is_zero
    groups.reserve(1 if is_erm else 3)
    clean = weighted_gradients(batches, groups, weigh if is_erm else Mean().loss_weights)
    average(clean)
    if min(clean.counts) < clean.batches:
        raise AbsentTask
    if perturbation is None or perturbation.is_zero:
        return _decomposition(clean, None, groups, tasks)
    with _moved_by_mean(groups, clean, perturbation, tasks) as losses:
        weights = weigh(losses)
        sam = weighted_gradients(batches, groups, lambda losses: weights, first=1, minus=0)
    average(sam)
    return _decomposition(clean, sam, groups, tasks)


def _leave_out_absent(clean: TaskGradients) -> list[int]:
    """Leave out the tasks without a loss, in place, and return the others."""
    tasks = [i for i, count in enumerate(clean.counts) if count]
    if not tasks:
        raise ValueError("All losses are None; expected at least one task in the batch. Skip such a batch.")
    if len(tasks) < len(clean.counts):
        for k, i in enumerate(tasks):
            clean.shared[k] = clean.shared[i]
        clean.shared, clean.losses = clean.shared[: len(tasks)], clean.losses[tasks]
        clean.heads, clean.counts = [clean.heads[i] for i in tasks], [clean.counts[i] for i in tasks]
    return tasks


def _perturbed_gradients(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    clean: TaskGradients,
    perturbation: Perturbation,
    tasks: Sequence[int],
) -> TaskGradients:
    """Return the gradients at θ+ε, where each task has its own ε; of the trunk's, the flat part."""
    T, own_heads = len(tasks), [groups.heads[i] for i in tasks]
    flat, theta, theta_heads = groups.rows[T : 2 * T], *_weights(groups, tasks)
    steps = perturbation.steps(clean.shared, clean.heads, theta, theta_heads, scratch=flat)
    parts = []
    with restored(groups.shared, theta):
        for k, (head, (step, head_step)) in enumerate(zip(own_heads, steps, strict=True)):
            move(groups.shared, groups.views(-1), unflatten(step.direction, groups.shared), step.factor)
            with perturbed(head, theta_heads[k], head_step.direction, head_step.factor):
                parts.append(task_gradients(batches, groups, [tasks[k]], first=T + k, minus=k))
    heads, counts = (
        [head for part in parts for head in part.heads],
        [n for part in parts for n in part.counts],
    )
    return TaskGradients(flat, heads, torch.cat([part.losses for part in parts]), counts, len(batches))


@contextmanager
def _moved_by_mean(
    groups: TrunkAndHeads, clean: TaskGradients, perturbation: Perturbation, tasks: Sequence[int]
) -> Iterator[Tensor]:
    """Move all weights by one ε, from the gradient of the mean loss, as long as the block runs.

    Yields:
        the losses at θ, (T,), on the CPU.
    """

    def to_cpu(lengths: Tensor) -> Tensor:
        lengths, *losses = _to_cpu(lengths, clean.losses)
        losses_on_cpu.extend(losses)
        return lengths

    losses_on_cpu: list[Tensor] = []
    theta, theta_heads = _weights(groups, tasks)
    heads, all_heads = [p for i in tasks for p in groups.heads[i]], torch.cat(theta_heads)
    with restored(groups.shared, theta), restored(heads, all_heads):
        mean, mean_head = clean.shared.mean(0, keepdim=True), torch.cat(clean.heads) / len(clean.heads)
        scratch = groups.rows[len(clean.shared)].unsqueeze(0)
        [(step, head_step)] = perturbation.steps(mean, [mean_head], theta, [all_heads], scratch, to_cpu)
        move(groups.shared, groups.views(-1), unflatten(step.direction, groups.shared), step.factor)
        move(heads, unflatten(all_heads, heads), unflatten(head_step.direction, heads), head_step.factor)
        del mean, step  # their memory, before the passes run
        yield losses_on_cpu[0]


def _weights(groups: TrunkAndHeads, tasks: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Return copies of the weights as vectors: the trunk's, in the last of its rows, and each head's."""
    empty = groups.shared[0].new_empty(0)
    heads = [flatten(groups.heads[i]) if groups.heads[i] else empty for i in tasks]
    return flatten(groups.shared, out=groups.rows[-1]), heads


def _decomposition(
    clean: TaskGradients, sam: TaskGradients | None, groups: TrunkAndHeads, tasks: Sequence[int]
) -> Decomposition:
    """Check that all gradients and losses are finite; the trunk's rows of ``sam`` are the flat part."""
    heads, flat, sam_heads, sam_losses = _by_head(clean, groups, tasks), None, None, None
    if sam is not None:
        flat, sam_heads, sam_losses = sam.shared, _by_head(sam, groups, tasks), sam.losses
    d = Decomposition(clean.shared, flat, sam_heads or heads, heads, clean.losses, sam_losses, tasks)
    passes = [clean] if sam is None else [clean, sam]
    try:
        d.check_step(torch.stack([p.losses for p in passes]), _largest(*(p.heads for p in passes)))
    except NonFiniteGradient as error:
        raise NonFiniteGradient([tasks[row] for row in error.tasks], error.what) from None
    return d


def _by_head(gradients: TaskGradients, groups: TrunkAndHeads, tasks: Sequence[int]) -> list[list[Tensor]]:
    return [unflatten(head, groups.heads[i]) for i, head in zip(tasks, gradients.heads, strict=True)]


def _largest(*passes: list[Tensor]) -> Tensor:
    """Return the largest absolute entry of each vector of the passes, (passes, T)."""
    vectors = [vector if len(vector) else vector.new_zeros(1) for heads in passes for vector in heads]
    return torch.stack(torch._foreach_norm(vectors, math.inf)).view(len(passes), -1)


def _to_cpu(*tensors: Tensor) -> list[Tensor]:
    """Copy tensors to the CPU, waiting for the device once."""
    numbers = torch.cat([tensor.flatten() for tensor in tensors]).cpu().split([t.numel() for t in tensors])
    return [part.view(t.shape).to(t.dtype) for part, t in zip(numbers, tensors, strict=True)]


def _check_tasks_finite(finite: Tensor, what: str = "gradient") -> None:
    """Raise NonFiniteGradient for the tasks whose entry of ``finite`` (T,) is False."""
    if bad_tasks := [i for i, is_finite in enumerate(finite.tolist()) if not is_finite]:
        raise NonFiniteGradient(bad_tasks, what)


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
        losses = d.losses if d._losses_on_cpu is None else d._losses_on_cpu
        return RULES[rule](aggregate.for_step(losses), d.loss, d.flat)
    weights = coefficients(d.gramian, aggregate, rule, relative_accuracy(d.loss))
    rows = d.rows
    return weighted_sum(weights[..., : rows.shape[-2]], rows)


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
        if part in blocks:
            inner = blocks[part]
        else:
            inner = rows @ M.reshape(*batch, *[1] * (rows.ndim - M.ndim), n, n) @ rows.mT
        return (aggregate.weigh(inner, eps, part).unsqueeze(-2) @ rows).squeeze(-2)

    with torch.inference_mode(aggregate.is_function(n // 2)):  # makes small operations a tenth cheaper
        if rule == "decomposed" and aggregate.is_function(n // 2):  # two problems of one size are one batch
            both = aggregate.weigh(torch.stack(list(blocks.values()), -3), eps).flatten(-2)
        else:
            both = RULES[rule](A, *identity(n).expand(*batch, n, n).chunk(2, -2))
    return both.clone()  # a tensor that also works outside of inference mode
