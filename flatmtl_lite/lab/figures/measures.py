"""Several measures of flatness."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .style import BLACK, TEMPLATE, line


def measure_dots(
    panels: Mapping[str, Mapping[str, Sequence[float]]], accuracy: Mapping[str, Sequence[float]]
) -> go.Figure:
    """Draw test accuracy against several measures of flatness: one panel per measure, one dot per network.

    Args:
        panels: title -> run name -> values, one per seed.
        accuracy: run name -> test accuracy in per cent, one per seed.
    """
    figure = make_subplots(
        1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.03
    )
    for column, runs in enumerate(panels.values(), 1):
        for name, values in runs.items():
            look = line(name)["marker"] | dict(size=11, line=dict(width=1, color=BLACK))
            figure.add_scatter(
                x=list(values),
                y=list(accuracy[name]),
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="markers",
                marker=look,
                row=1,
                col=column,
            )
    figure.update_xaxes(rangemode="tozero", nticks=4).update_yaxes(title_text="test accuracy, %", col=1)
    figure.update_annotations(font_size=14)
    return figure.update_layout(template=TEMPLATE, height=440, margin_t=90, margin_b=75, legend_y=1.1)


def radius_curves(panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]]) -> go.Figure:
    """Draw the rise of the loss against the radius, both on logarithmic axes, one panel per kind of ball.

    Args:
        panels: title -> (radii, run name -> rises, one per radius).
    """
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.09)
    for column, (radii, runs) in enumerate(panels.values(), 1):
        for name, rises in runs.items():
            options = dict(name=name, legendgroup=name, showlegend=column == 1, mode="lines+markers")
            figure.add_scatter(x=list(radii), y=list(rises), **options, **line(name), row=1, col=column)
        figure.update_xaxes(tickvals=list(radii), row=1, col=column)
    figure.update_xaxes(type="log", title_text="radius ρ", title_standoff=8)
    figure.update_yaxes(type="log", exponentformat="none", dtick=1)
    figure.update_yaxes(title_text="rise of the training loss", col=1)
    return figure.update_layout(template=TEMPLATE, height=440, margin_t=90, margin_b=75, legend_y=1.1)
