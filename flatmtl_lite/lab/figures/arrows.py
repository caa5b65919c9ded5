"""Arrows."""

import plotly.graph_objects as go


def arrow(uid: str, color: str, dash: str = "solid", width: float = 3.5, **options) -> go.Scatter:
    """Draw an arrow from its first point to its last."""
    return go.Scatter(
        uid=uid,
        mode="lines+markers",
        x=[0, 0],
        y=[0, 1],
        line=dict(color=color, dash=dash, width=width),
        marker=dict(symbol="arrow", angleref="previous", size=[0, 9 + 2 * width], color=color, opacity=1),
        **options,
    )
