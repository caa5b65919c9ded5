"""Bars: one row per aggregator, with its weights and its cosine with the worst task."""

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, INK, TASKS
from ...stage.table import Text
from .labels import text
from .picture import Panel
from .points import lines_with_gaps
from .weighing import METHODS

CHOSEN = "rgba(230, 159, 0, 0.25)"
LARGEST, NUMBERS = 1.7, 2.9  # the longest bar, and where the number of a longer one ends
LENGTHS = 2.4  # where the lengths of the steps end, in the unit of the cosines
LEFT = -2.3  # where the names of the methods begin, in the unit of the weights


class Rows(Panel):
    """A panel with one row per method and a box round the chosen row.

    Args:
        uid: of the panel's traces.
        title: above the panel.
        x: options for plotly's axis.
    """

    def __init__(self, uid: str, title: str, x: dict):
        y = dict(range=[len(METHODS) - 0.5, -0.5], visible=False)
        super().__init__(title, dict(zeroline=True, zerolinecolor=BLACK) | x, y)
        self.uid = uid
        box = dict(fill="toself", fillcolor=CHOSEN, line_width=0, mode="lines")
        self.add(go.Scatter(uid=f"chosen-{uid}", **box))

    def box(self, chosen: int) -> dict[str, Tensor]:
        """Return the points of the box round the chosen row."""
        (left, right), low, high = self.x["range"], chosen - 0.5, chosen + 0.5
        corners = [(left, low), (right, low), (right, high), (left, high), (left, low)]
        return {f"chosen-{self.uid}": torch.tensor([corners], dtype=torch.float64)}


class Weights(Rows):
    """The weights of every method, one bar per task; the names of the methods stand at the left.

    A longer bar is cut, and its row says the largest weight.
    """

    def __init__(self, tasks: int):
        super().__init__(
            "weights", "weights of the tasks", dict(range=[LEFT, NUMBERS], tickvals=[0, 0.5, 1, 1.5])
        )
        for k in range(tasks):
            line = dict(color=TASKS[k], width=10 if tasks == 2 else 7)
            self.add(go.Scatter(uid=f"weights-{k}", mode="lines", line=line))
        self.add(text("weights-names", METHODS, INK, textposition="middle right"))
        self.add(text("weights-cut", [""] * len(METHODS), INK, textposition="middle left"))

    def at(self, chosen: int, weights: Tensor) -> dict[str, Tensor | Text]:
        """Return the points for the weights (methods, N, T)."""
        n, positions, tasks = weights.shape
        rows = torch.arange(n, dtype=torch.float64)
        traces: dict[str, Tensor | Text] = {}
        for k in range(tasks):
            height = (rows + 0.65 * ((k + 0.5) / tasks - 0.5)).expand(positions, n)
            ends = torch.stack([torch.zeros_like(height), weights[..., k].T.clamp(max=LARGEST)], -1)
            traces[f"weights-{k}"] = lines_with_gaps(
                torch.stack([ends, height.unsqueeze(-1).expand_as(ends)], -1)
            )
        names = [f"<b>{name}</b>" if k == chosen else name for k, name in enumerate(METHODS)]
        places = torch.stack([torch.full_like(rows, LEFT), rows], -1)[None]
        traces |= self.box(chosen) | {"weights-names": (places, [names] * positions)}
        most = weights.amax(-1).T
        cut = [[f"<b>… {w:.1f}</b>" if w > LARGEST else "" for w in row] for row in most.tolist()]
        ends = torch.stack([torch.full_like(rows, NUMBERS), rows], -1).expand(positions, n, 2)
        return traces | {"weights-cut": (ends, cut)}


class Worst(Rows):
    """The cosine of every method's step with the worst task, and the step's length.

    Its rows go on from :class:`Weights`.
    """

    joined = True

    def __init__(self) -> None:
        x = dict(range=[-1.15, LENGTHS], tickvals=[-1, 0, 1])
        super().__init__("worst", "worst cosine; length", x)
        mark = dict(symbol="diamond", size=12, color=BLACK)
        self.add(go.Scatter(uid="worst", mode="markers", marker=mark))
        self.add(text("lengths", [""] * len(METHODS), INK, textposition="middle left"))

    def at(self, chosen: int, cosines: Tensor, lengths: Tensor) -> dict[str, Tensor | Text]:
        """Return the points for the cosines (methods, N, T) of the tasks and the lengths (methods, N)."""
        worst = cosines.amin(-1).T
        rows = torch.arange(worst.shape[1], dtype=worst.dtype).expand_as(worst)
        words = [
            ["stands still" if length < 1e-9 else f"{length:.2f}" for length in row]
            for row in lengths.T.tolist()
        ]
        traces: dict[str, Tensor | Text] = {"worst": torch.stack([worst, rows], -1)}
        return (
            traces
            | self.box(chosen)
            | {"lengths": (torch.stack([torch.full_like(worst, LENGTHS), rows], -1), words)}
        )
