"""Parts in a picture, for the tests of parts."""

import plotly.graph_objects as go

from flatmtl_lite.lab.instruments.parts.panel import Panel
from flatmtl_lite.lab.instruments.parts.picture import Picture


def drawn(panel: Panel) -> dict[str, go.Scatter]:
    """Put a panel into a picture, and return its traces by their uid."""
    return {trace.uid: trace for trace in Picture(panel, [[Panel()]]).figure().data if trace.uid}


def moving(panel: Panel) -> dict:
    """Put a panel into a picture, and return the points of its traces that the slider moves."""
    return Picture(panel, [[Panel()]]).traces()


def resting(panel: Panel) -> list[go.Scatter]:
    """The traces of a panel that the slider does not move."""
    return [trace for trace in (make() for make in panel.parts) if trace.uid is None]


def pixels(panel: Panel, points):
    """Points (..., 2) in pixels."""
    x, y = panel.unit
    return panel.paper(points) * points.new_tensor([x, y])
