"""Turn the gradients of a step's passes into a decomposition, and check that everything in it is finite."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .aggregation import NonFiniteGradient
from .aggregation.checks import check_tasks_finite
from .decomposition import Decomposition
from .gradients import TaskGradients, unflatten
from .trunk_and_heads import TrunkAndHeads


def average_over(process_group: "torch.distributed.ProcessGroup | None", gradients: TaskGradients) -> None:
    """Average gradients and losses over micro-batches and the processes of a group, in place."""
    if process_group is not None:
        counts = torch.tensor([*gradients.counts, gradients.batches], device=gradients.losses.device)
        for tensor in (gradients.shared, *gradients.heads, gradients.losses, counts):
            torch.distributed.all_reduce(tensor, group=process_group)
        *gradients.counts, gradients.batches = counts.tolist()
    gradients.average()


def leave_out_absent(clean: TaskGradients) -> list[int]:
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


def check_counts(counts: Mapping[int, tuple[float, float]]) -> None:
    """Raise ValueError unless each task has a loss in as many micro-batches of both passes."""
    if changed := [task for task, (clean, perturbed) in counts.items() if clean != perturbed]:
        raise ValueError(
            f"The losses of tasks {changed} were None in one pass of the step and not in another; expected "
            "the same in every pass. Decide before the step which tasks the batch has."
        )


def checked_decomposition(
    clean: TaskGradients,
    sam: TaskGradients | None,
    groups: TrunkAndHeads,
    tasks: Sequence[int],
    split: bool = True,
) -> Decomposition:
    """Check that all gradients and losses are finite; the trunk's rows of ``sam`` are the flat part."""
    heads, passes = _by_head(clean, groups, tasks), [clean] if sam is None else [clean, sam]
    largest = _largest(*(p.heads for p in passes))
    if sam is None:
        d = Decomposition(clean.shared, None, heads, heads, clean.losses, None, tasks)
    else:
        loss, flat = (clean.shared, sam.shared) if split else (sam.shared, None)
        sam_heads = _by_head(sam, groups, tasks)
        d = Decomposition(loss, flat, sam_heads, heads, clean.losses, sam.losses, tasks)
        if not split:  # the Gramian does not show the row at θ
            largest = torch.cat([largest, clean.shared.abs().amax().expand(1, len(tasks))])
    try:
        _check_step(d, torch.stack([p.losses for p in passes]), largest)
    except NonFiniteGradient as error:
        raise NonFiniteGradient([tasks[row] for row in error.tasks], error.what) from None
    return d


def _by_head(gradients: TaskGradients, groups: TrunkAndHeads, tasks: Sequence[int]) -> list[list[Tensor]]:
    return [unflatten(head, groups.heads[i]) for i, head in zip(tasks, gradients.heads, strict=True)]


def _largest(*passes: list[Tensor]) -> Tensor:
    """Return the largest absolute entry of each vector of the passes, (passes, T)."""
    vectors = [vector if len(vector) else vector.new_zeros(1) for heads in passes for vector in heads]
    return torch.stack(torch._foreach_norm(vectors, math.inf)).view(len(passes), -1)


def _check_step(d: Decomposition, losses: Tensor, largest: Tensor) -> None:
    """Raise NonFiniteGradient, which names the tasks, unless gradients and losses of a step are finite.

    Every step needs the Gramian on the CPU, and the Gramian shows whether the rows are finite. The other
    numbers that the step needs there travel with it.

    Args:
        losses: (passes, T).
        largest: per pass and task the largest absolute entry of its head's gradient, (passes, T).
    """

    def to_cpu(products: Tensor) -> Tensor:
        M, entries, all_losses = copied(products, largest, losses)
        check_tasks_finite(entries.isfinite().all(0))
        losses_on_cpu.append(all_losses)
        return M

    losses_on_cpu: list[Tensor] = []
    d.known_gramian = d.products(to_cpu)
    check_tasks_finite(losses_on_cpu[0].isfinite().all(0), "loss")
    d.losses_on_cpu = losses_on_cpu[0][0]


def copied(*tensors: Tensor) -> list[Tensor]:
    """Copy tensors to the CPU, waiting for the device once."""
    numbers = torch.cat([tensor.flatten() for tensor in tensors]).cpu().split([t.numel() for t in tensors])
    return [part.view(t.shape).to(t.dtype) for part, t in zip(numbers, tensors, strict=True)]
