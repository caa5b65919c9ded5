"""The rules instrument: one ρ, one aggregator, and the five ways to use it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import IMTLG, MGDA, CAGrad, Mean, PCGrad
from ...decomposition import RULES, combine
from ...toy import Method, decompose, descend
from ..figures.landscape import arrow
from ..figures.parting import degrees
from ..figures.style import BLACK
from ..figures.style import RULES as LOOKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import (
    DEGREES,
    RIGHT,
    UNIT,
    add_handle,
    arrow_points,
    degrees_text,
    landscape_panels,
    position,
    problem_named,
    staged,
    thin,
    walked,
)

# the two to be compared are drawn last, so that no other lies on them
DRAWN = ("second", "each", "erm", "direct", "decomposed")
RADII = 41  # half of what the other instruments have: five paths for each
# called anew for each rule: an aggregator that draws at random begins with the same seed
AGGREGATES = {"PCGrad": PCGrad, "MGDA": MGDA, "CAGrad": CAGrad, "IMTL-G": IMTLG, "mean": Mean}


def rules_instrument(
    problem: str = "triangle",
    rho: float = 0.0,
    point: Sequence[float] | None = None,
    aggregate: str = "PCGrad",
    after: Prediction | None = None,
) -> Stage:
    """The directions of the five rules at one point, their angles, and the five paths from there.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``.
        rho: where the slider begins; the nearest of its positions is taken.
        point: θ, where the directions are taken and the descents begin, (x, y); can be dragged.
        aggregate: one of ``AGGREGATES``.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the point lies outside the picture.
    """
    landscape = problem_named(problem)
    rhos = torch.linspace(0, landscape.rho, RADII, dtype=torch.float64)
    against_rho = dict(range=[0, landscape.rho], title="ρ")
    (left, right), (bottom, top) = landscape.window
    farthest = 0.5 * ((right - left) ** 2 + (top - bottom) ** 2) ** 0.5
    figure, on = landscape_panels(
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
    figure.update_layout(height=520, margin_b=48, legend2_x=0.38)
    add_handle(figure, on["landscape"])
    for rule in DRAWN:
        look, place = LOOKS[rule], list(LOOKS).index(rule)
        line = dict(color=look["color"], dash=look["dash"], width=3)
        known = dict(name=rule, legend="legend2", legendrank=place)
        figure.add_scatter(uid=f"path-{rule}", mode="lines", line=line, **known, **on["landscape"])
        figure.add_trace(
            arrow(f"arrow-{rule}", look["color"], look["dash"], showlegend=False, **on["directions"])
        )
    for rule in ("direct", "second", "each"):
        line = dict(color=LOOKS[rule]["color"], dash=LOOKS[rule]["dash"], width=3)
        quiet = dict(mode="lines", line=line, showlegend=False)
        figure.add_scatter(uid=f"angle-{rule}", **quiet, **on["angle"])
        if rule == "direct":
            figure.add_scatter(uid="way", **quiet, **on["way"])
            figure.add_scatter(uid="ends", **quiet, **on["ends"])
    edge = dict(line=dict(width=1.5, color=BLACK))
    marks = {key: [LOOKS[rule][key] for rule in DRAWN] for key in ("color", "symbol")}
    figure.add_scatter(
        uid="end", mode="markers", marker=marks | edge | dict(size=12), showlegend=False, **on["landscape"]
    )
    here = dict(
        mode="markers",
        marker=dict(size=10, color=LOOKS["direct"]["color"]) | edge,
        cliponaxis=False,
        showlegend=False,
    )
    figure.add_scatter(uid="angle-here", **here, **on["angle"])
    figure.add_scatter(uid="ends-here", **here, **on["ends"])

    def compute(choice: str, point: tuple[float, float]) -> Table:
        methods = {rule: Method(AGGREGATES[choice](), rule) for rule in RULES}
        theta = torch.tensor(point, dtype=torch.float64).expand(RADII, 2)
        paths = dict(zip(RULES, descend(landscape, theta, rhos, list(methods.values())), strict=True))

        def directions(points: Tensor, radii: Tensor, rules: Sequence[str]) -> dict[str, Tensor]:
            d = decompose(landscape, points, radii, methods["decomposed"])
            return {rule: combine(d, AGGREGATES[choice](), rule) for rule in rules}

        here = directions(theta, rhos, tuple(RULES))
        longest = torch.stack(list(here.values())).norm(dim=-1).amax().clamp_min(1e-12)
        walk = thin(paths["decomposed"])
        on_way = directions(walk, rhos[:, None].expand(walk.shape[:-1]), ("direct", "decomposed"))
        way = degrees(on_way["direct"], on_way["decomposed"])
        steps = torch.linspace(0, landscape.steps, walk.shape[-2], dtype=torch.float64)
        gap = (paths["direct"][:, -1] - paths["decomposed"][:, -1]).norm(dim=-1)
        traces = {
            "end": torch.stack([paths[rule][:, -1] for rule in DRAWN], 1),
            "way": torch.stack([steps.expand_as(way), way], -1),
            "ends": walked(torch.stack([rhos, gap], -1)),  # a curve to be found, not to be seen at once
            "ends-here": torch.stack([rhos, gap], -1).unsqueeze(1),
        }
        for rule, path in paths.items():
            traces[f"path-{rule}"] = thin(path[:1] if rule == "erm" else path)
            traces[f"arrow-{rule}"] = arrow_points(here[rule] / longest)
        for rule in ("direct", "second", "each"):
            curve = torch.stack([rhos, degrees(here[rule], here["decomposed"])], -1)
            traces[f"angle-{rule}"] = curve[None]
            if rule == "direct":
                traces["angle-here"] = curve.unsqueeze(1)
        states = [
            f"ρ = {value:.4g}, {choice}: direct and decomposed {degrees_text(angle)} apart at θ, "
            f"up to {degrees_text(most)} on the way; their ends {distance:.2f} apart."
            for value, angle, most, distance in zip(
                rhos.tolist(),
                traces["angle-here"][:, 0, 1].tolist(),
                way.nan_to_num(0.0).amax(-1).tolist(),
                gap.tolist(),
                strict=True,
            )
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
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
