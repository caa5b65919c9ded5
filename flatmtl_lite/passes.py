"""Run the passes of a step: gradients at θ, the step ε, and gradients at θ+ε less the first.

Algorithm 1 of arXiv 2211.13723 is :func:`decompose` followed by ``decomposed``.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from .aggregation import Mean, NonFiniteGradient
from .decomposition import Decomposition, copied
from .gradients import TaskGradients, task_gradients, weighted_gradients
from .micro_batch import AbsentTask, Features, Losses, MicroBatch
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, Perturbation, perturbed
from .perturbation.weights import move, restored
from .state import StateGuard, replayed
from .trunk_and_heads import TrunkAndHeads, flatten, unflatten


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
    perturbation = None if perturbation is None or perturbation.is_zero else perturbation
    # the loss part, the flat part, a copy of the weights
    groups.reserve(T if perturbation is None else 2 * T + 1)
    clean = task_gradients(batches, groups, range(T))
    counts = list(clean.counts)
    average(clean)
    tasks = _leave_out_absent(clean)
    if perturbation is None:
        return _decomposition(clean, None, groups, tasks)
    if verify:
        batches[0].check_repeats()
    if perturbation.perturb == "mean":
        with _moved_by_mean(groups, clean, perturbation, tasks):
            sam = task_gradients(batches, groups, tasks, first=len(tasks), minus=0)
    else:
        sam = _perturbed_gradients(batches, groups, clean, perturbation, tasks)
    if changed := [i for i, count in zip(tasks, sam.counts, strict=True) if count != counts[i]]:
        raise ValueError(
            f"The losses of tasks {changed} were None in one pass of the step and not in another; expected "
            "the same in every pass. Decide before the step which tasks the batch has."
        )
    average(sam)
    return _decomposition(clean, sam, groups, tasks)


def run_weighted_passes(
    batches: Sequence[MicroBatch],
    groups: TrunkAndHeads,
    perturbation: Perturbation | None,
    weigh: Callable[[Tensor], Tensor],
    average: Callable[[TaskGradients], None] = TaskGradients.average,
    verify: bool = False,
) -> Decomposition:
    """Run the passes with one backward pass of the weighted losses instead of one per task.

    Without a perturbation the one row ``loss`` is the gradient of the weighted losses. With a perturbation,
    which is always by the mean loss, ``loss`` is the gradient of the mean loss, and the sum ``loss + flat``
    is the gradient of the weighted losses at θ+ε.

    Args:
        batches, groups, perturbation, average, verify: as for :func:`run_passes`.
        weigh: losses at θ (T,) -> weights (T,).

    Raises:
        ValueError: as :func:`decompose`.
        NonFiniteGradient: as :func:`decompose`, but the one row cannot tell which task it was.
        AbsentTask: a loss is None.
    """
    tasks = range(len(batches[0].losses))
    groups.check_tasks(len(tasks))
    perturbation = None if perturbation is None or perturbation.is_zero else perturbation
    groups.reserve(1 if perturbation is None else 3)
    clean = weighted_gradients(batches, groups, Mean().loss_weights if perturbation else weigh)
    average(clean)
    if min(clean.counts) < clean.batches:
        raise AbsentTask
    if perturbation is None:
        return _decomposition(clean, None, groups, tasks)
    if verify:
        batches[0].check_repeats()
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
    heads = [head for part in parts for head in part.heads]
    counts = [count for part in parts for count in part.counts]
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
        lengths, *losses = copied(lengths, clean.losses)
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
