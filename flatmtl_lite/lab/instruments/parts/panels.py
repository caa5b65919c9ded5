"""What the instruments share: panels beside a landscape, handles, paths, dials, arrows."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ....decomposition import Decomposition
from ....diagnostics import cosines
from ....toy import PROBLEMS, Problem
from ...figures.landscape import contours
from ...figures.style import BLACK, PARTS, PATH, TEMPLATE
from ...predictions.predict import Prediction
from ...stage.stage import Stage

POSITIONS = 81
PATH_POINTS = 61
RIGHT = 0.54  # where the panels beside the landscape begin
UNIT = dict(
    xaxis=dict(range=[-1.1, 1.1], visible=False), yaxis=dict(range=[-1.1, 1.1], visible=False), equal=True
)
DEGREES = dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticksuffix="°")
DIAL = dict(
    xaxis=dict(range=[-1.3, 1.3], visible=False), yaxis=dict(range=[-0.15, 1.3], visible=False), equal=True
)


def problem_named(name: str, tasks: int | None = None) -> Problem:
    fitting = [key for key, problem in PROBLEMS.items() if tasks in (None, problem.tasks)]
    if name not in fitting:
        raise ValueError(f"Got problem={name!r}; expected one of {', '.join(map(repr, fitting))}.")
    return PROBLEMS[name]


def position(value: float, positions: Tensor, name: str) -> int:
    """The slider position nearest to a value."""
    low, high = positions[0].item(), positions[-1].item()
    if not low <= value <= high:
        raise ValueError(f"Got {name}={value!r}; expected a number from {low:g} to {high:g}.")
    return (positions - value).abs().argmin().item()


def landscape_panels(problem: Problem, **panels: Mapping) -> tuple[go.Figure, dict[str, dict]]:
    """A figure with the landscape at the left and other panels, and the axes of each panel by its name."""
    (left, right), (bottom, top) = problem.window
    landscape = dict(
        x=(0, 0.47),
        y=(0, 1),
        title="",
        equal=True,
        xaxis=dict(range=[left, right]),
        yaxis=dict(range=[bottom, top]),
    )
    return panelled(contours(problem), landscape=landscape, **panels)


def panelled(traces: Sequence[go.Scatter], **panels: Mapping) -> tuple[go.Figure, dict[str, dict]]:
    """A figure of several panels, and the axes of each panel by its name.

    Args:
        traces: those of the first panel that never change, such as contours.
        panels: name -> x and y, the domains; title; xaxis and yaxis, what plotly is told of them; equal,
            whether a unit is as long on both.
    """
    figure = go.Figure(traces)
    on = {}
    for k, (name, panel) in enumerate(panels.items(), 1):
        number = "" if k == 1 else str(k)
        on[name] = dict(xaxis=f"x{number}", yaxis=f"y{number}")
        equal = (
            dict(scaleanchor=f"x{number}", constrain="domain", constraintoward="top")
            if panel.get("equal")
            else {}
        )
        x = dict(domain=panel["x"], anchor=f"y{number}", constrain="domain", **panel["xaxis"])
        y = dict(domain=panel["y"], anchor=f"x{number}", **equal, **panel["yaxis"])
        figure.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})
        figure.add_scatter(
            x=[None], y=[None], showlegend=False, **on[name]
        )  # axes are drawn for a trace alone
        middle = sum(panel["x"]) / 2
        look = dict(showarrow=False, xref="paper", yref="paper", xanchor="center", yanchor="bottom")
        figure.add_annotation(text=panel["title"], x=middle, y=panel["y"][1] + 0.01, font_size=14, **look)
    figure.update_xaxes(title_font_size=14, title_standoff=4).update_yaxes(
        title_font_size=14, title_standoff=4
    )
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
    return figure, on


def add_handle(figure: go.Figure, axes: Mapping, k: int = 0) -> None:
    """The handle of the ``k``-th draggable point."""
    marker = dict(symbol="circle-cross", size=17, color="white", line=dict(width=2.5, color=BLACK))
    figure.add_scatter(uid=f"point-{k}", mode="markers", marker=marker, showlegend=False, **axes)


def add_edged_line(figure: go.Figure, uid: str, axes: Mapping, **options) -> None:
    """A line in the colour of paths, which is pale, so the trace uid + "-edge" frames it in black."""
    edge = dict(color=BLACK, width=5.5)
    figure.add_scatter(uid=f"{uid}-edge", mode="lines", line=edge, showlegend=False, **axes)
    figure.add_scatter(uid=uid, mode="lines", line=dict(color=PATH, width=3), **options, **axes)


def add_path(figure: go.Figure, axes: Mapping) -> None:
    marker = dict(symbol="diamond", size=13, color=PATH, line=dict(width=1.5, color=BLACK))
    add_edged_line(figure, "path", axes, name="path")
    add_handle(figure, axes)
    figure.add_scatter(uid="end", mode="markers", marker=marker, showlegend=False, **axes)


def add_dial(figure: go.Figure, axes: Mapping) -> None:
    """A half circle from 0° at the right to 180° at the left; conflict is the left half."""
    turn = torch.linspace(0, math.pi, 61)
    x, y = turn.cos().tolist(), turn.sin().tolist()
    quiet = dict(showlegend=False, mode="lines")
    conflict = dict(fill="toself", fillcolor="rgba(213, 94, 0, 0.12)", line_width=0)
    figure.add_scatter(x=[0, *x[30:]], y=[0, *y[30:]], **conflict, **quiet, **axes)
    figure.add_scatter(x=x, y=y, line=dict(color="#444444", width=1.5), **quiet, **axes)
    places = {"0°": (1.18, 0), "90°": (0, 1.14), "180°": (-1.2, 0), "conflict": (-0.62, 0.3)}
    for text, (left, up) in places.items():
        figure.add_annotation(
            text=text, x=left, y=up, xref=axes["xaxis"], yref=axes["yaxis"], showarrow=False, font_size=13
        )


def staged(figure: go.Figure, compute, after: Prediction | None, **options) -> Stage:
    stage = Stage(figure, compute, **options)
    if after is not None:
        after.unlocks(stage)
    return stage


def circle(scale: Tensor | None) -> Tensor:
    """The unit circle, (49, 2); with ``scale`` (2,) the ellipse |θ| u of adaptive SAM."""
    turn = torch.linspace(0, 2 * math.pi, 49, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    return circle if scale is None else circle * scale.abs()


def arrow_points(tips: Tensor, tails: Tensor | None = None) -> Tensor:
    """Arrows (N, 2, 2) from tails (the origin) by ``tips`` (N, 2); NaN, so not drawn, where of no length."""
    tails = torch.zeros_like(tips) if tails is None else tails
    ends = torch.stack([tails, tails + tips], 1)
    return ends.masked_fill((tips.norm(dim=-1) < 1e-9)[:, None, None], torch.nan)


def walked(points: Tensor, origin: int = 0) -> Tensor:
    """Points (N, 2) as they are walked from the origin: in row k (N, N, 2) only those up to the k-th."""
    place = torch.arange(len(points))
    row = place.unsqueeze(-1)
    on_the_way = (place - origin) * (row - origin) >= 0
    on_the_way &= (place - origin).abs() <= (row - origin).abs()
    return points.expand(len(points), *points.shape).masked_fill(~on_the_way.unsqueeze(-1), torch.nan)


def thin(path: Tensor) -> Tensor:
    """At most ``PATH_POINTS`` of a path (..., S, 2), first and last among them."""
    kept = torch.linspace(0, path.shape[-2] - 1, min(path.shape[-2], PATH_POINTS)).round().long()
    return path[..., kept, :]


def part_angles(d: Decomposition) -> dict[str, Tensor]:
    """Degrees: between tasks (the largest) for the loss, flat and SAM parts, and within each task."""
    T = d.loss.shape[-2]
    C = cosines(torch.cat([d.loss, d.flat, d.sam], -2))
    zero = C.diagonal(dim1=-2, dim2=-1) == 0
    C = C.masked_fill(zero.unsqueeze(-1) | zero.unsqueeze(-2), torch.nan)
    degrees = torch.rad2deg(torch.acos(C))
    i, j = torch.triu_indices(T, T, offset=1)
    between = {f"between-{part}": degrees[:, k * T + i, k * T + j].amax(-1) for k, part in enumerate(PARTS)}
    return between | {f"within-{k}": degrees[:, k, T + k] for k in range(T)}


def degrees_text(angle: float) -> str:
    return "–" if math.isnan(angle) else f"{angle:.0f}°"


def conflict_text(angle: float) -> str:
    return " (conflict)" if angle > 90 else ""
