"""How an instrument opens: its problem, its controls and the stage, and the sentences under the slider."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from ....toy import PROBLEMS, Problem
from ...predictions.predict import Prediction
from ...stage.checks import check_choice, check_point
from ...stage.stage import Stage
from ...stage.table import Table
from .picture import Picture

POSITIONS = 81


Drawing = tuple[Picture, Sequence[str]]  # a picture, and one sentence per slider position


def find_problem(name: str, tasks: int | None = None) -> Problem:
    """Return the toy problem of that name. With ``tasks`` it must have that number of tasks."""
    fitting = [key for key, problem in PROBLEMS.items() if tasks in (None, problem.tasks)]
    if name not in fitting:
        raise ValueError(f"Got problem={name!r}; expected one of {', '.join(map(repr, fitting))}.")
    return PROBLEMS[name]


def slider(
    label: str,
    positions: Tensor,
    name: str,
    value: float,
    write: Callable[[float], str] = "{:.4g}".format,
) -> dict:
    """Return the stage's options for a slider that begins at the position nearest to a value.

    Args:
        label: what the learner reads.
        positions: (N,), growing.
        name: of the instrument's argument that holds the value.
        value: where to begin.
        write: writes a position, so that it can be read and typed.

    Raises:
        ValueError: the value lies outside the positions.
    """
    low, high = positions[0].item(), positions[-1].item()
    if not low <= value <= high:
        raise ValueError(f"Got {name}={value!r}; expected a number from {low:g} to {high:g}.")
    values = [write(position) for position in positions.tolist()]
    return dict(label=label, values=values, index=int((positions - value).abs().argmin()))


def menu(label: str, choices: Iterable[str], choice: str) -> dict:
    """Return the stage's options for a menu next to the slider that begins at a choice."""
    check_choice(choice, choices, label)
    return dict(choice_label=label, choices=list(choices), choice=choice)


def handles(points: Mapping[str, Sequence[float]], window: Sequence[Sequence[float]]) -> dict:
    """Return the stage's options for points that the learner can drag.

    Args:
        points: name -> (x, y).
        window: ((left, right), (bottom, top)), the ranges of the first panel.

    Raises:
        ValueError: a point lies outside the window.
    """
    for name, point in points.items():
        check_point(point, window, name)
    return dict(points=points)


def open_stage(
    title: str, recipe: str, controls: dict, after: Prediction | None, draw: Callable[..., Drawing], *given
) -> Stage:
    """Open a stage. With ``after`` it stays locked until that prediction is recorded.

    Args:
        title: name of the instrument.
        recipe: the call that opens the stage again, see :class:`Stage`.
        controls: what :func:`slider`, :func:`menu` and :func:`handles` return, together.
        after: the prediction.
        draw: (*given, choice, point, ...) -> its picture and one sentence per slider position.
        given: what stays the same at every drawing.
    """

    @functools.lru_cache(maxsize=1)  # the figure and the first table come from one drawing
    def drawn(choice: str, *points: tuple[float, ...]) -> Drawing:
        return draw(*given, choice, *points)

    def table(choice: str, *points: tuple[float, float]) -> Table:
        picture, states = drawn(choice, *points)
        return Table(picture.traces(), states)

    points = [tuple(map(float, point)) for point in controls.get("points", {}).values()]
    figure = drawn(controls.get("choice", ""), *points)[0].figure()
    stage = Stage(figure, table, title=title, recipe=recipe, **controls)
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
