"""Several steps from one point, enlarged until they fill the frame."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, WHITE
from .arrows import Arrows
from .labels import Labels
from .picture import Panel

RIM = 0.3  # free share of the frame round the steps, for arrowheads and names
RATIO = 1.2  # width of the frame divided by its height


class Steps(Panel):
    """A magnifier at one point: the steps from there, each with its name at its tip.

    Args:
        title: above the panel.
        looks: uid -> name and colour; a later step lies over an earlier one.
    """

    def __init__(self, title: str, looks: Mapping[str, tuple[str, str]]):
        frame = dict(showticklabels=False, ticks="", showgrid=False, mirror=True)
        x, y = frame | dict(range=[-RATIO, RATIO]), frame | dict(range=[-1, 1])
        super().__init__(title, x, y, ratio=RATIO)
        self.arrows = Arrows(self, {uid: color for uid, (_, color) in looks.items()})
        ring = dict(symbol="circle-cross", size=13, color=WHITE, line=dict(width=2, color=BLACK))
        self.add(go.Scatter(uid="steps-from", mode="markers", marker=ring))
        self.labels = Labels(self, dict(looks.values()), "steps-names", 5)

    def at(self, steps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points for the steps: uid -> (N, 2)."""
        ways = torch.stack(list(steps.values()), 1)
        corners = torch.cat([torch.zeros_like(ways[:, :1]), ways], 1)
        high, low = corners.amax(1), corners.amin(1)
        frame = torch.tensor([2 * RATIO, 2.0], dtype=ways.dtype)
        scale = ((1 - RIM) * frame / (high - low).clamp_min(1e-12)).amin(-1)[:, None]
        origin = -scale * (high + low) / 2
        traces = self.arrows.at({uid: (origin, scale * step) for uid, step in steps.items()})
        tips = [traces[uid][:, 1] for uid in steps]
        shafts = along(origin, [tip - origin for tip in tips])
        return traces | {"steps-from": origin[:, None]} | self.labels.at(tips, shafts)


def along(origin: Tensor, ways: Sequence[Tensor]) -> Tensor:
    """Return points (N, n, 2) on steps (N, 2) each from ``origin`` (N, 2): labels should leave them free."""
    shares = torch.linspace(0, 1, 16, dtype=origin.dtype)[:, None]
    return torch.cat([origin[:, None] + shares * way[:, None] for way in ways], 1)
