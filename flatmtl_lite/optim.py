"""FlatMTL: the training step that a PyTorch user calls."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .aggregation import Aggregator, GramianAggregator, LossWeighting, Mean, NonFiniteGradient, state_kept
from .aggregation.base import check_aggregator
from .assembly import average_over
from .cheaper import Cheaper
from .decomposition import Decomposition, check_rule, combine
from .latest_batch import LatestBatch, check_observed
from .micro_batch import Batch, Features, Losses, MicroBatch, NeedsRows, make_micro_batches
from .needs import Needs, needs
from .noise import add_noise, checked_noise, noise_scale
from .passes import Passes
from .perturbation import DEFAULT_NORM, DEFAULT_RHO, SAMO, Perturbation, Polar
from .report import Report
from .state import StateGuard, replayed
from .trunk_and_heads import TrunkAndHeads, check_steps_on_gradients, trained_parameters, unflatten


class FlatMTL:
    """Trains a shared trunk and its heads with any aggregator, with SAM decomposed or not.

    The trunk gets the combined direction. Each head gets its own task's SAM gradient, or its clean gradient
    with ``combine="erm"``. On several devices do not wrap the model in DistributedDataParallel, which cannot
    follow per-task gradients; give ``process_group`` instead.

    Args:
        optimizer: any torch optimizer over trunk and heads; stepped by ``step(...)``.
        shared, heads: parameters of the trunk, and per task of the head. Lists that are left out are found
            from the graph at the first step (two tasks or more).
        aggregate: an aggregator, by default :class:`Mean`. If it has ``parameters()``, ``step(...)`` needs
            them in ``optimizer``. After :meth:`backward` an optimizer of their own may step them. Both fill
            their ``.grad``.
        rho, rho_heads, adaptive, norm, perturb: see :class:`~flatmtl_lite.perturbation.Perturbation`.
        combine: how the aggregator A meets loss and flat part: "decomposed" A(loss) + A(flat), the
            F-method; "direct" A(loss + flat); "erm" A(loss), without SAM; "second" and "each", the two
            variants of arXiv 2211.13723, Table 6, see :func:`~flatmtl_lite.decomposition.second`;
            "loss_first" and "flat_first", which give one part priority, see
            :func:`~flatmtl_lite.decomposition.loss_first`.
        process_group: a torch.distributed group (``torch.distributed.group.WORLD``); gradients are
            averaged over its ranks before ε and before aggregation.
        on_nonfinite: "raise" :class:`NonFiniteGradient`, or "skip" the step and count it in ``skipped``.
        flat_every, flat_tasks, flat_batch: compute the flat parts at every k-th step, of a share of the
            tasks, on a share of the batch; see :class:`~flatmtl_lite.cheaper.Cheaper`.
        noise: γ ≥ 0 of SAGE's noise on every gradient entry, of size γ (1 - mean cosine of the tasks), see
            :func:`~flatmtl_lite.noise.noise_scale`.
        seed: seed of what the step itself draws: SAMO's z, the tasks of ``flat_tasks``, the noise.

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
        perturb: str | SAMO | Polar = "task",
        rho_heads: float | None = None,
        adaptive: bool = False,
        norm: str = DEFAULT_NORM,
        process_group: "torch.distributed.ProcessGroup | None" = None,
        on_nonfinite: str = "raise",
        flat_every: int = 1,
        flat_tasks: float = 1.0,
        flat_batch: float = 1.0,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        check_rule(combine)
        self.aggregate = check_aggregator(Mean() if aggregate is None else aggregate, combine)
        if on_nonfinite not in ("raise", "skip"):
            raise ValueError(f'Got on_nonfinite={on_nonfinite!r}; expected "raise" or "skip".')
        self.optimizer = optimizer
        trained = trained_parameters(optimizer, without=set(self.aggregate.parameters()))
        self.trunk_and_heads = TrunkAndHeads(shared, heads, trained)
        self.perturbation = Perturbation(rho, rho_heads, adaptive, norm, perturb)
        self.combine, self.on_nonfinite, self.skipped, self.steps = combine, on_nonfinite, 0, 0
        self.process_group, self.average = process_group, partial(average_over, process_group)
        self.cheaper = Cheaper(flat_every, flat_tasks, flat_batch)
        self.noise, self.seed = checked_noise(noise), seed
        self._repeats = self._needs_rows = False
        self._latest: LatestBatch | None = None

    def __call__(self, features: Features, losses: Losses) -> Report:
        """Do one training step: :meth:`backward` on the batch, then ``optimizer.step()``.

        Raises:
            ValueError, NonFiniteGradient: as :meth:`backward`; or the aggregator learns, and ``optimizer``
                does not have its parameters.
        """
        check_aggregator(self.aggregate, self.combine, self.optimizer)
        check_steps_on_gradients(self.optimizer)
        self.trunk_and_heads.check_trained(self._in_optimizer)
        self._latest = None  # of a step that failed in the optimizer
        report = self.backward([(features, losses)])
        if not report.skipped:
            self.trunk_and_heads.check_trained(self._in_optimizer)  # the lists may have been found just now
            self.optimizer.step()
            self.observe()
        return report

    def observe(self) -> None:
        """Show the aggregator the losses of the latest batch at the present weights, if it learns from them.

        :meth:`__call__` does so after the optimizer's step. After :meth:`backward` it is up to you.

        Raises:
            NonFiniteGradient: a loss is NaN or infinite (``on_nonfinite="raise"``).
            ValueError: a loss is None now, or the aggregator cannot learn from it. In both cases the
                optimizer's step has happened.
        """
        latest, self._latest = self._latest, None
        if latest is not None:
            latest.show(self.average, raises=self.on_nonfinite == "raise")

    def backward(self, batches: Sequence[Batch]) -> Report:
        """Fill ``.grad`` of all parameters and step nothing. Earlier gradients are replaced.

        Args:
            batches: micro-batches (features, losses) or (features, losses, samples), together one batch:
                gradients are averaged over them, equally or by the numbers of samples, before ε and
                before aggregation. A loss may return None: its
                task is absent, its head gets no gradient, and ``Report.tasks`` has the others.

        Raises:
            ValueError: losses that do not fit the heads, that are not scalars, ...
            NonFiniteGradient: a gradient holds NaN or infinity (``on_nonfinite="raise"``). In both
                cases weights, gradients, buffers, generators and the aggregator's state are as before.
        """
        state = StateGuard()
        micro_batches = make_micro_batches(batches, state, weigh=self.process_group is not None)
        self.trunk_and_heads.check()
        check_aggregator(self.aggregate, self.combine)
        check_observed(self._latest, self.aggregate)
        try:
            return self._backward(micro_batches, state)
        except NonFiniteGradient:
            if self.on_nonfinite == "raise":
                raise
            for p in (*self._in_optimizer, *self.trunk_and_heads.parameters, *self.aggregate.parameters()):
                p.grad = None  # else a later optimizer.step() would apply the gradient of an earlier step
            self.skipped += 1
            return Report(None, skipped=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what the step remembers, to be saved with the optimizer's state."""
        name = type(self.aggregate).__name__
        state = {"aggregator": name, "aggregate": self.aggregate.state_dict(), "skipped": self.skipped}
        return state | {"steps": self.steps, "cheaper": self.cheaper.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` returned.

        Raises:
            ValueError: it belongs to another aggregator, or keys are missing.
        """
        if set(state) != set(self.state_dict()):
            raise ValueError(f"Got a state with keys {sorted(state)}; expected {sorted(self.state_dict())}.")
        if state["aggregator"] != type(self.aggregate).__name__:
            raise ValueError(
                f"Got the state of {state['aggregator']}; expected a state of "
                f"{type(self.aggregate).__name__}. Make FlatMTL with the aggregator that it comes from."
            )
        self.aggregate.load_state_dict(state["aggregate"])
        self.cheaper.load_state_dict(state["cheaper"])
        self.skipped, self.steps, self._latest = state["skipped"], state["steps"], None

    @property
    def rule(self) -> str:
        """The rule in force: with ρ = 0, all but second and each are "erm", and no perturbed pass runs."""
        is_erm = self.perturbation.is_zero and self.combine not in ("second", "each")
        return "erm" if is_erm else self.combine

    @property
    def needs_task_gradients(self) -> bool:
        """Whether the step takes one backward pass per task; reports then hold angles.

        Otherwise one backward pass of the weighted losses is enough, as long as no task was absent and no
        weight fell below a thousandth of the largest one. Even then, a weighting that reads losses, with the
        rule "erm", takes one per task for several micro-batches and for ``process_group``.
        """
        return self._needs().task_gradients

    @property
    def _seed(self) -> int:
        """Seed of this step's draws, the same in every process."""
        return (self.seed * 1_000_003 + self.steps) % 2**63

    @property
    def _in_optimizer(self) -> set[Tensor]:
        return {p for group in self.optimizer.param_groups for p in group["params"]}

    def _needs(self, in_parts: bool = False) -> Needs:
        step = self.aggregate, self.rule, self.perturbation, self.cheaper, self.noise
        return Needs() if self._needs_rows else needs(*step, in_parts)

    def _backward(self, batches: list[MicroBatch], state: StateGuard) -> Report:
        needed = self._needs(in_parts=len(batches) > 1 or self.process_group is not None)
        try:
            d, direction = replayed(partial(self._direction, batches, state, needed))
        except (NonFiniteGradient, NeedsRows) as error:
            if needed.task_gradients:
                raise
            # one row for all tasks cannot tell which task was not finite, nor leave one out; a row each can
            self._needs_rows |= isinstance(error, NeedsRows)
            needed = Needs()
            d, direction = replayed(partial(self._direction, batches, state, needed))
        self._fill(direction, d)
        gramian, T = None if needed.weighting else d.gramian, len(d.tasks)
        if self.noise > 0:
            add_noise(self.trunk_and_heads.parameters, noise_scale(d.gramian[:T, :T], self.noise), self._seed)
        self.steps += 1
        self._latest = LatestBatch(batches, state, d, self.aggregate) if self.aggregate.observes else None
        if needed.split:
            return Report(d.losses, d.perturbed_losses, gramian, tasks=d.tasks)
        return Report(d.losses, d.perturbed_losses, tasks=d.tasks, sam_gramian=d.gramian[:T, :T])

    def _direction(
        self, batches: list[MicroBatch], state: StateGuard, needed: Needs
    ) -> tuple[Decomposition, Tensor]:
        """Return the decomposition and the trunk's direction; if it raises, leave everything as before."""
        perturbation, weighting = None if self.rule == "erm" else self.perturbation, needed.weighting
        passes = Passes(batches, self.trunk_and_heads, perturbation, self.average)
        passes.weigh, passes.split = None if weighting is None else weighting.loss_weights, needed.split
        passes.verify, passes.cheaper, passes.seed = not self._repeats, self.cheaper, self._seed
        kept = state_kept(self.aggregate, only_on_error=True)
        with kept, self.cheaper.kept_on_error(), state.undone_on_error():
            with state:
                d = passes.run()
            with self.aggregate.present(d.tasks, len(self.trunk_and_heads.heads)):
                direction = combine(d, self.aggregate, self.rule) if weighting is None else d.sam[0]
                self.aggregate.learn()
        if not isinstance(self.aggregate, (GramianAggregator, LossWeighting)):
            # the aggregator saw the rows: it may have kept them, or returned one of them or its own memory
            direction = direction.clone()
            self.trunk_and_heads.forget_rows()
        self._repeats = True
        return d, direction

    def _fill(self, direction: Tensor, d: Decomposition) -> None:
        """Put the direction into the trunk's ``.grad``, and each present head's SAM gradient into its own."""
        groups = self.trunk_and_heads
        for p in groups.parameters:
            p.grad = None
        filled = [(groups.shared, unflatten(direction, groups.shared))]
        filled += [(groups.heads[i], grads) for i, grads in zip(d.tasks, d.head_grads, strict=True)]
        for parameters, grads in filled:
            for p, grad in zip(parameters, grads, strict=True):
                p.grad = grad.to(p.dtype)
