"""Instruments: one slider and several linked views, computed by the core that trains networks."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ..aggregation import Mean, PCGrad
from ..decomposition import Decomposition, erm
from ..diagnostics import ascent_step, cosines
from ..perturbation import worst_case
from ..toy import PROBLEMS, Method, Problem, decompose, descend, epsilon
from .landscape import arrow, contours, front, grid
from .predictions import Prediction
from .stage import Stage, Table
from .style import BLACK, FLAT, GREY, PARTS, PATH, SAM, TASKS, TEMPLATE

POSITIONS = 81
PATH_POINTS = 61
# made anew for each table: an aggregator that draws at random begins with the same seed
DESCENTS = {"mean": lambda: Method(Mean(), "erm"), "PCGrad": lambda: Method(PCGrad(), "erm")}
FLAT_DESCENTS = {
    "mean, one ε for all": lambda: Method(Mean(), "direct", "mean"),
    "mean, ε per task": lambda: Method(Mean(), "direct"),
    "mean, adaptive ε": lambda: Method(Mean(), "direct", adaptive=True),
    "PCGrad, direct": lambda: Method(PCGrad(), "direct"),
    "PCGrad, decomposed": lambda: Method(PCGrad()),
}
# which task's loss (None: the mean), and whether the ball is adaptive SAM's ellipse
BALLS = {
    "mean loss": (None, False),
    "task 1": (0, False),
    "task 2": (1, False),
    "mean loss, adaptive": (None, True),
}


def descent_instrument(
    problem: str = "ridges",
    step: int = 0,
    start: Sequence[float] | None = None,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """One slider walks down the path: gradients, their angle, the losses and the Pareto front move along.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``; two tasks.
        step: where the slider begins; the nearest of its positions is taken.
        start: where the descent begins, (x, y); can be dragged.
        method: "mean" or "PCGrad".
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: a name is unknown, or the step or the start lies outside the picture.
    """
    landscape = _problem(problem, tasks=2)
    steps = torch.linspace(0, landscape.steps, POSITIONS, dtype=torch.float64).round().long()
    losses = grid(landscape)[2].flatten(0, 1)
    low, high = losses.amin(0), losses.quantile(0.98, 0)
    low, high = (low - 0.05 * (high - low)).tolist(), high.tolist()
    figure, on = _panels(
        landscape,
        gradients=dict(x=(_RIGHT, 0.75), y=(0.56, 1), title="gradients here", **_UNIT),
        angle=dict(
            x=(0.82, 1),
            y=(0.62, 1),
            title="their angle",
            xaxis=dict(range=[0, landscape.steps], title="step"),
            yaxis=_DEGREES,
        ),
        plane=dict(
            x=(0.6, 1),
            y=(0.02, 0.42),
            title="the two losses; dotted: Pareto front",
            xaxis=dict(range=[low[0], high[0]], title="loss of task 1"),
            yaxis=dict(range=[low[1], high[1]], title="loss of task 2"),
        ),
    )
    for points, axes in zip(front(landscape), (on["landscape"], on["plane"]), strict=True):
        look = dict(color=BLACK, dash="dot", width=3)
        figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="lines", line=look, showlegend=False, **axes)
    _add_handle(figure, on["landscape"])
    here = dict(symbol="circle", size=13, color=PATH, line=dict(width=2, color=BLACK))
    for uid, panel, color in (
        ("here", "landscape", PATH),
        ("losses", "plane", PATH),
        ("angle", "angle", GREY),
    ):
        trail = dict(mode="lines", line=dict(color=color, width=3), name="path", showlegend=uid == "here")
        figure.add_scatter(uid=f"{uid}-trail", **trail, **on[panel])
        figure.add_scatter(
            uid=uid, mode="markers", marker=here, cliponaxis=False, showlegend=False, **on[panel]
        )
    names = {"gradient-1": "task 1", "gradient-2": "task 2", "direction": "direction"}
    looks = ((TASKS[0], "solid"), (TASKS[1], "dash"), (BLACK, "dot"))
    for (uid, name), (color, dash) in zip(names.items(), looks, strict=True):
        figure.add_trace(arrow(uid, color, dash, name=name, legend="legend2", **on["gradients"]))

    def compute(choice: str, point: tuple[float, float]) -> Table:
        method = DESCENTS[choice]()
        path = descend(landscape, point, 0.0, [method])[0]
        G = landscape.gradients(path.unsqueeze(-2))
        direction = erm(Decomposition(G), method.aggregate)
        degrees = torch.rad2deg(torch.acos(cosines(G)[:, 0, 1]))
        rows = torch.cat([G, direction.unsqueeze(-2)], -2)[steps]
        rows = rows / rows.norm(dim=-1, keepdim=True).amax(-2, keepdim=True).clamp_min(1e-12)
        values = landscape.losses(path.unsqueeze(-2))
        curve = torch.stack([torch.arange(len(path), dtype=path.dtype), degrees], -1)
        traces = {"point": path[None, :1]}
        for uid, points in (("here", path), ("losses", values), ("angle", curve)):
            traces[uid], traces[f"{uid}-trail"] = points[steps].unsqueeze(1), _trail(points[steps])
        traces |= {uid: _arrow(row) for uid, row in zip(names, rows.unbind(1), strict=True)}
        states = [
            f"Step {s} of {choice} at ({x:.2f}, {y:.2f}): gradients {a:.0f}° apart{_conflict(a)}; "
            f"losses {one:.2f} and {two:.2f}."
            for s, (x, y), a, (one, two) in zip(
                steps.tolist(),
                path[steps].tolist(),
                degrees[steps].tolist(),
                values[steps].tolist(),
                strict=True,
            )
        ]
        return Table(traces, states)

    return _stage(
        figure,
        compute,
        recipe=f"lab.descent_instrument({problem!r}, step={{value}}, start={{point}}, method={{choice}})",
        title="Descent instrument",
        label="step",
        values=[str(s) for s in steps.tolist()],
        index=_position(step, steps, "step"),
        choices=list(DESCENTS),
        choice=method,
        point=landscape.starts[0] if start is None else start,
        after=after,
    )


def rho_instrument(
    problem: str = "valleys",
    rho: float = 0.0,
    start: Sequence[float] | None = None,
    method: str = "mean, ε per task",
    after: Prediction | None = None,
) -> Stage:
    """One ρ moves the perturbed points, the loss, flat and SAM arrows, the angles, and the whole path.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``.
        rho: where the slider begins; the nearest of its positions is taken.
        start: where the descent begins, (x, y); can be dragged.
        method: one of ``FLAT_DESCENTS``.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the start lies outside the picture.
    """
    landscape = _problem(problem)
    tasks = range(landscape.tasks)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    width = (1 - _RIGHT) / landscape.tasks
    arrows = {
        f"task {k + 1}": dict(
            x=(_RIGHT + k * width, _RIGHT + (k + 1) * width), y=(0.57, 1), title=f"task {k + 1}", **_UNIT
        )
        for k in tasks
    }
    figure, on = _panels(
        landscape,
        **arrows,
        dial=dict(x=(_RIGHT, 0.74), y=(0.08, 0.47), title="angles at this ρ", **_DIAL),
        curve=dict(
            x=(0.81, 1),
            y=(0.08, 0.47),
            title="angle against ρ",
            xaxis=dict(range=[0, landscape.rho], title="ρ"),
            yaxis=_DEGREES,
        ),
    )
    _add_path(figure, on["landscape"])
    figure.add_scatter(
        uid="ball",
        mode="lines",
        line=dict(color=SAM, width=2, dash="dot"),
        showlegend=False,
        **on["landscape"],
    )
    for k in tasks:
        marker = dict(size=[0, 11], color=TASKS[k], symbol="star", line=dict(width=1, color=BLACK))
        figure.add_scatter(
            uid=f"perturbed-{k}",
            name="θ+ε",
            showlegend=k == 0,
            mode="lines+markers",
            line=dict(color=TASKS[k], width=2),
            marker=marker,
            **on["landscape"],
        )
        for part, look in PARTS.items():
            name = "SAM = loss + flat" if part == "sam" else part
            panel = on[f"task {k + 1}"]
            figure.add_trace(
                arrow(f"{part}-{k}", **look, name=name, showlegend=k == 0, legend="legend2", **panel)
            )
    _add_dial(figure, on["dial"])
    between = "between tasks: " if landscape.tasks == 2 else "largest between: "
    for legend, text in (("legend3", between), ("legend4", "within, loss to flat: ")):
        figure.update_layout({legend: dict(title=dict(text=text, side="left", font_size=13))})
    shown = {
        f"between-{part}": ("SAM" if part == "sam" else part, look, "legend3") for part, look in PARTS.items()
    }
    for k in tasks:
        shown[f"within-{k}"] = (f"task {k + 1}", dict(color=TASKS[k], dash="dashdot"), "legend4")
    for uid, (label, look, legend) in shown.items():
        line = look | dict(width=3)
        figure.add_scatter(uid=f"{uid}-needle", mode="lines", line=line, showlegend=False, **on["dial"])
        figure.add_scatter(
            uid=f"{uid}-curve", mode="lines", line=line, name=label, legend=legend, **on["curve"]
        )
        here = dict(size=9, color=look["color"], line=dict(width=1.5, color=BLACK))
        figure.add_scatter(
            uid=f"{uid}-here", mode="markers", marker=here, cliponaxis=False, showlegend=False, **on["curve"]
        )

    def compute(choice: str, point: tuple[float, float]) -> Table:
        method = FLAT_DESCENTS[choice]()
        theta = torch.tensor(point, dtype=torch.float64).expand(POSITIONS, 2)
        d = decompose(landscape, theta, rhos, method)
        path = descend(landscape, theta, rhos, [method])[0]
        ends = landscape.losses(path[:, -1:])
        eps = epsilon(d.loss, theta, rhos, method).expand_as(d.loss)
        longest = torch.cat([d.loss, d.sam], 1).norm(dim=-1).amax()
        loss, flat, sam = (rows / longest for rows in (d.loss, d.flat, d.sam))
        traces = {
            "point": theta[None, :1],
            "path": _thin(path),
            "end": path[:, -1:],
            "ball": theta[:1] + rhos[:, None, None] * _circle(theta[0] if method.adaptive else None),
        }
        for k in tasks:
            traces[f"perturbed-{k}"] = torch.stack([theta, theta + eps[:, k]], 1)
            traces[f"loss-{k}"] = _arrow(loss[:1, k])
            traces[f"flat-{k}"] = _arrow(flat[:, k], loss[:, k])
            traces[f"sam-{k}"] = _arrow(sam[:, k])
        degrees = _part_angles(d)
        for uid, angle in degrees.items():
            radians = torch.deg2rad(angle)
            curve = torch.stack([rhos, angle], -1)
            traces[f"{uid}-needle"] = _arrow(torch.stack([radians.cos(), radians.sin()], -1))
            traces[f"{uid}-curve"], traces[f"{uid}-here"] = curve[None], curve.unsqueeze(1)
        states = [
            f"ρ = {value:.4g}, {choice}: SAM gradients {_degrees(sams)} apart, "
            f"loss parts {_degrees(losses)}, flat parts {_degrees(flats)}. "
            f"The path ends at ({x:.2f}, {y:.2f}), mean loss {mean:.3f}."
            for value, sams, losses, flats, (x, y), mean in zip(
                rhos.tolist(),
                *(degrees[f"between-{part}"].tolist() for part in ("sam", "loss", "flat")),
                path[:, -1].tolist(),
                ends.mean(-1).tolist(),
                strict=True,
            )
        ]
        return Table(traces, states)

    return _stage(
        figure,
        compute,
        recipe=f"lab.rho_instrument({problem!r}, rho={{value}}, start={{point}}, method={{choice}})",
        title="ρ instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=_position(rho, rhos, "rho"),
        choices=list(FLAT_DESCENTS),
        choice=method,
        point=landscape.starts[0] if start is None else start,
        after=after,
    )


def ball_instrument(
    problem: str = "valleys",
    rho: float = 0.0,
    point: Sequence[float] | None = None,
    loss: str = "mean loss",
    after: Prediction | None = None,
) -> Stage:
    """Sharpness as a picture: the ball ‖ε‖ <= ρ, the worst point in it by one step and by ten, the rise.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``; two tasks.
        rho: where the slider begins; the nearest of its positions is taken.
        point: θ, the centre of the ball, (x, y); can be dragged.
        loss: one of ``BALLS``.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the point lies outside the picture.
    """
    landscape = _problem(problem, tasks=2)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    along = torch.linspace(-1, 1, 121, dtype=torch.float64)
    values = grid(landscape)[2]
    low, high = values.min().item(), values.quantile(0.95).item()
    figure, on = _panels(
        landscape,
        line=dict(
            x=(0.6, 1),
            y=(0.62, 1),
            title="the loss through θ, along the one step",
            xaxis=dict(range=[-1.05 * landscape.rho, 1.05 * landscape.rho], title="distance from θ"),
            yaxis=dict(range=[low, high], title="loss"),
        ),
        rise=dict(
            x=(0.6, 1),
            y=(0.02, 0.42),
            title="sharpness: rise within the ball, against ρ",
            xaxis=dict(range=[0, landscape.rho], title="ρ"),
            yaxis=dict(range=[0, 0.6 * (high - low)], title="rise"),
        ),
    )
    looks = {
        "ball": ("ball of radius ρ", dict(color=GREY, dash="dot", width=2), None),
        "one": ("one step", dict(color=SAM, width=3), dict(symbol="star", color=SAM)),
        "ten": ("ten steps", dict(color=FLAT, width=3, dash="dash"), dict(symbol="diamond", color=FLAT)),
    }
    _add_handle(figure, on["landscape"])
    for uid, (name, line, _) in looks.items():
        figure.add_scatter(uid=uid, name=name, mode="lines", line=line, legend="legend2", **on["landscape"])
    figure.add_scatter(
        uid="section", mode="lines", line=dict(color=BLACK, width=2.5), showlegend=False, **on["line"]
    )
    for uid in ("one", "ten"):
        _, line, marker = looks[uid]
        marker = marker | dict(size=13, line=dict(width=1.5, color=BLACK))
        look = dict(mode="markers", marker=marker, cliponaxis=False, showlegend=False)
        figure.add_scatter(uid=f"{uid}-at", **look, **on["landscape"])
        figure.add_scatter(uid=f"{uid}-loss", **look, **on["line"])
        figure.add_scatter(uid=f"{uid}-rise", mode="lines", line=line, showlegend=False, **on["rise"])
        figure.add_scatter(uid=f"{uid}-here", **look, **on["rise"])

    def compute(choice: str, point: tuple[float, float]) -> Table:
        task, adaptive = BALLS[choice]

        def pick(rows: Tensor, dim: int) -> Tensor:
            return rows.mean(dim) if task is None else rows.select(dim, task)

        def value(points: Tensor) -> Tensor:
            return pick(landscape.losses(points.unsqueeze(-2)), -1)

        def slope(points: Tensor) -> Tensor:
            return pick(landscape.gradients(points.unsqueeze(-2)), -2)

        theta = torch.tensor(point, dtype=torch.float64).expand(POSITIONS, 2)
        # adaptive: the ball of u = ε/|θ|, in which the steps are plain
        scale = theta.abs() if adaptive else torch.ones_like(theta)
        one = worst_case(slope(theta), rhos.unsqueeze(-1), theta if adaptive else None)
        u, radius = torch.zeros_like(theta), rhos.unsqueeze(-1)
        ascent = [theta]
        for step in range(10):
            u = ascent_step(u, scale * slope(theta + scale * u), radius, first=step == 0)
            ascent.append(theta + scale * u)
        ascent = torch.stack(ascent, 1)
        worst = value(ascent).argmax(1)
        ten = ascent[torch.arange(POSITIONS), worst]
        here = value(theta)
        rises = {"one": value(theta + one) - here, "ten": value(ten) - here}
        unit = one[-1] / landscape.rho
        section = value(theta[:1] + landscape.rho * along.unsqueeze(-1) * unit)
        traces = {
            "point": theta[None, :1],
            "ball": theta[:1] + rhos[:, None, None] * _circle(theta[0] if adaptive else None),
            "one": torch.stack([theta, theta + one], 1),
            "ten": ascent,
            "section": torch.stack([landscape.rho * along, section], -1)[None],
        }
        for uid, where in (("one", theta + one), ("ten", ten)):
            traces[f"{uid}-at"] = where.unsqueeze(1)
            distance = (where - theta).norm(dim=-1)
            traces[f"{uid}-loss"] = torch.stack([distance, value(where)], -1).unsqueeze(1)
            curve = torch.stack([rhos, rises[uid]], -1)
            traces[f"{uid}-rise"], traces[f"{uid}-here"] = curve[None], curve.unsqueeze(1)
        states = [
            f"ρ = {r:.4g}, {choice} at ({point[0]:.2f}, {point[1]:.2f}): it rises by {a:.3f} after one step, "
            f"by {b:.3f} at the worst point that ten steps find."
            for r, a, b in zip(rhos.tolist(), rises["one"].tolist(), rises["ten"].tolist(), strict=True)
        ]
        return Table(traces, states)

    return _stage(
        figure,
        compute,
        recipe=f"lab.ball_instrument({problem!r}, rho={{value}}, point={{point}}, loss={{choice}})",
        title="Ball instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=_position(rho, rhos, "rho"),
        choices=list(BALLS),
        choice=loss,
        choice_label="loss",
        point=landscape.starts[0] if point is None else point,
        point_label="θ",
        after=after,
    )


_RIGHT = 0.54  # where the panels beside the landscape begin
_UNIT = dict(
    xaxis=dict(range=[-1.1, 1.1], visible=False), yaxis=dict(range=[-1.1, 1.1], visible=False), equal=True
)
_DEGREES = dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticksuffix="°")
_DIAL = dict(
    xaxis=dict(range=[-1.3, 1.3], visible=False), yaxis=dict(range=[-0.15, 1.3], visible=False), equal=True
)


def _problem(name: str, tasks: int | None = None) -> Problem:
    fitting = [key for key, problem in PROBLEMS.items() if tasks in (None, problem.tasks)]
    if name not in fitting:
        raise ValueError(f"Got problem={name!r}; expected one of {', '.join(map(repr, fitting))}.")
    return PROBLEMS[name]


def _position(value: float, positions: Tensor, name: str) -> int:
    """The slider position nearest to a value."""
    low, high = positions[0].item(), positions[-1].item()
    if not low <= value <= high:
        raise ValueError(f"Got {name}={value!r}; expected a number from {low:g} to {high:g}.")
    return (positions - value).abs().argmin().item()


def _panels(problem: Problem, **panels: Mapping) -> tuple[go.Figure, dict[str, dict]]:
    """A figure with the landscape at the left and other panels, and the axes of each panel by its name."""
    figure = go.Figure(contours(problem))
    (left, right), (bottom, top) = problem.window
    landscape = dict(
        x=(0, 0.47),
        y=(0, 1),
        title="",
        equal=True,
        xaxis=dict(range=[left, right]),
        yaxis=dict(range=[bottom, top]),
    )
    on = {}
    for k, (name, panel) in enumerate({"landscape": landscape, **panels}.items(), 1):
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
        legend2=fixed | dict(x=_RIGHT, y=1.05, yanchor="bottom"),
        legend3=fixed | dict(x=_RIGHT, y=-0.02, yanchor="top"),
        legend4=fixed | dict(x=_RIGHT, y=-0.08, yanchor="top"),
    )
    return figure, on


def _add_handle(figure: go.Figure, axes: Mapping) -> None:
    marker = dict(symbol="circle-cross", size=17, color="white", line=dict(width=2.5, color=BLACK))
    figure.add_scatter(uid="point", mode="markers", marker=marker, showlegend=False, **axes)


def _add_path(figure: go.Figure, axes: Mapping) -> None:
    marker = dict(symbol="diamond", size=13, color=PATH, line=dict(width=1.5, color=BLACK))
    figure.add_scatter(uid="path", mode="lines", line=dict(color=PATH, width=3.5), name="path", **axes)
    _add_handle(figure, axes)
    figure.add_scatter(uid="end", mode="markers", marker=marker, showlegend=False, **axes)


def _add_dial(figure: go.Figure, axes: Mapping) -> None:
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


def _stage(figure: go.Figure, compute, after: Prediction | None, **options) -> Stage:
    stage = Stage(figure, compute, **options)
    if after is not None:
        after.unlocks(stage)
    return stage


def _circle(scale: Tensor | None) -> Tensor:
    """The unit circle, (49, 2); with ``scale`` (2,) the ellipse |θ| u of adaptive SAM."""
    turn = torch.linspace(0, 2 * math.pi, 49, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    return circle if scale is None else circle * scale.abs()


def _arrow(tips: Tensor, tails: Tensor | None = None) -> Tensor:
    """Arrows (N, 2, 2) from tails (the origin) by ``tips`` (N, 2); NaN, so not drawn, where of no length."""
    tails = torch.zeros_like(tips) if tails is None else tails
    ends = torch.stack([tails, tails + tips], 1)
    return ends.masked_fill((tips.norm(dim=-1) < 1e-9)[:, None, None], torch.nan)


def _trail(points: Tensor) -> Tensor:
    """Points (N, 2) as they are walked: in row k (N, N, 2), those after the k-th are NaN."""
    later = torch.ones(len(points), len(points), dtype=torch.bool).triu(1)
    return points.expand(len(points), *points.shape).masked_fill(later.unsqueeze(-1), torch.nan)


def _thin(path: Tensor) -> Tensor:
    """At most ``PATH_POINTS`` of a path (..., S, 2), first and last among them."""
    kept = torch.linspace(0, path.shape[-2] - 1, min(path.shape[-2], PATH_POINTS)).round().long()
    return path[..., kept, :]


def _part_angles(d: Decomposition) -> dict[str, Tensor]:
    """Degrees: between tasks (the largest) for the loss, flat and SAM parts, and within each task."""
    T = d.loss.shape[-2]
    C = cosines(torch.cat([d.loss, d.flat, d.sam], -2))
    zero = C.diagonal(dim1=-2, dim2=-1) == 0
    C = C.masked_fill(zero.unsqueeze(-1) | zero.unsqueeze(-2), torch.nan)
    degrees = torch.rad2deg(torch.acos(C))
    i, j = torch.triu_indices(T, T, offset=1)
    between = {f"between-{part}": degrees[:, k * T + i, k * T + j].amax(-1) for k, part in enumerate(PARTS)}
    return between | {f"within-{k}": degrees[:, k, T + k] for k in range(T)}


def _degrees(angle: float) -> str:
    return "–" if math.isnan(angle) else f"{angle:.0f}°"


def _conflict(angle: float) -> str:
    return " (conflict)" if angle > 90 else ""
