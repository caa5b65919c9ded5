"""FlatMTL: the training step that a PyTorch user calls."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .aggregation import Aggregator, LossWeighting, Mean, NonFiniteGradient, state_kept
from .aggregation.base import check_aggregator
from .decomposition import RULES, combine, run_passes
from .diagnostics import conflict_ratio, cosines_of_gramian
from .gradients import Features, Losses, MicroBatch, TaskGradients, TrunkAndHeads, unflatten
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, Perturbation, StateGuard


@dataclass
class Report:
    """What one step saw. Nothing here waits for the device except ``losses`` when read.

    Attributes:
        losses: task losses at θ, (T,); None in a skipped step.
        perturbed_losses: task losses at θ+ε, (T,), or None where no perturbed pass ran.
        gramian: inner products of [loss; flat], (2T, 2T), on the CPU; None where the step needed no
            task gradients (one single backward, of Mean or a loss weighting) or was skipped.
        skipped: the step met NaN or infinity and changed nothing (``on_nonfinite="skip"``).
    """

    losses: Tensor | None
    perturbed_losses: Tensor | None = None
    gramian: Tensor | None = None
    skipped: bool = False

    @property
    def cosines(self) -> Tensor | None:
        """Cosines between the tasks' loss gradients, (T, T)."""
        return self._block(0, 0)

    @property
    def flat_cosines(self) -> Tensor | None:
        """Cosines between the tasks' flat gradients, (T, T)."""
        return self._block(1, 1)

    @property
    def intra_cosines(self) -> Tensor | None:
        """Cosine of each task's loss gradient with its own flat gradient, (T,)."""
        block = self._block(0, 1)
        return None if block is None else block.diagonal()

    @property
    def conflict_ratio(self) -> float | None:
        """Share of task pairs whose loss gradients conflict."""
        return None if self.gramian is None else conflict_ratio(self.cosines).item()

    @property
    def flat_conflict_ratio(self) -> float | None:
        """Share of task pairs whose flat gradients conflict."""
        return None if self.gramian is None else conflict_ratio(self.flat_cosines).item()

    @property
    def norms(self) -> Tensor | None:
        """Norms of the loss gradients, (T,)."""
        return None if self.gramian is None else self._all_norms[: len(self._all_norms) // 2]

    @property
    def flat_norms(self) -> Tensor | None:
        """Norms of the flat gradients, (T,)."""
        return None if self.gramian is None else self._all_norms[len(self._all_norms) // 2 :]

    @property
    def _all_norms(self) -> Tensor:
        return self.gramian.diagonal().double().clamp_min(0).sqrt()

    def _block(self, row: int, column: int) -> Tensor | None:
        if self.gramian is None:
            return None
        T = self.gramian.shape[0] // 2
        return cosines_of_gramian(self.gramian)[row * T :, column * T :][:T, :T]


class FlatMTL:
    """Trains a shared trunk and its heads with any aggregator, with SAM decomposed or not.

    The trunk gets the combined direction; each head gets its own task's SAM gradient (its clean
    gradient with ``combine="erm"``). On several devices do not wrap the model in
    DistributedDataParallel, which cannot follow per-task gradients; give ``process_group``.

    Args:
        optimizer: any torch optimizer over trunk and heads; stepped by ``step(...)``.
        shared, heads: parameters of the trunk, and per task of the head; left out, they are found
            from the graph at the first step (two tasks or more).
        aggregate: an aggregator, by default :class:`Mean`. One with ``parameters()`` of its own must have
            them in ``optimizer``, or in one of their own after :meth:`backward`; their ``.grad`` is filled.
        rho, rho_heads, adaptive, norm, perturb: see :class:`~flatmtl_lite.perturbation.Perturbation`.
        combine: how the aggregator A meets loss and flat part: "decomposed" A(loss) + A(flat), the
            F-method; "direct" A(loss + flat); "erm" A(loss), without SAM; "second" and "each", the two
            variants of the paper's Table 6, see :func:`~flatmtl_lite.decomposition.second`.
        process_group: a torch.distributed group (``torch.distributed.group.WORLD``); gradients are
            averaged over its ranks before ε and before aggregation.
        on_nonfinite: "raise" :class:`NonFiniteGradient`, or "skip" the step and count it in ``skipped``.

    ``aggregate``, ``combine`` and ``perturbation`` are attributes that may be replaced between steps, for
    example ``step.perturbation = Perturbation(rho)`` for a schedule of ρ.

    Raises:
        ValueError: arguments that do not fit; the message says which and what to do.

    Example:
        >>> trunk, heads = torch.nn.Linear(4, 3), [torch.nn.Linear(3, 1) for _ in range(2)]
        >>> model = torch.nn.ModuleList([trunk, *heads])
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> step = FlatMTL(optimizer, shared=trunk.parameters(), heads=[h.parameters() for h in heads])
        >>> x, y = torch.ones(5, 4), torch.zeros(5, 1)
        >>> criterion = torch.nn.functional.mse_loss
        >>> report = step(lambda: trunk(x), [lambda z, h=h: criterion(h(z), y) for h in heads])
        >>> report.cosines.shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        shared: Iterable[Tensor] | None = None,
        heads: Iterable[Iterable[Tensor]] | None = None,
        aggregate: Aggregator | None = None,
        rho: float = DEFAULT_RHO,
        combine: str = "decomposed",
        perturb: str = "task",
        rho_heads: float | None = None,
        adaptive: bool = False,
        norm: str = DEFAULT_NORM,
        process_group: Any = None,
        on_nonfinite: str = "raise",
    ):
        if combine not in RULES:
            raise ValueError(f"Got combine={combine!r}; expected one of {', '.join(RULES)}.")
        self.aggregate = check_aggregator(Mean() if aggregate is None else aggregate, combine)
        if on_nonfinite not in ("raise", "skip"):
            raise ValueError(f'Got on_nonfinite={on_nonfinite!r}; expected "raise" or "skip".')
        self.optimizer = optimizer
        self.trunk_and_heads = TrunkAndHeads(shared, heads, _trained(optimizer, self.aggregate))
        self.perturbation = Perturbation(rho, rho_heads, adaptive, norm, perturb)
        self.combine = combine
        self.process_group = process_group
        self.on_nonfinite = on_nonfinite
        self.skipped = 0

    def __call__(self, features: Features, losses: Losses) -> Report:
        """One training step: :meth:`backward` on the batch, then ``optimizer.step()``.

        Raises:
            ValueError, NonFiniteGradient: as :meth:`backward`; or the aggregator learns, and ``optimizer``
                does not have its parameters.
        """
        check_aggregator(self.aggregate, self.combine, self.optimizer)
        report = self.backward([(features, losses)])
        if not report.skipped:
            self.optimizer.step()
        return report

    def backward(self, batches: Sequence[tuple[Features, Losses]]) -> Report:
        """Fill ``.grad`` of all parameters (what was there is replaced) and step nothing.

        Args:
            batches: micro-batches (features, losses), together one batch: gradients are averaged
                over them, equally weighted, before ε and before aggregation.

        Raises:
            ValueError: losses that do not fit the heads, are no scalars, ...
            NonFiniteGradient: a gradient holds NaN or infinity (``on_nonfinite="raise"``). In both
                cases weights, gradients, buffers, generators and the aggregator's state are as before.
        """
        passes = [MicroBatch(features, losses) for features, losses in batches]
        counts = sorted({len(one.losses) for one in passes})
        if len(counts) != 1:
            raise ValueError(
                f"Got {len(passes)} micro-batches with {counts} losses; expected at least one "
                "micro-batch, and the same number of losses in each."
            )
        self.trunk_and_heads.check()
        check_aggregator(self.aggregate, self.combine)
        # a loss weighting reads the losses of the whole batch: before them, no part can be weighed
        in_parts = len(passes) > 1 or self.process_group is not None
        reads_whole = in_parts and self.rule == "erm" and isinstance(self.aggregate, LossWeighting)
        try:
            return self._backward(passes, per_task=reads_whole or self.needs_task_gradients)
        except NonFiniteGradient:
            if self.on_nonfinite == "raise":
                raise
            self.skipped += 1
            return Report(None, skipped=True)

    def state_dict(self) -> dict[str, Any]:
        """The aggregator's state and the count of skipped steps; save it beside the optimizer's."""
        name = type(self.aggregate).__name__
        return {"aggregator": name, "aggregate": self.aggregate.state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state_dict` returned.

        Raises:
            ValueError: it belongs to another aggregator, or keys are missing.
        """
        expected = {"aggregator", "aggregate", "skipped"}
        if set(state) != expected:
            raise ValueError(f"Got a state with keys {sorted(state)}; expected {sorted(expected)}.")
        if state["aggregator"] != type(self.aggregate).__name__:
            raise ValueError(
                f"Got the state of {state['aggregator']}; expected that of {type(self.aggregate).__name__}. "
                "Make FlatMTL with the aggregator that the state was saved from."
            )
        self.aggregate.load_state_dict(state["aggregate"])
        self.skipped = state["skipped"]

    @property
    def rule(self) -> str:
        """The rule in force: with ρ = 0, direct and decomposed are "erm", and no perturbed pass runs."""
        is_erm = self.perturbation.is_zero and self.combine in ("direct", "decomposed")
        return "erm" if is_erm else self.combine

    @property
    def needs_task_gradients(self) -> bool:
        """False where one backward of the weighted losses does; reports then hold no angles.

        (A loss weighting with "erm" takes them all the same for micro-batches and for ``process_group``.)
        """
        known = isinstance(self.aggregate, (Mean, LossWeighting))
        return not (known and (self.rule == "erm" or self.perturbation.perturb == "mean"))

    def _backward(self, passes: list[MicroBatch], per_task: bool) -> Report:
        perturbation = None if self.rule == "erm" else self.perturbation
        weigh = None if per_task else self.aggregate.loss_weights
        try:
            with state_kept(self.aggregate, only_on_error=True), StateGuard() as state:
                d = run_passes(state, passes, self.trunk_and_heads, perturbation, weigh, self.average)
                direction = combine(d, self.aggregate, self.rule) if per_task else d.sam[0]  # its own mean
        except NonFiniteGradient:
            if per_task:
                raise
            # one row for all tasks cannot tell which of them it was
            return self._backward(passes, per_task=True)

        self.aggregate.learn()
        shared = zip(
            self.trunk_and_heads.shared, unflatten(direction, self.trunk_and_heads.shared), strict=True
        )
        heads = zip(self.trunk_and_heads.heads, d.head_grads, strict=True)
        for p, grad in [*shared, *(pair for head, grads in heads for pair in zip(head, grads, strict=True))]:
            p.grad = grad.to(p.dtype)
        return Report(d.losses, d.perturbed_losses, d.gramian if per_task else None)

    def average(self, gradients: TaskGradients) -> None:
        """Average gradients and losses over the processes, in place; nothing to do without a group."""
        if self.process_group is not None:
            for tensor in (gradients.shared, *gradients.heads, gradients.losses):
                torch.distributed.all_reduce(tensor, group=self.process_group)
                tensor /= torch.distributed.get_world_size(self.process_group)


def _trained(optimizer: torch.optim.Optimizer, aggregate: Aggregator) -> dict[Tensor, str]:
    """The optimizer's parameters, the aggregator's own left out, with names: its own, or place and shape."""
    names = {}
    for g, group in enumerate(optimizer.param_groups):
        for i, p in enumerate(group["params"]):
            own = group.get("param_names")
            names[p] = repr(own[i]) if own else f"{i} of group {g} (shape {tuple(p.shape)})"
    return {p: name for p, name in names.items() if p not in set(aggregate.parameters())}
