"""Figures made of several panels, and the axes of each panel."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ....toy import Problem
from ...figures.landscape import ground
from ...figures.style import TEMPLATE

RIGHT = 0.54  # where the panels to the right of a landscape begin
UNIT = dict(
    xaxis=dict(range=[-1.1, 1.1], visible=False), yaxis=dict(range=[-1.1, 1.1], visible=False), equal=True
)
DEGREES = dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticksuffix="°")

Axes = dict[str, dict[str, str]]  # name of a panel -> the names of its axes, as plotly takes them


def landscape_panels(problem: Problem, **panels: Mapping) -> tuple[go.Figure, Axes]:
    """Return a figure with the landscape at the left and other panels, and the axes of each panel."""
    (left, right), (bottom, top) = problem.window
    landscape = dict(
        x=(0, 0.47),
        y=(0, 1),
        title="",
        equal=True,
        xaxis=dict(range=[left, right]),
        yaxis=dict(range=[bottom, top]),
    )
    return panel_figure([ground(problem)], landscape=landscape, **panels)


def panel_figure(traces: Sequence[go.Scatter], **panels: Mapping) -> tuple[go.Figure, Axes]:
    """Return a figure of several panels, and the axes of each panel by its name.

    Args:
        traces: traces of the first panel that never change, such as contours.
        panels: name -> a mapping with "x" and "y" (the domains), "title", "xaxis" and "yaxis" (options for
            plotly), and "equal" (True if one unit is as long on both axes).
    """
    figure = go.Figure(traces)
    axes: Axes = {}
    for k, (name, panel) in enumerate(panels.items(), 1):
        number = "" if k == 1 else str(k)
        axes[name] = dict(xaxis=f"x{number}", yaxis=f"y{number}")
        _add_panel(figure, number, panel)
        # plotly draws axes only if a trace uses them
        figure.add_scatter(x=[None], y=[None], showlegend=False, **axes[name])
        _add_title(figure, panel)
    figure.update_xaxes(title_font_size=14, title_standoff=4)
    figure.update_yaxes(title_font_size=14, title_standoff=4)
    fixed = dict(orientation="h", x=0, font_size=13, itemclick=False, itemdoubleclick=False)
    figure.update_layout(
        template=TEMPLATE,
        height=550,
        margin=dict(l=50, r=15, t=55, b=72, autoexpand=False),
        dragmode=False,
        hovermode=False,
        legend=fixed | dict(y=1.01, yanchor="bottom"),
        legend2=fixed | dict(x=RIGHT, y=1.05, yanchor="bottom"),
        legend3=fixed | dict(x=RIGHT, y=-0.02, yanchor="top"),
        legend4=fixed | dict(x=RIGHT, y=-0.08, yanchor="top"),
    )
    return figure, axes


def _add_panel(figure: go.Figure, number: str, panel: Mapping) -> None:
    same_unit = dict(scaleanchor=f"x{number}", constrain="domain", constraintoward="top")
    equal = same_unit if panel.get("equal") else {}
    x = dict(domain=panel["x"], anchor=f"y{number}", constrain="domain", **panel["xaxis"])
    y = dict(domain=panel["y"], anchor=f"x{number}", **equal, **panel["yaxis"])
    figure.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})


def _add_title(figure: go.Figure, panel: Mapping) -> None:
    middle = sum(panel["x"]) / 2
    look = dict(showarrow=False, xref="paper", yref="paper", xanchor="center", yanchor="bottom")
    figure.add_annotation(text=panel["title"], x=middle, y=panel["y"][1] + 0.01, font_size=14, **look)
