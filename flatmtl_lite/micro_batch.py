"""Run trunk and heads on one micro-batch, every time from the same state, and check the losses."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .state import StateGuard

Features = Callable[[], Any]
Losses = Sequence[Callable[[Any], Tensor | None]]
Batch = tuple[Features, Losses] | tuple[Features, Losses, float]  # perhaps with the number of samples


class NeedsRows(Exception):
    """One backward pass cannot serve all tasks: a loss was None, or a weight is too small."""


class MicroBatch:
    """One micro-batch: runs the trunk once and then the heads of the requested tasks.

    The trunk and each head begin every run with the buffers and the random generators of their first run. So
    dropout draws the same masks.

    Args:
        features: () -> z, runs the trunk.
        losses: per task z -> scalar, runs that task's head.
        state: the guard of the step; by default one that knows no buffers.
        weight: how much it counts among the micro-batches of a batch, for example its number of samples.

    Raises:
        ValueError: ``features`` or a loss is not callable, or the weight is not finite and > 0.
    """

    def __init__(
        self, features: Features, losses: Losses, state: StateGuard | None = None, weight: float = 1
    ) -> None:
        if not callable(features):
            raise ValueError(f"Got {type(features).__name__} as features; expected a callable () -> z.")
        if not 0 < weight < math.inf:
            raise ValueError(f"Got a micro-batch of weight {weight!r}; expected its number of samples, > 0.")
        self.features, self.losses, self.state = features, list(losses), state or StateGuard()
        self.weight = weight
        self._first_losses: dict[int, Tensor] = {}
        for i, loss in enumerate(self.losses):
            if not callable(loss):
                raise ValueError(
                    f"Got {type(loss).__name__} as the loss of task {i}; expected a callable z -> scalar, "
                    "for example lambda z: criterion(head(z), target)."
                )

    def run(self, tasks: Sequence[int]) -> list[Tensor | None]:
        """Return the losses of the given tasks, each a scalar with its graph, or None for an absent task.

        Raises:
            ValueError: a loss is not one floating scalar, depends on no parameter, or changes z in place.
        """
        is_first = self.state.begin((self, "trunk"), starts_pass=True)
        z = self.features()
        parts = [part for part in tree_leaves(z) if isinstance(part, Tensor)]
        losses: list[Tensor | None] = []
        for i in tasks:
            self.state.begin((self, i))
            versions = [part._version for part in parts]
            loss = self.losses[i](z)
            losses.append(None if loss is None else self._checked(i, loss))
            if len(self.losses) > 1 and versions != [part._version for part in parts]:
                raise ValueError(
                    f"The loss of task {i} changed z in place, so the tasks after it would see another z; "
                    "expected losses that leave z as it is. Use z.clamp(0) for z.clamp_(0), and so on."
                )
        if is_first:
            self.state.keep()
            first = zip(tasks, losses, strict=True)
            self._first_losses = {i: loss.detach() for i, loss in first if loss is not None}
        return losses

    def check_repeats(self) -> None:
        """Raise ValueError unless every task has the loss of the first run again, at the same weights."""
        if not self._first_losses:
            return
        nothing = torch.full_like(next(iter(self._first_losses.values())), torch.nan)
        again = [nothing if (loss := self.run([i])[0]) is None else loss.detach() for i in self._first_losses]
        values = torch.stack([*self._first_losses.values(), *again]).tolist()
        for i, one, other in zip(self._first_losses, values, values[len(again) :], strict=False):
            if math.isfinite(one) and not math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-6):
                raise ValueError(
                    f"The loss of task {i} was {one:g}, and {other:g} when it was called again at the same "
                    "weights; expected the same, because every pass of a step must see the same batch. Draw "
                    "the batch outside of features and losses, and let them keep no state between calls."
                )

    @staticmethod
    def _checked(i: int, loss: Tensor) -> Tensor:
        if not (isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point()):
            kind = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(
                f"The loss of task {i} is {kind}; expected one floating scalar tensor. Reduce it, "
                "for example with .mean(), and return nothing else with it."
            )
        if not loss.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"The loss of task {i} does not depend on any parameter; expected a graph from the "
                "parameters to the loss. Check for torch.no_grad() or .detach()."
            )
        return loss.reshape(())


def make_micro_batches(batches: Sequence[Batch], state: StateGuard, weigh: bool = False) -> list[MicroBatch]:
    """Return the micro-batches of a step.

    Args:
        batches: (features, losses) or (features, losses, samples).
        state: the guard of the step.
        weigh: whether the number of samples counts even for a single micro-batch.

    Raises:
        ValueError: there is none, or they have different numbers of losses.
    """
    weigh = weigh or len(batches) > 1
    made = [MicroBatch(features, losses, state, *(n if weigh else ())) for features, losses, *n in batches]
    counts = sorted({len(batch.losses) for batch in made})
    if len(counts) != 1:
        raise ValueError(
            f"Got {len(made)} micro-batches with {counts} losses; expected at least one micro-batch, and the "
            "same number of losses in each."
        )
    return made


def grad_of(loss: Tensor, parameters: list[Tensor], retain_graph: bool = False) -> tuple[Tensor | None, ...]:
    """Return the gradients of a loss, None where it does not reach a parameter.

    Raises:
        ValueError: the graph of the loss is gone.
    """
    try:
        return torch.autograd.grad(loss, parameters, retain_graph=retain_graph, allow_unused=True)
    except RuntimeError as error:
        if "backward through the graph a second time" in str(error) or "an inplace operation" in str(error):
            raise ValueError(
                "A loss uses a graph that an earlier call made or that was changed in place since; expected "
                "features() to run the trunk each time it is called, and losses that leave z as it is. Write "
                "step(lambda: trunk(x), losses), not z = trunk(x); step(lambda: z, losses)."
            ) from error
        raise
