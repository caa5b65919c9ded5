"""Several steps from one point, enlarged until they fill the frame."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, WHITE
from ...stage.table import Text
from .arrows import Arrows
from .labels import Labels, Title
from .picture import Panel

RIM = 0.3  # free share of the frame round the steps, for arrowheads and names
SHOWN = 0.5  # size of the enlarged tips, as a share of the frame
RATIO = 1.6  # width of the frame divided by its height


class Steps(Panel):
    """A magnifier at one point: the steps from there, each with its name at its tip.

    Args:
        title: above the panel.
        looks: uid -> name and colour; a later step lies over an earlier one.
        zoom: how many times the tips may be enlarged beyond the size at which the whole steps fit.
    """

    def __init__(self, title: str, looks: Mapping[str, tuple[str, str]], zoom: float = 1.0):
        frame = dict(showticklabels=False, ticks="", showgrid=False, mirror=True)
        x, y = frame | dict(range=[-RATIO, RATIO]), frame | dict(range=[-1, 1])
        super().__init__(None, x, y, room=2 if zoom > 1 else 1, ratio=RATIO)
        self.words, self.zoom = title, zoom
        self.arrows = Arrows(self, {uid: color for uid, (_, color) in looks.items()})
        ring = dict(symbol="circle-cross", size=13, color=WHITE, line=dict(width=2, color=BLACK))
        self.add(go.Scatter(uid="steps-from", mode="markers", marker=ring))
        self.labels = Labels(self, dict([*looks.values()][::-1]), "steps-names", 5)  # the uppermost first
        self.head = Title(self, "steps-title")

    def at(self, steps: Mapping[str, Tensor]) -> dict[str, Tensor | Text]:
        """Return the points for the steps: uid -> (N, 2)."""
        origin, scale, zooms = self._enlarged(torch.stack(list(steps.values()), 1))
        traces: dict[str, Tensor | Text] = {"steps-from": origin[:, None]}
        arrows = self.arrows.at({uid: (origin, scale * step) for uid, step in steps.items()})
        tips = [origin + scale * step for step in steps.values()]
        shafts = along(origin, [tip - origin for tip in tips])
        titles = [self.words + (f"<br>tips × {zoom:.1f}" if zoom > 1.05 else "") for zoom in zooms.tolist()]
        return traces | arrows | self.labels.at(tips[::-1], shafts) | self.head.at(titles)

    def _enlarged(self, tips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the place of the origin (N, 2), the scale (N, 1), and the enlargement of the tips (N,).

        As the lens zooms in, its centre moves from the middle of the steps to the middle of their tips.
        """
        frame = torch.tensor([2 * RATIO, 2.0], dtype=tips.dtype)
        corners = torch.cat([torch.zeros_like(tips[:, :1]), tips], 1)
        (high, low), (most, least) = ((part.amax(1), part.amin(1)) for part in (corners, tips))
        whole = ((1 - RIM) * frame / (high - low).clamp_min(1e-12)).amin(-1, keepdim=True)
        wanted = (SHOWN * frame / (most - least).clamp_min(1e-12)).amin(-1, keepdim=True)
        scale = torch.minimum(torch.maximum(whole, wanted), self.zoom * whole)
        near = 1 - (whole / scale) ** 2  # fast enough to keep the tips in the frame
        centre = ((1 - near) * (high + low) + near * (most + least)) / 2
        return -scale * centre, scale, (scale / whole)[:, 0]


def along(origin: Tensor, ways: Sequence[Tensor]) -> Tensor:
    """Return points (N, n, 2) on steps (N, 2) each from ``origin`` (N, 2): labels should leave them free."""
    shares = torch.linspace(0.1, 1, 12, dtype=origin.dtype)[:, None]
    return torch.cat([origin[:, None] + shares * way[:, None] for way in ways], 1)
