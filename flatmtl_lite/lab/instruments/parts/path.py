"""A path with its direction, handles, and markers with a black edge."""

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK, PATH, WHITE
from .picture import Panel
from .points import thin_path

ARROWS = (0.12, 0.35, 0.65)  # where on the way an arrowhead shows the direction
SOLID = dict(solid=True)  # the 3-D view shows this trace too


def edged_marker(color: str, symbol: str = "circle", size: int = 12, edge: float = 1.5) -> dict:
    """Return a marker with a black edge, so that a pale colour is seen too."""
    return dict(symbol=symbol, size=size, color=color, line=dict(width=edge, color=BLACK))


def draw_handle(panel: Panel, k: int = 0) -> None:
    """Draw the handle of the ``k``-th draggable point."""
    marker = dict(symbol="circle-cross", size=19, color=WHITE, line=dict(width=2.5, color=BLACK))
    panel.add(go.Scatter(uid=f"point-{k}", mode="markers", marker=marker, meta=SOLID))


def draw_edged_line(panel: Panel, uid: str, color: str = PATH, dash: str = "solid") -> None:
    """Draw a line framed in black, so that a pale colour is seen on any ground."""
    panel.add(go.Scatter(uid=f"{uid}-edge", mode="lines", line=dict(color=BLACK, width=6)))
    line = dict(color=color, width=3.5, dash=dash)
    panel.add(go.Scatter(uid=uid, mode="lines", line=line, meta=SOLID))


class Path:
    """A path with arrowheads on the way and a diamond at its end."""

    def __init__(self, panel: Panel):
        draw_edged_line(panel, "path")
        heads = dict(symbol="arrow", angleref="previous", size=[0, 15] * len(ARROWS), color=PATH, opacity=1)
        heads |= dict(line=dict(width=1.3, color=BLACK))
        panel.add(go.Scatter(uid="path-heads", mode="markers", marker=heads))
        diamond = edged_marker(PATH, "diamond", size=15)
        panel.add(go.Scatter(uid="end", mode="markers", marker=diamond, meta=SOLID))

    def at(self, path: Tensor) -> dict[str, Tensor]:
        """Return the points of the path (N, S, 2)."""
        last = path.shape[-2] - 1
        places = torch.tensor([max(1, round(share * last)) for share in ARROWS])
        heads = torch.stack([path[:, places - 1], path[:, places]], 2).flatten(1, 2)
        thin = thin_path(path)
        return {"path": thin, "path-edge": thin, "path-heads": heads, "end": path[:, -1:]}
