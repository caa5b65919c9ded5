"""Make an F-step cheaper: compute a part of the flat parts, and reuse the rest."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from .gradients import TaskGradients
from .micro_batch import MicroBatch


@dataclass
class Cheaper:
    """Which flat parts a step computes; the others are remembered ones, rescaled.

    A remembered flat part is multiplied by ‖g_i‖ now over ‖g_i‖ when it was computed, for the trunk and for
    the head. LookSAM (Liu et al. 2022, arXiv 2203.02714) reuses its direction in this way, but only the part
    of it at a right angle to the gradient.

    Args:
        every: the flat parts are computed at every ``every``-th step.
        tasks: share of the tasks whose flat part such a step computes, in (0, 1]; they are drawn at random,
            and rounded up. A task without a remembered flat part is always computed.
        batch: share of the batch for the perturbed pass, in (0, 1]: the first micro-batches.

    Raises:
        ValueError: ``every`` is not a whole number >= 1, or a share is outside (0, 1].
    """

    every: int = 1
    tasks: float = 1.0
    batch: float = 1.0
    age: int = 0
    memory: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.every, int) and self.every >= 1):
            raise ValueError(f"Got flat_every={self.every!r}; expected a whole number of steps >= 1.")
        for name in ("tasks", "batch"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"Got flat_{name}={getattr(self, name)!r}; expected a share in (0, 1].")

    @property
    def reuses(self) -> bool:
        """Whether flat parts are remembered."""
        return self.every > 1 or self.tasks < 1

    @property
    def is_trivial(self) -> bool:
        """Whether every flat part is computed on the whole batch."""
        return not self.reuses and self.batch == 1

    def parts(self, batches: Sequence[MicroBatch]) -> tuple[Sequence[MicroBatch], Sequence[MicroBatch]]:
        """Return the micro-batches of the perturbed pass, which are the first ones, and the rest.

        Raises:
            ValueError: the first micro-batch holds more than the share.
        """
        held = list(accumulate(batch.weight for batch in batches))
        count = sum(weight <= self.batch * held[-1] * (1 + 1e-9) for weight in held)
        if count == 0:
            raise ValueError(
                f"Got flat_batch={self.batch:g}, which leaves an empty batch for the perturbed pass: the "
                f"first of {len(batches)} micro-batches holds {held[0] / held[-1]:.0%} of the batch. "
                "Call step.backward([(features, losses, samples), ...]), a small enough micro-batch first."
            )
        return batches[:count], batches[count:]

    def fresh(self, tasks: Sequence[int], seed: int) -> list[int]:
        """Return the places in ``tasks`` whose flat part this step computes."""
        if not self.reuses:
            return list(range(len(tasks)))
        drawn: set[int] = set()
        if self.age % self.every == 0:
            order = torch.randperm(len(tasks), generator=torch.Generator().manual_seed(seed))
            drawn = set(order[: math.ceil(self.tasks * len(tasks))].tolist())
        return [k for k, i in enumerate(tasks) if k in drawn or i not in self.memory]

    def complete(
        self,
        clean: TaskGradients,
        at_part: TaskGradients,
        sam: TaskGradients,
        tasks: Sequence[int],
        fresh: Sequence[int],
    ) -> None:
        """Remember the flat parts that are new, and fill in the others, in place.

        Args:
            clean: gradients at θ, averaged.
            at_part: gradients at θ of all tasks on the part of the batch, averaged; or ``clean``.
            sam: flat parts of the trunk, gradients of the heads at θ+ε on the part, and losses; averaged.
            tasks: numbers of the tasks.
            fresh: places in ``tasks`` that are computed already.
        """
        self.age += 1
        for k in fresh if at_part is not clean else ():
            sam.heads[k] += clean.heads[k] - at_part.heads[tasks[k]]
            sam.losses[k] += clean.losses[k] - at_part.losses[tasks[k]]
        for k, i in enumerate(tasks if self.reuses else ()):
            rows = slice(k, k + 1)  # if the trunk has one row, the first task keeps it
            norms = {"norm": _norm(clean.shared[rows]), "head_norm": _norm(clean.heads[k])}
            if k in fresh:
                head, rise = sam.heads[k] - clean.heads[k], sam.losses[k] - clean.losses[k]
                self.memory[i] = {"flat": sam.shared[rows].clone(), "head": head, "rise": rise, **norms}
                continue
            # a state that was loaded may lie on the CPU
            then = self.memory[i] = {name: v.to(clean.shared.device) for name, v in self.memory[i].items()}
            torch.mul(then["flat"], _ratio(norms, then, "norm").to(then["flat"]), out=sam.shared[rows])
            sam.heads[k] = clean.heads[k] + then["head"] * _ratio(norms, then, "head_norm").to(then["head"])
            sam.losses[k] = clean.losses[k] + then["rise"]

    @contextmanager
    def kept_on_error(self) -> Iterator[None]:
        """Bring back what is remembered now, if the block raises."""
        state = self.state_dict()
        try:
            yield
        except BaseException:
            self.load_state_dict(state)
            raise

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered."""
        return {"age": self.age, "memory": {i: dict(values) for i, values in self.memory.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` returned."""
        self.age, self.memory = state["age"], {i: dict(values) for i, values in state["memory"].items()}


def merged(
    part: TaskGradients, rest: TaskGradients, average: Callable[[TaskGradients], None]
) -> TaskGradients:
    """Average ``rest``, and average it with the averaged ``part`` by their counts, in place of ``rest``."""
    average(rest)
    for k, (count, other) in enumerate(zip(part.counts, rest.counts, strict=True)):
        share = count / (count + other) if count else 0.0
        rest.shared[k].lerp_(part.shared[k], share)
        rest.heads[k].lerp_(part.heads[k], share)
        rest.losses[k].lerp_(part.losses[k], share)
        rest.counts[k] += count
    rest.batches += part.batches
    return rest


def _norm(vector: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vector, dtype=torch.promote_types(vector.dtype, torch.float32))
    return norm


def _ratio(now: dict[str, Tensor], then: dict[str, Tensor], key: str) -> Tensor:
    return torch.where(then[key] > 0, now[key] / then[key], 0.0)
