"""Landscapes: the large picture of the loss, small planes with many paths, and the plane of two losses."""

import functools

import plotly.graph_objects as go
from torch import Tensor

from ....toy import Problem
from ...figures.landscape import front, ground, loss_range, minima
from ...figures.style import BLACK
from .curve import draw_line
from .panel import SOLID, Panel
from .path import draw_trail

FRONT: dict = dict(color=BLACK, dash="dot")


class Landscape(Panel):
    """The landscape of the mean loss, with numbered minima and named axes.

    The control "colour" changes it to the loss of one task.
    """

    def __init__(self, problem: Problem):
        (left, right), (low, high) = problem.window
        self.height = high - low
        x, y = dict(range=[left, right], title="θ₁"), dict(range=[low, high], title="θ₂")
        super().__init__(x=x, y=y, room=0, ratio=(right - left) / self.height)
        for task in (None, *range(problem.tasks)):
            self.draw(functools.partial(_view, problem, task))
        self.draw(lambda: minima(problem).update(meta=SOLID))
        bottoms, best = _marks(problem)
        self.fixed = [*bottoms]
        if len(best):
            across, up = best.T.tolist()
            middle, below = across[len(best) // 2], up[len(best) // 2] - 0.05 * self.height
            self.line(None, **FRONT, x=across, y=up, meta=SOLID)
            self.text(None, ["Pareto front"], BLACK, x=[middle], y=[below], meta=SOLID)
            self.fixed += [(middle + share * self.height, below) for share in (-0.08, 0, 0.08)]


def _view(problem: Problem, task: int | None) -> go.Contour:
    """Draw the landscape of the mean loss, or of the loss of one task, which the control "colour" shows."""
    name = "mean loss" if task is None else f"task {task + 1}"
    return ground(problem, task).update(visible=task is None, meta=dict(view=name))


@functools.cache
def _marks(problem: Problem) -> tuple[list[tuple[float, float]], Tensor]:
    """Return the minima of the tasks and the Pareto front (N, 2): they cost more than a picture may."""
    return [(x, y) for ends in problem.minima() for x, y in ends.tolist()], problem.front()


class Tradeoff(Panel):
    """The plane of the losses of two tasks, the Pareto front in it, and the way so far.

    Args:
        problem: the landscape.
        way: the losses at each slider position, (N, 2).
    """

    def __init__(self, problem: Problem, way: Tensor):
        ends = [loss_range(problem, 0.98, task) for task in range(2)]
        ranges = [[least - 0.05 * (most - least), most] for least, most in ends]
        x, y = (dict(range=ends, title=f"loss of task {k}") for k, ends in enumerate(ranges, 1))
        super().__init__("the two losses", x, y)
        x, y = front(problem)[1].T
        if len(x):  # nothing ever comes below the front
            draw_line(self, "Pareto front", x, y, FRONT, len(x) // 2, "bottom left")
        draw_trail(self, "losses", way)
