"""The tasks of one step, when others are absent from it."""

import math
from collections.abc import Sequence
from functools import cache

from torch import Tensor, tensor


class Present:
    """The tasks that the rows of a step belong to, in the order of the rows.

    A tensor of all tasks has ``count`` entries along each of its task dimensions, given as ``dims`` < 0.

    Args:
        tasks: indices of the present tasks.
        count: the number of all tasks.

    Raises:
        ValueError: ``tasks`` are not distinct numbers from 0 to ``count`` - 1, or there are none.
    """

    def __init__(self, tasks: Sequence[int], count: int) -> None:
        self.tasks, self.count = list(tasks), count
        whole = all(isinstance(number, int) for number in (*self.tasks, count))
        if not (whole and self.tasks and len({*self.tasks} & {*range(count)}) == len(self.tasks)):
            raise ValueError(
                f"Got tasks={self.tasks} of count={count!r} as present; expected at least one task, each "
                "once, as whole numbers from 0 to count - 1. Name the tasks that have a loss in this batch."
            )
        self.is_all = self.tasks == list(range(count))

    def __str__(self) -> str:
        """What a message adds to the number of rows."""
        return "" if self.is_all else f" for the tasks {self.tasks} of {self.count}"

    def shape_of_all(self, part: Tensor, dims: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of ``part`` if no task were absent."""
        shape = list(part.shape)
        for dim in dims:
            shape[dim] = self.count
        return tuple(shape)

    def select(self, values: Tensor, dims: Sequence[int]) -> Tensor:
        """Return the entries of the present tasks, of a tensor of all tasks."""
        if not self.is_all:
            for dim in dims:
                values = values.index_select(dim, tensor(self.tasks, device=values.device))
        return values

    def merge(self, values: Tensor | None, part: Tensor, dims: Sequence[int]) -> Tensor:
        """Return ``values`` of all tasks, with ``part`` as the entries of the present tasks.

        ``values`` may be one number for all tasks, or None: nothing is known, and the result holds NaN.
        """
        if self.is_all or not dims:
            return part
        shape = self.shape_of_all(part, dims)
        values = part.new_full(shape, math.nan) if values is None else values.to(part).expand(shape)
        dim, *others = dims
        slices = self.merge(self.select(values, [dim]), part, others)
        return values.index_copy(dim, tensor(self.tasks, device=values.device), slices)


@cache
def all_present(count: int) -> Present:
    """Return the tasks of a step without absent ones."""
    return Present(range(count), count)
