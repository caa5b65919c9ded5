"""Curves against the slider, with a line and dots at its present position."""

from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, GREY
from .labels import text
from .picture import LINE, WIDTH, Panel
from .points import growing_curve
from .spread import last_seen, spread

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
        super().__init__(title, x=x, y=y, **options)
        self.uids, self.origin = list(looks), origin
        self.named = [k for k, (name, _) in enumerate(looks.values()) if name]
        cursor = dict(color=GREY, width=1.5, dash="dot")
        self.add(go.Scatter(uid=f"{self.uids[0]}-cursor", mode="lines", line=cursor))
        for uid, (_, line) in looks.items():
            self.add(go.Scatter(uid=uid, mode="lines", line=dict(width=3) | line))
        colors = [line["color"] for _, line in looks.values()]
        dots = dict(size=10, color=colors, line=dict(width=1.5, color=BLACK))
        self.add(go.Scatter(uid=f"{self.uids[0]}-here", mode="markers", marker=dots, cliponaxis=False))
        self.names = [name for name, _ in looks.values() if name]
        if self.names:
            colors = [colors[k] for k in self.named]
            uid, beside = f"{self.uids[0]}-names", [f"\u2003{name}" for name in self.names]  # off the dots
            if origin is None:
                self.add(text(uid, beside, colors, textposition="middle right"))
                self.after = WIDTH * max(map(len, beside))
            else:
                self.add(text(uid, self.names, colors))

    def at(self, x: Tensor, curves: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the curves, uid -> heights (N,), over the slider's values ``x`` (N,)."""
        first, values = self.uids[0], torch.stack([curves[uid] for uid in self.uids], -1)
        points = torch.stack([x[:, None].expand_as(values), values], -1)
        if self.origin is None:
            traces = {uid: points[None, :, k] for k, uid in enumerate(self.uids)}
        else:
            traces = {uid: growing_curve(points[:, k], self.origin) for k, uid in enumerate(self.uids)}
        if self.names:
            beside = self._names_beside if self.origin is None else self._names_ahead
            traces[f"{first}-names"] = beside(points[:, self.named])
        across = self.paper(points)[:, :1, 0].expand(-1, 2)
        ends = torch.tensor(self.y["range"], dtype=x.dtype).expand(len(x), 2)
        cursor = self.data(torch.stack([across, ends], -1))
        return traces | {f"{first}-cursor": cursor, f"{first}-here": points}

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
        return self.data(torch.stack([x, y], -1))
