"""Figures of notebook 06: several measures of flatness, and calibration."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .style import BLACK, GREY, TASKS, TEMPLATE, line


def measure_dots(
    panels: Mapping[str, Mapping[str, Sequence[float]]], accuracy: Mapping[str, Sequence[float]]
):
    """Test accuracy against several measures of flatness: a panel a measure, a dot a network.

    Args:
        panels: title -> run name -> values, one a seed.
        accuracy: run name -> test accuracy in per cent, one a seed.
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
    """Rise of the loss against the radius of the ball, both on logarithmic axes, a panel a ball.

    Args:
        panels: title -> (radii, run name -> a rise a radius).
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


def reliability_diagram(
    panels: Mapping[str, Sequence[tuple]], tasks: Sequence[str], least: int = 20
) -> go.Figure:
    """Accuracy against confidence in bins; on the diagonal a network is as often right as it says.

    Args:
        panels: title -> per task (number of images, mean confidence, accuracy) of each bin.
        tasks: names of the tasks.
        least: bins with fewer images are left out.
    """
    figure = make_subplots(
        1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.03
    )
    diagonal = dict(mode="lines", line=dict(color=GREY, dash="dot", width=2))
    for column, diagrams in enumerate(panels.values(), 1):
        first = dict(showlegend=column == 1)
        figure.add_scatter(
            x=[0, 1], y=[0, 1], name="as right as it says", **diagonal, **first, row=1, col=column
        )
        for k, (count, confidence, accuracy) in enumerate(diagrams):
            full = [b for b, n in enumerate(count) if n >= least]
            figure.add_scatter(
                x=[round(float(confidence[b]), 4) for b in full],
                y=[round(float(accuracy[b]), 4) for b in full],
                name=tasks[k],
                mode="lines+markers",
                line=dict(color=TASKS[k], dash=("solid", "dash")[k], width=2.5),
                marker=dict(color=TASKS[k], symbol=("circle", "square")[k], size=9),
                **first,
                row=1,
                col=column,
            )
    figure.update_xaxes(range=[0, 1.02], title_text="confidence", title_standoff=8).update_yaxes(
        range=[0, 1.02]
    )
    figure.update_yaxes(title_text="accuracy", col=1).update_annotations(font_size=15)
    return figure.update_layout(template=TEMPLATE, height=430, margin_t=90, margin_b=75, legend_y=1.1)
