"""Run the passes of a step: gradients at θ, the step ε, and gradients at θ+ε less the first.

Algorithm 1 of arXiv 2211.13723 is :func:`decompose` followed by ``decomposed``.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from .aggregation import Mean
from .assembly import check_counts, checked_decomposition, copied, leave_out_absent
from .cheaper import Cheaper, merged
from .decomposition import Decomposition
from .gradients import TaskGradients, task_gradients
from .micro_batch import Features, Losses, MicroBatch, NeedsRows
from .one_pass import two_forward_passes, weighted_gradients
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, SAMO, Perturbation, Polar, perturbed
from .perturbation.sam import Step
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
    perturb: str | SAMO | Polar = "task",
    seed: int = 0,
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
        seed: seed of what ``perturb`` draws (:class:`SAMO`).

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
            return Passes([MicroBatch(features, losses, state)], groups, perturbation, seed=seed).run()

    return replayed(split)


@dataclass
class Passes:
    """The passes of one step: gradients at θ, the step ε, and gradients at θ+ε less the first.

    Attributes:
        batches: the micro-batches that make one batch. The block of their guard must be active when the
            passes run; it puts buffers and generators back.
        groups: shared and head parameters.
        perturbation: None, or a zero one: no perturbed pass runs.
        average: called on every set of gradients, to average it in place over micro-batches, and perhaps over
            processes.
        weigh: losses at θ (T,) -> weights (T,). If given, one backward pass of the weighted losses replaces
            one per task, and the trunk has one row. With a perturbation, which must be common to the tasks,
            ``loss`` is the gradient of the mean loss. ``loss + flat`` is the gradient of the weighted losses
            at θ+ε.
        split: False: ``loss`` holds the tasks' gradients at θ+ε, and there is no flat part. Then one backward
            pass of the mean loss is enough at θ. The perturbation must not read the tasks' gradients.
        verify: whether to check that the losses repeat, which takes one more pass without backward.
        seed: seed of what the perturbation draws.
        cheaper: which flat parts to compute, on which micro-batches. Parts that are not split, and losses
            that are weighed, leave it no choice but ``every``.
    """

    batches: Sequence[MicroBatch]
    groups: TrunkAndHeads
    perturbation: Perturbation | None
    average: Callable[[TaskGradients], None] = TaskGradients.average
    weigh: Callable[[Tensor], Tensor] | None = None
    split: bool = True
    verify: bool = False
    seed: int = 0
    cheaper: Cheaper = field(default_factory=Cheaper)

    def run(self) -> Decomposition:
        """Run the passes.

        Raises:
            ValueError: as :func:`decompose`.
            NonFiniteGradient: as :func:`decompose`, but one row for all tasks cannot tell which task it was.
            NeedsRows: one backward pass should serve all tasks, and a loss is None or a weight too small.
        """
        groups, T = self.groups, len(self.batches[0].losses)
        groups.check_tasks(T)
        p = None if self.perturbation is None or self.perturbation.is_zero else self.perturbation
        one_row = self.weigh is not None or not self.split
        first, sam_rows = 1 if one_row else T, T if self.weigh is None else 1
        part, rest = (self.batches, []) if p is None or one_row else self.cheaper.parts(self.batches)
        part_row = first + sam_rows if rest else 0
        if p is not None:  # gradients at θ, at θ+ε, at θ on a part of the batch; memory for ε; the weights
            groups.reserve(first + sam_rows + (T if rest else 0) + p.spare_rows + 1)
        if one_row:
            weigh = Mean().loss_weights if p or not self.weigh else self.weigh
            clean = at_part = weighted_gradients(self.batches, groups, weigh)
        else:
            clean = at_part = task_gradients(part, groups, range(T), range(part_row, part_row + T))
        counts = list(at_part.counts)
        self.average(at_part)
        if rest:
            clean = merged(at_part, task_gradients(rest, groups, range(T)), self.average)
        if one_row and min(clean.counts) < clean.batches:
            raise NeedsRows
        tasks = list(range(T)) if one_row else leave_out_absent(clean)
        if p is None:
            return checked_decomposition(clean, None, groups, tasks)
        if self.verify:
            self.batches[0].check_repeats()
        fresh = self.cheaper.fresh(tasks, self.seed)
        minus = [part_row + (tasks[k] if rest else k) for k in range(len(tasks))] if self.split else None
        sam = self._perturbed_gradients(p, clean, tasks, fresh, part, minus)
        check_counts({tasks[k]: (counts[tasks[k]], sam.counts[k]) for k in fresh})
        self.average(sam)
        self.cheaper.complete(clean, at_part, sam, tasks, fresh)
        return checked_decomposition(clean, sam, groups, tasks, self.split)

    def _perturbed_gradients(
        self,
        perturbation: Perturbation,
        clean: TaskGradients,
        tasks: list[int],
        fresh: list[int],
        batches: Sequence[MicroBatch],
        minus: list[int] | None,
    ) -> TaskGradients:
        """Return the gradients at θ+ε of the tasks at the places ``fresh``, and for the others those at θ.

        The trunk's are less the rows ``minus``. Those of the other tasks mean nothing.
        """
        groups, first, heads = self.groups, len(clean.shared), [self.groups.heads[i] for i in tasks]
        rows = groups.rows[first : first + (1 if self.weigh else len(tasks))]
        head_grads = [head if k in fresh else head.clone() for k, head in enumerate(clean.heads)]
        losses_there, counts = list(clean.losses), [1.0] * len(tasks)
        if not fresh:
            return TaskGradients(rows, head_grads, torch.stack(losses_there), counts, clean.batches)
        theta, theta_heads = _weights(groups, tasks)
        with restored(groups.shared, theta):
            steps, losses = self._steps(perturbation, clean, tasks, theta, theta_heads)
            for step, members in _by_trunk_step(steps, fresh):
                move(groups.shared, groups.views(-1), unflatten(step.direction, groups.shared), step.factor)
                with ExitStack() as moved:
                    for k in members:
                        moved.enter_context(perturbed(heads[k], theta_heads[k], *steps[k][1]))
                    if self.weigh is not None:
                        weights = self.weigh(losses).expand_as
                        return weighted_gradients(batches, groups, weights, first, minus=0)
                    places = [first + k for k in members], minus and [minus[k] for k in members]
                    part = task_gradients(batches, groups, [tasks[k] for k in members], *places)
                for k, *found in zip(members, part.heads, part.losses, part.counts, strict=True):
                    head_grads[k], losses_there[k], counts[k] = found
        return TaskGradients(rows, head_grads, torch.stack(losses_there), counts, clean.batches)

    def _steps(
        self,
        perturbation: Perturbation,
        clean: TaskGradients,
        tasks: list[int],
        theta: Tensor,
        theta_heads: list[Tensor],
    ) -> tuple[list[tuple[Step, Step]], Tensor]:
        """Return each task's ε for trunk and head, and the losses at θ, (T,), on the CPU."""

        def to_cpu(numbers: Tensor) -> Tensor:
            numbers, *losses = copied(numbers, clean.losses)
            losses_on_cpu.extend(losses)
            return numbers

        losses_on_cpu: list[Tensor] = []
        groups, choice, shared, heads = self.groups, perturbation.perturb, clean.shared, clean.heads
        memory = groups.rows[len(shared) : -1]  # the first rows are written only after ε is used
        if choice != "task" and len(shared) > 1:
            place = memory[-1:] if isinstance(choice, SAMO) else memory[:1]
            shared = torch.mean(shared, 0, keepdim=True, out=place)
        if isinstance(choice, SAMO):
            out = memory[-3:-1] if choice.one_draw else memory[: len(tasks)]
            sizes = [parameter.numel() for parameter in groups.shared]
            differences = partial(two_forward_passes, self.batches, groups, self.average, choice, tasks)
            q, rows = choice.directions(
                shared[0], clean.shared, len(tasks), out, sizes, differences, self.seed
            )
            steps = perturbation.steps(q, heads, theta, theta_heads, None, rows, to_cpu)
        elif perturbation.is_common:
            if isinstance(choice, Polar):
                shared = choice.directions(shared[0], groups.shared).unsqueeze(0)
                heads = [choice.directions(h, groups.heads[i]) for i, h in zip(tasks, heads, strict=True)]
            one_head, weights = torch.cat(heads) / len(heads), torch.cat(theta_heads)
            scratch = memory[: len(tasks)][-1:]
            [(step, block)] = perturbation.steps(shared, [one_head], theta, [weights], scratch, None, to_cpu)
            parts = block.direction.split([len(head) for head in heads])
            steps = [(step, Step(part, block.factor)) for part in parts]
        else:
            steps = perturbation.steps(shared, heads, theta, theta_heads, memory[: len(tasks)], None, to_cpu)
        return steps, losses_on_cpu[0]


def _by_trunk_step(steps: list[tuple[Step, Step]], places: list[int]) -> list[tuple[Step, list[int]]]:
    """Return each different step of the trunk at the given places, with those of them that it serves."""
    by_step: dict[tuple[int, float], tuple[Step, list[int]]] = {}
    for k in places:
        step = steps[k][0]
        by_step.setdefault((step.direction.data_ptr(), step.factor), (step, []))[1].append(k)
    return list(by_step.values())


def _weights(groups: TrunkAndHeads, tasks: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Return copies of the weights as vectors: the trunk's, in the last of its rows, and each head's."""
    empty = groups.shared[0].new_empty(0)
    heads = [flatten(groups.heads[i]) if groups.heads[i] else empty for i in tasks]
    return flatten(groups.shared, out=groups.rows[-1]), heads
