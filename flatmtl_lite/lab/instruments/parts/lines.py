"""Named lines, dots and stems in a panel, and shaded areas."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .labels import Labels, last_seen
from .panel import Panel
from .points import lines_with_gaps

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
        for uid, (_, look) in looks.items():
            panel.line(uid, **look, **options)
        self.named = [uid for uid, (name, _) in looks.items() if name]
        if self.named:
            names = {name: look["color"] for name, look in looks.values() if name}
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
    panel.line(None, **look, x=x, y=y)
    panel.text(None, [name], look["color"], x=[x[k]], y=[y[k]], textposition=side)


def shade(panel: Panel, x: Sequence[float], y: Sequence[float], color: str = CONFLICT) -> None:
    """Shade the area within the corners."""
    panel.area(None, color, x=x, y=y)


class Dots:
    """Moving dots with their names beside them."""

    def __init__(self, panel: Panel, uid: str, colors: Mapping[str, str]):
        self.uid = uid
        panel.dots(uid, list(colors.values()), size=11, cliponaxis=False)
        self.labels = Labels(panel, colors, f"{uid}-names")

    def at(self, dots: Tensor, obstacles: Tensor | None = None) -> dict[str, Tensor]:
        """Return the points of the dots (N, n, 2) and of their names."""
        return {self.uid: dots} | self.labels.at(dots.unbind(1), obstacles)


class Stems:
    """A dot for each value, on a stem that rises from its foot, all in one colour."""

    def __init__(self, panel: Panel, uid: str, color: str, symbol: str = "circle"):
        self.uid = uid
        panel.line(f"{uid}-stems", color)
        panel.dots(uid, color, symbol, size=11, cliponaxis=False)

    def at(self, dots: Tensor, feet: Tensor) -> dict[str, Tensor]:
        """Return the points of the dots (N, n, 2) and of the stems from their feet (N, n, 2)."""
        return {self.uid: dots, f"{self.uid}-stems": lines_with_gaps(torch.stack([feet, dots], 2))}
