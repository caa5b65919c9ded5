"""A trail that grows with the slider, and a marker at its present end."""

import plotly.graph_objects as go
from torch import Tensor

from ...figures.style import PATH
from .path import SOLID, draw_edged_line, edged_marker
from .picture import Panel
from .points import growing_curve


class Trail:
    """The way so far, with a marker where it has come to. What lies ahead is not drawn."""

    def __init__(self, panel: Panel, uid: str):
        self.uid = uid
        draw_edged_line(panel, f"{uid}-trail")
        marker = edged_marker(PATH, size=14, edge=2)
        panel.add(go.Scatter(uid=uid, mode="markers", marker=marker, cliponaxis=False, meta=SOLID))

    def at(self, way: Tensor) -> dict[str, Tensor]:
        """Return the points for the place (N, 2) at each slider position."""
        trail = growing_curve(way)
        return {self.uid: way[:, None], f"{self.uid}-trail": trail, f"{self.uid}-trail-edge": trail}
