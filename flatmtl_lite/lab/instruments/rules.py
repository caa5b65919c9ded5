"""The rules instrument: one ρ, one aggregator, and the five ways to use it."""

from collections.abc import Mapping, Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import IMTLG, MGDA, CAGrad, Mean, PCGrad
from ...decomposition import RULES, combine
from ...toy import Method, Problem, decompose, descend
from ..figures.arrows import arrow
from ..figures.parting import degrees
from ..figures.style import BLACK
from ..figures.style import RULES as LOOKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import degrees_text
from .parts.arrows import arrow_points
from .parts.marks import add_handle
from .parts.opening import find_problem, open_stage, position
from .parts.panels import DEGREES, RIGHT, UNIT, Axes, landscape_panels
from .parts.points import curve_points, growing_curve, thin_path

# The two rules that the learner compares are drawn last, so that no other rule hides them.
DRAWN = ("second", "each", "erm", "direct", "decomposed")
AGAINST_DECOMPOSED = ("direct", "second", "each")
RADII = 41  # half as many as the other instruments have, since each needs five paths
# Each rule makes a new aggregator, so that one with random draws begins with the same seed.
AGGREGATES = {"PCGrad": PCGrad, "MGDA": MGDA, "CAGrad": CAGrad, "IMTL-G": IMTLG, "mean": Mean}


def rules_instrument(
    problem: str = "triangle",
    rho: float = 0.0,
    point: Sequence[float] | None = None,
    aggregate: str = "PCGrad",
    after: Prediction | None = None,
) -> Stage:
    """Show the directions of the five rules at one point, their angles, and the five paths from there.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``.
        rho: the slider begins at its position nearest to this ρ.
        point: θ, (x, y): the directions are taken here and the descents begin here. The learner can drag it.
        aggregate: one of ``AGGREGATES``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the point lies outside the picture.
    """
    landscape = find_problem(problem)
    rhos = torch.linspace(0, landscape.rho, RADII, dtype=torch.float64)
    return open_stage(
        _figure(landscape),
        partial(_table, landscape, rhos),
        recipe=f"lab.rules_instrument({problem!r}, rho={{value}}, point={{point}}, aggregate={{choice}})",
        title="Rules instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(AGGREGATES),
        choice=aggregate,
        choice_label="aggregator",
        points={"θ": landscape.starts[0] if point is None else point},
        after=after,
    )


def directions(
    landscape: Problem, points: Tensor, rhos: Tensor, aggregate: str, rules: Sequence[str]
) -> dict[str, Tensor]:
    """Return the direction (..., 2) of each rule at points (..., 2) with radii (...)."""
    d = decompose(landscape, points, rhos, Method(AGGREGATES[aggregate](), "decomposed"))
    return {rule: combine(d, AGGREGATES[aggregate](), rule) for rule in rules}


def _table(landscape: Problem, rhos: Tensor, choice: str, point: tuple[float, float]) -> Table:
    theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
    methods = [Method(AGGREGATES[choice](), rule) for rule in RULES]
    paths = dict(zip(RULES, descend(landscape, theta, rhos, methods), strict=True))
    here = directions(landscape, theta, rhos, choice, tuple(RULES))
    walk = thin_path(paths["decomposed"])
    radii = rhos[:, None].expand(walk.shape[:-1])
    on_the_way = directions(landscape, walk, radii, choice, ("direct", "decomposed"))
    way = degrees(on_the_way["direct"], on_the_way["decomposed"])
    steps = torch.linspace(0, landscape.steps, walk.shape[-2], dtype=torch.float64)
    distance = (paths["direct"][:, -1] - paths["decomposed"][:, -1]).norm(dim=-1)
    traces = {
        "end": torch.stack([paths[rule][:, -1] for rule in DRAWN], 1),
        "way": torch.stack([steps.expand_as(way), way], -1),
        "ends": growing_curve(torch.stack([rhos, distance], -1)),
        "ends-here": torch.stack([rhos, distance], -1).unsqueeze(1),
    }
    for rule, path in paths.items():
        traces[f"path-{rule}"] = thin_path(path[:1] if rule == "erm" else path)
    states = [
        f"ρ = {value:.4g}, {choice}: direct and decomposed {degrees_text(angle)} apart at θ, "
        f"up to {degrees_text(most)} on the way; their ends {gap:.2f} apart."
        for value, angle, most, gap in zip(
            rhos.tolist(),
            degrees(here["direct"], here["decomposed"]).tolist(),
            way.nan_to_num(0.0).amax(-1).tolist(),
            distance.tolist(),
            strict=True,
        )
    ]
    return Table(traces | _at_theta(here, rhos), states)


def _at_theta(here: Mapping[str, Tensor], rhos: Tensor) -> dict[str, Tensor]:
    """Return the arrows of the rules at θ, and their angles with the decomposed direction against ρ."""
    longest = torch.stack(list(here.values())).norm(dim=-1).amax().clamp_min(1e-12)
    traces = {f"arrow-{rule}": arrow_points(direction / longest) for rule, direction in here.items()}
    for rule in AGAINST_DECOMPOSED:
        curve, dot = curve_points(rhos, degrees(here[rule], here["decomposed"]))
        traces[f"angle-{rule}"] = curve
        if rule == "direct":
            traces["angle-here"] = dot
    return traces


def _figure(landscape: Problem) -> go.Figure:
    figure, axes = _panels(landscape)
    figure.update_layout(height=520, margin_b=48, legend2_x=0.38)
    add_handle(figure, axes["landscape"])
    for rule in DRAWN:
        look, place = LOOKS[rule], list(LOOKS).index(rule)
        line = dict(color=look["color"], dash=look["dash"], width=3)
        legend = dict(name=rule, legend="legend2", legendrank=place)
        figure.add_scatter(uid=f"path-{rule}", mode="lines", line=line, **legend, **axes["landscape"])
        figure.add_trace(
            arrow(f"arrow-{rule}", look["color"], look["dash"], showlegend=False, **axes["directions"])
        )
    for rule in AGAINST_DECOMPOSED:
        line = dict(color=LOOKS[rule]["color"], dash=LOOKS[rule]["dash"], width=3)
        quiet = dict(mode="lines", line=line, showlegend=False)
        figure.add_scatter(uid=f"angle-{rule}", **quiet, **axes["angle"])
        if rule == "direct":
            figure.add_scatter(uid="way", **quiet, **axes["way"])
            figure.add_scatter(uid="ends", **quiet, **axes["ends"])
    edge = dict(line=dict(width=1.5, color=BLACK))
    marks = {key: [LOOKS[rule][key] for rule in DRAWN] for key in ("color", "symbol")}
    ends = dict(mode="markers", marker=marks | edge | dict(size=12), showlegend=False)
    figure.add_scatter(uid="end", **ends, **axes["landscape"])
    dot = dict(size=10, color=LOOKS["direct"]["color"]) | edge
    here = dict(mode="markers", marker=dot, cliponaxis=False, showlegend=False)
    figure.add_scatter(uid="angle-here", **here, **axes["angle"])
    figure.add_scatter(uid="ends-here", **here, **axes["ends"])
    return figure


def _panels(landscape: Problem) -> tuple[go.Figure, Axes]:
    against_rho = dict(range=[0, landscape.rho], title="ρ")
    (left, right), (bottom, top) = landscape.window
    farthest = 0.5 * ((right - left) ** 2 + (top - bottom) ** 2) ** 0.5
    return landscape_panels(
        landscape,
        directions=dict(x=(RIGHT, 0.74), y=(0.57, 0.97), title="directions at θ", **UNIT),
        angle=dict(x=(0.82, 1), y=(0.6, 0.97), title="angles at θ", xaxis=against_rho, yaxis=DEGREES),
        way=dict(
            x=(RIGHT + 0.04, 0.74),
            y=(0.03, 0.4),
            title="angle on the way",
            xaxis=dict(range=[0, landscape.steps], title="step"),
            yaxis=DEGREES,
        ),
        ends=dict(
            x=(0.82, 1),
            y=(0.03, 0.4),
            title="distance of the ends",
            xaxis=against_rho,
            yaxis=dict(range=[0, farthest]),
        ),
    )
