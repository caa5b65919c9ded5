"""The contract of every aggregator, and the classes for those that draw or work on the Gramian."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .checks import check_gramian, check_one_loss_per_row, check_rows, checked_losses, tasks_where
from .gramians import gramian, relative_accuracy, scale_free, weighted_sum
from .present import Present, all_present
from .unit_rows import identity, per_norm

__all__ = [
    "Aggregator",
    "Direction",
    "Drawing",
    "GramianAggregator",
    "InRandomOrder",
    "StepDirection",
    "check_aggregator",
    "check_gramian",
    "in_rule",
    "scale_free",
    "state_kept",
]


class StepDirection(Protocol):
    """The direction (..., P) of finite rows (..., T, P) that belong to the part of that name."""

    def __call__(self, rows: Tensor, part: str | None = None) -> Tensor: ...


class Direction(Protocol):
    """An aggregator in a rule: rows (..., T, P) -> direction (..., P).

    ``part`` names the rows ("loss", "flat" or "sam") for aggregators that remember each part by itself.
    With ``by``, that aggregator takes the rows.
    """

    def __call__(
        self, rows: Tensor, part: str | None = None, by: "GramianAggregator | None" = None
    ) -> Tensor: ...


def in_rule(direction: StepDirection) -> Direction:
    """Return the direction of a step as a rule takes it."""

    def A(rows: Tensor, part: str | None = None, by: GramianAggregator | None = None) -> Tensor:
        return direction(rows, part) if by is None else by(rows)

    return A


class Aggregator(nn.Module):
    """Turn T task gradients into one direction.

    All aggregators keep two laws of scale. *Unanimity*: if every task has the gradient g, the
    direction is g. *Homogeneity*: A(sG) = s A(G) for s > 0.

    Attributes:
        needs_tasks: whether the rows must be the tasks, because the method reads their losses or remembers
            them. The rules "second" and "each" also aggregate other rows and refuse such a method.
        reads_losses: whether the method may read the losses of the step.
        observes: whether the method learns from the losses after the step, by :meth:`observe`.
        state_stays: whether a state never changes after it was read. The method then replaces the tensors of
            its state and changes none in place, so the state needs no copy.
    """

    needs_tasks, reads_losses, observes, state_stays = False, True, False, False
    _present: Present | None = None
    __call__: Callable[..., Tensor]

    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        """Aggregate ``G`` of shape (..., T, P) to a direction of shape (..., P).

        Args:
            G: task gradients, one per row; leading dimensions are a batch of independent problems.
            losses: task losses (..., T), for weightings that read them.

        Raises:
            ValueError: ``G`` has fewer than two dimensions, no row or no column, or is not floating.
            NonFiniteGradient: a row holds NaN or infinity.
        """
        raise NotImplementedError

    def loss_weights(self, losses: Tensor) -> Tensor | None:
        """Return weights (T,), float64 on the CPU, if the method has them before any gradient, else None."""
        return None

    def for_step(self, losses: Tensor | None) -> StepDirection:
        """Return the map from finite rows and the name of their part to the direction in one step.

        Weights that come from the losses are fixed here, so that every part of the step has the same ones.
        """

        def direction(rows: Tensor, part: str | None = None) -> Tensor:
            return self(rows, losses=losses)

        return direction

    def is_function(self, tasks: int) -> bool:
        """Return whether the direction of that many rows depends on nothing but the rows.

        It then depends on no loss, no memory and no random draw.
        """
        return False

    @contextmanager
    def present(self, tasks: Sequence[int], count: int) -> Iterator[None]:
        """Say that the rows and losses in the block belong to the given tasks, out of ``count``.

        What the method remembers of the other tasks stays as it is. Call :meth:`learn` in the block too. A
        NonFiniteGradient names rows, as everywhere.

        Raises:
            ValueError: ``tasks`` are not distinct numbers from 0 to ``count`` - 1, or there are none.
        """
        before, self._present = self._present, Present(tasks, count)
        try:
            yield
        finally:
            self._present = before

    def tasks_of(self, rows: int) -> Present:
        """Return the tasks of that many rows: all, or those of the block of :meth:`present`, if they fit."""
        present = self._present or all_present(rows)
        if len(present.tasks) != rows:
            raise ValueError(f"Got {rows} rows{present}; expected one row and one loss per present task.")
        return present

    def check_positive(self, losses: Tensor, lowest: float = 0.0) -> None:
        """Raise ValueError unless all losses are > ``lowest``."""
        if bad_tasks := tasks_where(losses <= lowest):
            row = bad_tasks[0]
            task = self.tasks_of(losses.shape[-1]).tasks[row]
            raise ValueError(
                f"Got a loss of {losses[..., row].min().item():g} for task {task}; expected losses > "
                f"{lowest:g}, because {type(self).__name__} takes ratios of losses. Add a constant to that "
                "loss, or use another weighting."
            )

    def learn(self) -> None:
        """Fill ``.grad`` of the aggregator's own parameters, if it has any, for the latest losses."""

    def observe(self, losses: Tensor) -> None:
        """Learn from the losses (..., T) of the step's batch at the weights after the step."""

    @classmethod
    def check_rule(cls, rule: str) -> None:
        """Raise ValueError if the rule of that name aggregates rows that this method cannot take."""
        if cls.needs_tasks and rule in ("second", "each"):
            raise ValueError(
                f'Got {cls.__name__} with the rule "{rule}", which aggregates rows that are not tasks; '
                "expected an aggregator that neither reads losses nor remembers gradients. Take the rule "
                '"decomposed", "direct" or "erm".'
            )


class Drawing(Aggregator):
    """An aggregator that draws from a generator. The generator's state is part of ``state_dict``.

    Args:
        generator: by default a generator of its own with seed 0, whatever ``torch.manual_seed`` says. Runs
            with other seeds need other generators; the processes of one run need equal ones.

    Raises:
        ValueError: ``generator`` is not a ``torch.Generator``.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not isinstance(generator, torch.Generator | None):
            raise ValueError(f"Got generator={generator!r}; expected torch.Generator().manual_seed(a seed).")
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator

    def draw(self, kind: Callable[..., Tensor], *shape: int) -> Tensor:
        """Draw ``torch.rand`` or ``torch.randn`` of that shape from the generator: float64, on the CPU."""
        options = dict(generator=self.generator, device=self.generator.device, dtype=torch.float64)
        return kind(*shape, **options).cpu()

    def get_extra_state(self) -> Tensor | dict[str, Tensor]:
        return self.generator.get_state()

    def set_extra_state(self, state: Any) -> None:
        self.generator.set_state(state.cpu())


@contextmanager
def state_kept(aggregate: Aggregator, only_on_error: bool = False) -> Iterator[None]:
    """Restore the aggregator's memory and generator when the block ends, or only if the block raises."""
    before, failed = aggregate.state_dict(), True
    if not aggregate.state_stays:
        before = copy.deepcopy(before)
    try:
        yield
        failed = False
    finally:
        if before and (failed or not only_on_error):
            aggregate.load_state_dict(before)


class GramianAggregator(Aggregator):
    """An aggregator whose weights depend on the inner products of the task gradients alone.

    A method implements :meth:`solve`. The only work of length P is one product ``G Gᵀ`` and one ``w G``.
    The result is as exact as the rounding of ``G Gᵀ`` (eps) allows: where the direction cancels to a
    fraction δ of its terms, its conditions hold to about eps/δ². A method with ``reads_losses = True`` also
    reads :attr:`losses`.
    """

    reads_losses = False
    _losses: Tensor | None = None

    @torch.no_grad()
    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_rows(G)
        check_one_loss_per_row(losses, G)
        with torch.inference_mode(), self.reading(losses):  # a tenth cheaper for many small operations
            weights = self.weigh(gramian(G), relative_accuracy(G))
        return weighted_sum(weights, G)

    @contextmanager
    def reading(self, losses: Tensor | None) -> Iterator[None]:
        """Let the method read the losses (..., T) at θ in the block; call :meth:`weights` in it."""
        before, self._losses = self._losses, losses
        try:
            yield
        finally:
            self._losses = before

    @property
    def losses(self) -> Tensor:
        """The losses (..., T) of the block of :meth:`reading`, float64, on the CPU.

        Raises:
            ValueError: there are none.
            NonFiniteGradient: a loss is NaN or infinite.
        """
        return checked_losses(self._losses, type(self).__name__)

    def is_function(self, tasks: int) -> bool:
        return not self.needs_tasks

    @torch.no_grad()
    def weights(self, M: Tensor, eps: float | None = None, part: str | None = None) -> Tensor:
        """Return weights (..., T) for a Gramian ``M`` = G Gᵀ of shape (..., T, T), in float64 on the CPU.

        Args:
            M: the Gramian.
            eps: relative accuracy of ``M``, by default the eps of its dtype; rank tolerances follow it.
            part: name of the gradients ("loss", "flat" or "sam"), for a method that remembers them.

        Raises:
            ValueError: ``M`` is not a symmetric floating (..., T, T), or is not finite.
        """
        check_gramian(M)
        return self.weigh(M.cpu(), torch.finfo(M.dtype).eps if eps is None else eps, part)

    def weigh(self, M: Tensor, eps: float, part: str | None = None) -> Tensor:
        """Do as :meth:`weights` does, for a Gramian on the CPU that is certainly finite."""
        C, norms = scale_free(M.double())
        return per_norm(self.solve(C, norms, eps), norms)

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        """Return the coefficients u (..., T) of the direction Σ uᵢ ĝᵢ, where ĝᵢ are the unit gradients.

        Args:
            C: cosines (..., T, T); rows and columns that belong to a zero gradient are 0.
            norms: row norms (..., T), the largest being 1; the coefficient of a zero row is ignored.
            eps: relative accuracy of ``C``.
        """
        raise NotImplementedError


class InRandomOrder(Drawing, GramianAggregator):
    """A Gramian method that goes through the other tasks in a random order, a new one for each task."""

    def is_function(self, tasks: int) -> bool:
        return tasks <= 2 and super().is_function(tasks)

    def others(self, T: int) -> Tensor:
        """Return orders as (T - 1, T, T): row i of matrix k is 1 at the k-th task for task i, else 0.

        The orders take one (T, T) draw, or none for two tasks, which have only one order.
        """
        itself = identity(T)
        if T <= 2:
            return itself.flip(0).expand(T - 1, T, T)
        order = (self.draw(torch.rand, T, T) + itself).argsort(-1)
        return itself[order[:, :-1].mT]  # draws lie below 1, so the task itself comes last


def check_aggregator(
    aggregate: Aggregator, rule: str, optimizer: torch.optim.Optimizer | None = None
) -> Aggregator:
    """Return ``aggregate`` if it is an aggregator that can take the rows of that rule.

    Raises:
        ValueError: it is not, or it learns and ``optimizer`` does not have its parameters.
    """
    if not isinstance(aggregate, Aggregator):
        raise ValueError(f"Got aggregate={aggregate!r}; expected an aggregator, such as CAGrad(c=0.4).")
    aggregate.check_rule(rule)
    if optimizer is not None:
        trained = {p for group in optimizer.param_groups for p in group["params"]}
        if any(p.requires_grad and p not in trained for p in aggregate.parameters()):
            raise ValueError(
                f"Got {type(aggregate).__name__}, which learns, and an optimizer without its parameters; "
                "expected them there. Pass aggregate.parameters() to the optimizer together with the others, "
                "or call step.backward(...) and step a separate optimizer for them."
            )
    return aggregate
