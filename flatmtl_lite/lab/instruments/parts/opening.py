"""How an instrument opens: its problem, its controls and the stage, and the sentences under the slider."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ....toy import PROBLEMS, Problem
from ...predictions.predict import Prediction
from ...stage.stage import Stage
from ...stage.table import Table
from .picture import Picture

POSITIONS = 81


class View(Protocol):
    """The picture of an instrument, and the table that fills it."""

    picture: Picture

    @property
    def table(self) -> Callable[..., Table]:
        """Return the function (choice, point, ...) -> table."""


@dataclass
class Slider:
    """A slider that begins at the position nearest to a value.

    Attributes:
        label: the name that the learner reads.
        positions: (N,), growing.
        name: of the instrument's argument.
        value: of this argument.
        write: writes a position, so that it can be read and typed.

    Raises:
        ValueError: the value lies outside the positions.
    """

    label: str
    positions: Tensor
    name: str
    value: float
    write: Callable[[float], str] = "{:.4g}".format

    def __post_init__(self) -> None:
        low, high = self.positions[0].item(), self.positions[-1].item()
        if not low <= self.value <= high:
            raise ValueError(f"Got {self.name}={self.value!r}; expected a number from {low:g} to {high:g}.")
        self.index = int((self.positions - self.value).abs().argmin())
        self.values = [self.write(position) for position in self.positions.tolist()]


@dataclass
class Menu:
    """A menu next to the slider: its label, the names in it, and the name to begin with."""

    choice_label: str
    choices: Iterable[str]
    choice: str


def find_problem(name: str, tasks: int | None = None) -> Problem:
    """Return the toy problem of that name. With ``tasks`` it must have that number of tasks."""
    fitting = [key for key, problem in PROBLEMS.items() if tasks in (None, problem.tasks)]
    if name not in fitting:
        raise ValueError(f"Got problem={name!r}; expected one of {', '.join(map(repr, fitting))}.")
    return PROBLEMS[name]


def open_stage(
    view: View,
    title: str,
    recipe: str,
    slider: Slider,
    menu: Menu | None = None,
    points: Mapping[str, Sequence[float]] | None = None,
    after: Prediction | None = None,
) -> Stage:
    """Open a stage. With ``after`` it stays locked until that prediction is recorded."""
    options: dict = {} if menu is None else vars(menu) | dict(choices=list(menu.choices))
    stage = Stage(
        view.picture.figure(),
        view.table,
        recipe=recipe,
        title=title,
        label=slider.label,
        values=slider.values,
        index=slider.index,
        points=points,
        **options,
    )
    if after is not None:
        after.unlocks(stage)
    return stage


def sentences(template: str, **columns: str | Tensor | Sequence) -> list[str]:
    """Write one sentence per slider position.

    Args:
        template: a sentence with the names of the columns in braces, such as "ρ = {rho:.2g}: {words}".
        columns: tensors (N, ...) or N values each; a text stays the same at all positions.
    """
    fixed = {name: column for name, column in columns.items() if isinstance(column, str)}
    moving = {name: column for name, column in columns.items() if name not in fixed}
    rows = zip(*(c.tolist() if isinstance(c, Tensor) else c for c in moving.values()), strict=True)
    return [template.format(**fixed, **dict(zip(moving, row, strict=True))) for row in rows]
