"""Bars: weights and cosines with one row per aggregator, and shares of a whole."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import BLACK, GREY, INK, TASKS
from .panel import Panel
from .points import lines_with_gaps, pairs
from .weighing import METHODS

CHOSEN = "rgba(230, 159, 0, 0.25)"
LARGEST, NUMBERS = 1.7, 2.9  # the longest bar, and where the number of a longer one ends
LENGTHS = 2.4  # where the lengths of the steps end, in the unit of the cosines
LEFT, NAMES = -2.9, -0.15  # room for the names of the methods, and where they end, in the unit of the weights
ROWS = torch.arange(len(METHODS), dtype=torch.float64)


class Rows(Panel):
    """A panel with one row per method and a box round the chosen row.

    Args:
        uid: of the panel's traces.
        title: above the panel.
        x: options for plotly's axis.
        chosen: place of the chosen method.
    """

    def __init__(self, uid: str, title: str, x: dict, chosen: int):
        y = dict(range=[len(METHODS) - 0.5, -0.5], visible=False)
        super().__init__(title, dict(zeroline=True, zerolinecolor=BLACK) | x, y)
        (left, right), low, high = x["range"], chosen - 0.5, chosen + 0.5
        corners = [(left, low), (right, low), (right, high), (left, high), (left, low)]
        self.area(f"chosen-{uid}", CHOSEN, points=torch.tensor([corners], dtype=torch.float64))


class Weights(Rows):
    """The weights of every method, one bar per task, with the names of the methods before them.

    A longer bar is cut, and its row says the largest weight.

    Args:
        chosen: place of the chosen method.
        weights: (methods, N, T).
    """

    def __init__(self, chosen: int, weights: Tensor):
        _, positions, tasks = weights.shape
        x = dict(range=[LEFT, NUMBERS], tickvals=[0, 1])
        super().__init__("weights", "weights of the tasks", x, chosen)
        for k in range(tasks):
            lengths = weights[..., k].T.clamp(max=LARGEST)
            places = bars(lengths, ROWS + 0.65 * ((k + 0.5) / tasks - 0.5))
            self.line(f"weights-{k}", TASKS[k], 10 if tasks == 2 else 7, points=places)
        names = [f"<b>{name}</b>" if k == chosen else name for k, name in enumerate(METHODS)]
        cut = [
            [f"<b>… {w:.1f}</b>" if w > LARGEST else "" for w in most] for most in weights.amax(-1).T.tolist()
        ]
        numbers, left = pairs(NUMBERS, ROWS).expand(positions, -1, 2), dict(textposition="middle left")
        self.text("weights-names", names, INK, points=(pairs(NAMES, ROWS)[None], [names] * positions), **left)
        self.text("weights-cut", cut[0], INK, points=(numbers, cut), **left)


class Worst(Rows):
    """The cosine of every method's step with the worst task, and the step's length.

    Its rows go on from :class:`Weights`.

    Args:
        chosen: place of the chosen method.
        cosines: (methods, N, T), of the tasks.
        lengths: (methods, N).
    """

    joined = True

    def __init__(self, chosen: int, cosines: Tensor, lengths: Tensor):
        x = dict(range=[-1.15, LENGTHS], tickvals=[-1, 0, 1])
        super().__init__("worst", "worst cosine; length", x, chosen)
        worst = cosines.amin(-1).T
        words = [
            ["stands still" if length < 1e-9 else f"{length:.2f}" for length in row]
            for row in lengths.T.tolist()
        ]
        places = pairs(LENGTHS, ROWS.expand_as(worst))
        self.dots("worst", BLACK, "diamond", edge=0, points=pairs(worst, ROWS))
        self.text("lengths", words[0], INK, points=(places, words), textposition="middle left")


class Shares(Panel):
    """One bar per part, from 0 to 100 % of the whole, with its name and its value in words above it.

    Args:
        title: above the panel.
        uid: of the bars.
        parts: name -> its value at each slider position, (N,).
    """

    def __init__(self, title: str, uid: str, parts: Mapping[str, Tensor]):
        x = dict(range=[0, 1.12], tickvals=[0, 0.5, 1], ticktext=["0 %", "50 %", "100 %"])
        y = dict(range=[len(parts) - 0.4, -0.6], showticklabels=False, ticks="", showgrid=False)
        super().__init__(title, x, y)
        values = torch.stack(list(parts.values()), -1)
        shares = values / values.sum(-1, keepdim=True)
        rows = torch.arange(len(parts), dtype=values.dtype)
        places = pairs(0.01, rows.expand_as(shares) - 0.38)  # the words stand above their bar
        words = [
            [f"{name}: {_number(v)}, {_percent(s)}" for name, v, s in zip(parts, vs, ss, strict=True)]
            for vs, ss in zip(values.tolist(), shares.tolist(), strict=True)
        ]
        self.line(uid, GREY, 12, points=bars(shares, rows + 0.12))
        self.text(f"{uid}-names", list(parts), INK, points=(places, words), textposition="middle right")


def bars(lengths: Tensor, rows: Tensor) -> Tensor:
    """Return bars from 0 with these lengths (N, n) at these heights (n,), as one trace (N, 3 n, 2)."""
    return lines_with_gaps(torch.stack([pairs(x, rows) for x in (torch.zeros_like(lengths), lengths)], 2))


def _number(value: float) -> str:
    """Write a number with three digits, or with all digits before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    if share < 1e-4:
        return "under 0.01 %"
    return f"{100 * share:.5g} %" if share > 0.99 else f"{100 * share:.2g} %"
