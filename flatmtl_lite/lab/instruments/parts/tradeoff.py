"""The losses of two tasks against each other, with the Pareto front."""

import plotly.graph_objects as go
from torch import Tensor

from ....toy import Problem
from ...figures.landscape import front, grid
from ...figures.style import BLACK
from .labels import text
from .picture import Panel
from .trail import Trail


class Tradeoff(Panel):
    """The plane of two losses, the Pareto front in it, and the way so far."""

    def __init__(self, problem: Problem):
        losses = grid(problem)[2].flatten(0, 1)
        least, most = losses.amin(0), losses.quantile(0.98, 0)
        ranges = zip((least - 0.05 * (most - least)).tolist(), most.tolist(), strict=True)
        x, y = (dict(range=[*ends], title=f"loss of task {k}") for k, ends in enumerate(ranges, 1))
        super().__init__("the two losses", x, y)
        best = front(problem)[1]
        if len(best):
            line = dict(color=BLACK, dash="dot", width=3)
            self.add(go.Scatter(x=best[:, 0], y=best[:, 1], mode="lines", line=line))
            middle = best[len(best) // 2]
            place = dict(x=[middle[0]], y=[middle[1]], textposition="bottom left")  # nothing ever comes there
            self.add(text(None, ["Pareto front"], BLACK, **place))
        self.trail = Trail(self, "losses")

    def at(self, losses: Tensor) -> dict[str, Tensor]:
        """Return the points for the losses (N, 2) at each slider position."""
        return self.trail.at(losses)
