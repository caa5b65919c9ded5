"""Places for labels: near their things, and neither over one another nor over a path."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import INK, INKS, WHITE
from ...stage.table import Text
from .picture import FONT, LINE, Panel

APART = 9  # pixels between a thing and its label
MOST = 4.0  # covered points at which there is no room for a label
CLOSE = 8  # pixels within which another thing could be taken for the label's own
LASTING = 6  # slider positions
SAVED = 4.0  # covered points that justify a change of sides
# left to right first: a label beside a thing reads best
TURNS = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)] * 2, dtype=float)
FARTHER = np.repeat([0, LINE], 8)[:, None]  # the second eight places are a line farther away
FAR = 2.5  # covered points that justify one of these


def text(uid: str | None, texts: Sequence[str], colors: Sequence[str] | str, **options) -> go.Scatter:
    """Return labels, centred at their points, with a rim that keeps them readable on any ground."""
    n, rim = len(texts), f"0 0 3px {WHITE}"
    colors = INKS.get(colors, colors) if isinstance(colors, str) else [INKS.get(c, c) for c in colors]
    look = dict(mode="text", text=list(texts), textposition="middle center", cliponaxis=False)
    look |= dict(textfont=dict(color=colors, size=FONT, shadow=f"{rim}, {rim}, {rim}"))
    return go.Scatter(uid=uid, **(dict(x=[0] * n, y=[0] * n) | look | options))


class Labels:
    """Labels that keep next to things that move.

    Args:
        panel: where to draw.
        colors: text -> colour.
        uid: of the trace.
        apart: pixels between a thing and its label.
    """

    def __init__(self, panel: Panel, colors: Mapping[str, str], uid: str = "labels", apart: float = APART):
        self.panel, self.texts, self.uid, self.apart = panel, list(colors), uid, apart
        panel.add(text(uid, [f"<b>{label}</b>" for label in colors], list(colors.values())))

    def at(self, things: Sequence[Tensor], obstacles: Tensor | None = None) -> dict[str, Tensor]:
        """Return the places for the labels of ``things`` (N, 2) each; see :func:`place`."""
        anchors = torch.stack(torch.broadcast_tensors(*things), 1)
        return {self.uid: place(self.panel, anchors, self.texts, obstacles, self.apart)}


class Title:
    """A title above a panel that changes with the slider. The panel needs room for its lines."""

    def __init__(self, panel: Panel, uid: str):
        self.panel, self.uid = panel, uid
        # the size of the marker that nobody sees keeps the title off the frame
        look = dict(mode="markers+text", marker=dict(size=6, opacity=0), textposition="top right")
        panel.add(text(uid, [""], INK, **look))

    def at(self, titles: Sequence[str]) -> dict[str, Text]:
        """Return the title at each slider position."""
        corner = torch.tensor([self.panel.x["range"][0], self.panel.y["range"][1]], dtype=torch.float64)
        places = self.panel.data(corner).expand(len(titles), 1, 2)  # texts change in traces that move
        return {self.uid: (places, [[title] for title in titles])}


def place(
    panel: Panel,
    anchors: Tensor,
    texts: Sequence[str],
    obstacles: Tensor | None = None,
    apart: float = APART,
    needed: int | None = None,
) -> Tensor:
    """Return the centres (N, n, 2) of n labels for things at ``anchors`` (N, n, 2), NaN where there is none.

    Each label takes the side of its thing where it covers least: other labels, other things, the points of
    ``obstacles`` (N or 1, m, 2) and the edge of the panel. It stays on the side that it had at the slider's
    last position as long as that costs little, so that it does not jump. A thing outside the panel has no
    label. The first ``needed`` labels always
    have a place, by default all; the others only where there is room.
    """
    unit = np.array(panel.unit)
    low, high = np.sort([panel.x["range"], panel.y["range"]], -1).T * unit
    things = panel.paper(anchors.double()).numpy() * unit
    things[((things < low) | (things > high)).any(-1)] = np.nan  # out of sight: it has no label
    N, n, _ = things.shape
    fixed = panel.paper(torch.tensor(panel.fixed, dtype=torch.float64).reshape(-1, 2)).numpy() * unit
    dots = things
    if obstacles is not None:
        way = panel.paper(obstacles.double()).expand(N, -1, 2).numpy() * unit
        dots = np.concatenate([things, way], 1)
    centres = np.full((N, n, 2), np.nan)
    for k, label in enumerate(texts):
        half = _half(label)
        options = things[:, k, None] + TURNS * (half + apart + FARTHER)  # (N, 16, 2)
        covered = (np.abs(options[:, :, None] - dots[:, None]) < half + 3).all(-1).sum(-1)
        cost = covered + np.arange(16) / 20 + FAR * (FARTHER[:, 0] > 0)
        cost += 10 * (np.abs(options[:, :, None] - fixed) < half + 10).all(-1).sum(-1)
        for other, beside in enumerate(texts[:k]):
            both = half + _half(beside)
            overlap = both - np.abs(options - centres[:, None, other])
            cost += (np.nan_to_num(overlap, nan=-1.0) > 0).all(-1) * 120
        cost += 80 * ((options - half < low) | (options + half > high)).sum(-1)
        if needed is not None and k >= needed:
            cost += 3 * (np.abs(options[:, :, None] - things[:, None]) < half + CLOSE).all(-1).sum(-1)
            cost += MOST * (FARTHER[:, 0] > 0)
        sides = _steady(cost)
        centres[:, k] = options[np.arange(N), sides]
        if needed is not None and k >= needed:
            centres[~_lasting(cost[np.arange(N), sides] <= MOST), k] = np.nan
    return panel.data(torch.from_numpy(centres / unit))


def _lasting(shown: np.ndarray) -> np.ndarray:
    """Return where a label is shown for at least ``LASTING`` slider positions; less is a flicker."""
    steady = shown.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shown.astype(int), [0]])))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first < min(LASTING, len(shown)):
            steady[first:end] = False
    return steady


def _half(label: str) -> np.ndarray:
    """Return half the width and the height of a bold label, in pixels."""
    narrow, wide = (sum(letter in letters for letter in label) for letters in ("fijlrt |", "mwMW"))
    return np.array([9.7 * len(label) - 4 * narrow + 4 * wide, LINE]) / 2


def _steady(cost: np.ndarray) -> list[int]:
    """Return the cheapest side at each position (N, 16), but change sides only where that saves enough."""
    sides: list[int] = []
    for row in cost:
        best = int(row.argmin())
        if sides and row[sides[-1]] < row[best] + SAVED:
            best = sides[-1]
        sides.append(best)
    return sides
