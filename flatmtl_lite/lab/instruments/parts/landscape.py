"""The large picture: the loss as a landscape, with numbered minima and named axes."""

import plotly.graph_objects as go

from ....toy import Problem
from ...figures.landscape import ground, minima
from ...figures.style import BLACK
from .labels import text
from .picture import Panel


class Landscape(Panel):
    """The landscape of the mean loss; the control "colour" changes it to the loss of one task."""

    def __init__(self, problem: Problem):
        (left, right), (low, high) = problem.window
        self.height = high - low
        x, y = dict(range=[left, right], title="θ₁"), dict(range=[low, high], title="θ₂")
        super().__init__(x=x, y=y, room=0, ratio=(right - left) / self.height)
        for task in (None, *range(problem.tasks)):
            view = "mean loss" if task is None else f"task {task + 1}"
            self.add(ground(problem, task).update(visible=task is None, meta=dict(view=view)))
        discs = minima(problem)
        self.add(discs)
        self.fixed = list(zip(discs.x, discs.y, strict=True))
        front = problem.front()
        if len(front):
            x, y = front.T.tolist()
            self.add(go.Scatter(x=x, y=y, mode="lines", line=dict(color=BLACK, dash="dot", width=3)))
            middle = len(x) // 2
            below = y[middle] - 0.05 * self.height
            self.add(text(None, ["Pareto front"], BLACK, x=[x[middle]], y=[below]))
            self.fixed += [(x[middle] + share * self.height, below) for share in (-0.08, 0, 0.08)]
