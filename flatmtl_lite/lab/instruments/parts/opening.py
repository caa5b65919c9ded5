"""How an instrument opens: its problem, the slider's first position, and the stage."""

from collections.abc import Callable

import plotly.graph_objects as go
from torch import Tensor

from ....toy import PROBLEMS, Problem
from ...predictions.predict import Prediction
from ...stage.stage import Stage
from ...stage.table import Table

POSITIONS = 81


def find_problem(name: str, tasks: int | None = None) -> Problem:
    """Return the toy problem of that name. With ``tasks`` it must have that number of tasks."""
    fitting = [key for key, problem in PROBLEMS.items() if tasks in (None, problem.tasks)]
    if name not in fitting:
        raise ValueError(f"Got problem={name!r}; expected one of {', '.join(map(repr, fitting))}.")
    return PROBLEMS[name]


def position(value: float, positions: Tensor, name: str) -> int:
    """Return the slider position nearest to a value."""
    low, high = positions[0].item(), positions[-1].item()
    if not low <= value <= high:
        raise ValueError(f"Got {name}={value!r}; expected a number from {low:g} to {high:g}.")
    return int((positions - value).abs().argmin())


def open_stage(
    figure: go.Figure, compute: Callable[..., Table], after: Prediction | None, **options
) -> Stage:
    """Open a stage. With ``after`` it stays locked until that prediction is recorded."""
    stage = Stage(figure, compute, **options)
    if after is not None:
        after.unlocks(stage)
    return stage
