"""Curves: against the slider, with a line and dots at its present position, and over a path."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import GREY, INK
from ...stage.table import Text
from .labels import last_seen, spread
from .panel import FONT, LINE, WIDTH, Panel
from .points import growing_curve, pairs

DEGREES = dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticksuffix="°")
BESIDE = 12  # pixels from a dot to its name


class Curves(Panel):
    """Curves with their names to the right of their ends.

    Args:
        title: above the panel.
        x, y: options for plotly's axes, with a "range" each.
        looks: uid -> name ("" for none), and the colour and dash of the line.
        origin: the slider position from which the curves grow with the slider, their names next to the
            dots. By default the whole curves rest.
        options: of :class:`Panel`.
    """

    def __init__(
        self,
        title: str | None,
        x: dict,
        y: dict,
        looks: Mapping[str, tuple[str, dict]],
        origin: int | None = None,
        **options,
    ):
        super().__init__(title, x, y, **options)
        self.uids, self.origin, self.first = list(looks), origin, next(iter(looks))
        self.named = [k for k, (name, _) in enumerate(looks.values()) if name]
        self.line(f"{self.first}-cursor", GREY, 1.5, "dot")
        for uid, (_, look) in looks.items():
            self.line(uid, **look)
        colors = [look["color"] for _, look in looks.values()]
        self.dots(f"{self.first}-here", colors, size=10, cliponaxis=False)
        self.names = [name for name, _ in looks.values() if name]
        if self.names:
            place, names = {}, self.names
            if origin is None:
                place, names = dict(textposition="middle right"), [f"\u2003{name}" for name in names]
                self.after = WIDTH * max(map(len, names))  # the space keeps them off the dots
            self.text(f"{self.first}-names", names, [colors[k] for k in self.named], **place)

    def at(self, x: Tensor, curves: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the curves, uid -> heights (N,), over the slider's values ``x`` (N,)."""
        points = pairs(x[:, None], torch.stack([curves[uid] for uid in self.uids], -1))
        lines = points.unbind(1)
        if self.origin is None:
            traces = {uid: line[None] for uid, line in zip(self.uids, lines, strict=True)}
        else:
            traces = {
                uid: growing_curve(line, self.origin) for uid, line in zip(self.uids, lines, strict=True)
            }
        if self.names:
            beside = self._names_beside if self.origin is None else self._names_ahead
            traces[f"{self.first}-names"] = beside(points[:, self.named])
        ends = torch.tensor(self.y["range"], dtype=x.dtype)
        cursor = self.data(pairs(self.paper(points)[:, :1, 0], ends))
        return traces | {f"{self.first}-cursor": cursor, f"{self.first}-here": points}

    def _names_beside(self, points: Tensor) -> Tensor:
        """Return places (1, n, 2) for the names, to the right of the panel."""
        ends = torch.stack([self.paper(last_seen(line, self)) for line in points.unbind(1)])
        ends[:, 0] = max(self.x["range"])
        ends[:, 1] = spread(ends[:, 1], self)
        return self.data(ends)[None]

    def _names_ahead(self, points: Tensor) -> Tensor:
        """Return places (N, n, 2) for the names, ahead of the growing curves and within the panel."""
        places, (low, high) = self.paper(points), sorted(self.x["range"])
        half = torch.tensor([WIDTH * len(name) / 2 for name in self.names]).double() / self.unit[0]
        ahead = 1.0 - 2.0 * (torch.arange(len(points))[:, None] < (self.origin or 0))
        wanted = places[..., 0] + ahead * (half + BESIDE / self.unit[0])
        x = torch.minimum(torch.maximum(wanted, low + half), high - half)
        # a name that finds no room ahead lies above its curve
        lift = 0.7 * LINE / self.unit[1] * (x != wanted)
        y = torch.stack([spread(row, self) for row in places[..., 1] + lift])
        return self.data(pairs(x, y))


class Along(Panel):
    """A curve over the steps of a path, with a dot and the value at its highest point.

    The curve changes as a whole with the slider.

    Args:
        uid: of the curve.
        title: above the panel, in two lines.
        x, y: options for plotly's axes, with a "range" each.
        look: colour and dash of the curve.
    """

    def __init__(self, uid: str, title: str, x: dict, y: dict, look: dict):
        super().__init__(title, x, y, room=2)
        self.uid = uid
        self.line(uid, **look)
        dot = dict(mode="markers+text", marker=dict(size=9, color=look["color"]))
        self.text(f"{uid}-most", [""], INK, textposition="top center", textfont_size=FONT, **dot)

    def at(self, x: Tensor, heights: Tensor) -> dict[str, Tensor | Text]:
        """Return the points for heights (N, n), NaN where there is none, over places ``x`` (n,)."""
        most, k = heights.nan_to_num(-torch.inf).max(-1)
        places = pairs(x[k], most.masked_fill(most.isinf(), torch.nan))
        words = [[f"{value:.0f}°" if value > 0.5 else ""] for value in most.tolist()]
        return {self.uid: pairs(x, heights), f"{self.uid}-most": (places.unsqueeze(1), words)}
