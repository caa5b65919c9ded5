"""Named lines and dots in a panel, and shaded areas."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK
from .labels import Labels, text
from .path import edged_marker
from .picture import Panel
from .spread import last_seen

WAY = 150  # points of a line that labels keep off
CONFLICT = "rgba(213, 94, 0, 0.12)"


class Lines:
    """Lines with their names at their right ends.

    Args:
        panel: where to draw.
        looks: uid -> name ("" for none), and the colour, width and dash of the line.
        options: of the traces, such as "fill".
    """

    def __init__(self, panel: Panel, looks: Mapping[str, tuple[str, dict]], **options):
        self.panel, self.uids = panel, list(looks)
        for uid, (_, line) in looks.items():
            panel.add(go.Scatter(uid=uid, mode="lines", line=dict(width=3) | line, **options))
        self.named = [uid for uid, (name, _) in looks.items() if name]
        if self.named:
            names = {name: line["color"] for name, line in looks.values() if name}
            self.labels = Labels(panel, names, f"{self.uids[0]}-names", apart=3)

    def at(self, lines: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the lines, uid -> (N or 1, n, 2), and of their names."""
        if not self.named:
            return dict(lines)
        ends = [torch.stack([last_seen(line, self.panel) for line in lines[uid]]) for uid in self.named]
        rows = max(map(len, ends))
        ways = torch.cat([self._dense(lines[uid]).expand(rows, -1, 2) for uid in self.uids], 1)
        return {**lines, **self.labels.at([end.expand(rows, 2) for end in ends], ways)}

    def _dense(self, line: Tensor) -> Tensor:
        """Return points of a line that are close enough for labels to keep off the line."""
        places = self.panel.paper(line).transpose(1, 2)
        dense = torch.nn.functional.interpolate(places, size=WAY, mode="linear", align_corners=True)
        return self.panel.data(dense.transpose(1, 2))


def draw_line(
    panel: Panel,
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    look: dict,
    k: int = 0,
    side: str = "top right",
) -> None:
    """Draw a line that never moves, with its name beside its ``k``-th point."""
    panel.add(go.Scatter(x=x, y=y, mode="lines", line=look))
    panel.add(text(None, [name], look["color"], x=[x[k]], y=[y[k]], textposition=side))


def shade(panel: Panel, x: Sequence[float], y: Sequence[float], color: str = CONFLICT) -> None:
    """Shade the area within the corners."""
    panel.add(go.Scatter(x=x, y=y, mode="lines", fill="toself", fillcolor=color, line_width=0))


def draw_dots(panel: Panel, x: Sequence[float], y: Sequence[float], color: str, symbol: str) -> None:
    """Draw dots that never move, such as data."""
    marker = dict(color=color, symbol=symbol, size=7, opacity=0.7)
    panel.add(go.Scatter(x=x, y=y, mode="markers", marker=marker))


class Dots:
    """Moving dots with their names beside them."""

    def __init__(self, panel: Panel, uid: str, colors: Mapping[str, str]):
        self.uid = uid
        marker = edged_marker(BLACK, size=11) | dict(color=list(colors.values()))
        panel.add(go.Scatter(uid=uid, mode="markers", marker=marker, cliponaxis=False))
        self.labels = Labels(panel, colors, f"{uid}-names")

    def at(self, dots: Tensor, obstacles: Tensor | None = None) -> dict[str, Tensor]:
        """Return the points of the dots (N, n, 2) and of their names."""
        return {self.uid: dots} | self.labels.at(dots.unbind(1), obstacles)
