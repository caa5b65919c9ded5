"""The ρ instrument: one ρ moves perturbed points, parts of gradients, angles and the path."""

from collections.abc import Sequence

import torch

from ...aggregation import Mean, PCGrad
from ...toy import Method, decompose, descend, epsilon
from ..figures.landscape import arrow
from ..figures.style import BLACK, PARTS, SAM, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import (
    DEGREES,
    DIAL,
    POSITIONS,
    RIGHT,
    UNIT,
    add_dial,
    add_path,
    arrow_points,
    circle,
    degrees_text,
    landscape_panels,
    part_angles,
    position,
    problem_named,
    staged,
    thin,
)

FLAT_DESCENTS = {
    "mean, one ε for all": lambda: Method(Mean(), "direct", "mean"),
    "mean, ε per task": lambda: Method(Mean(), "direct"),
    "mean, adaptive ε": lambda: Method(Mean(), "direct", adaptive=True),
    "PCGrad, direct": lambda: Method(PCGrad(), "direct"),
    "PCGrad, decomposed": lambda: Method(PCGrad()),
}


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
    landscape = problem_named(problem)
    tasks = range(landscape.tasks)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    width = (1 - RIGHT) / landscape.tasks
    arrows = {
        f"task {k + 1}": dict(
            x=(RIGHT + k * width, RIGHT + (k + 1) * width), y=(0.57, 1), title=f"task {k + 1}", **UNIT
        )
        for k in tasks
    }
    figure, on = landscape_panels(
        landscape,
        **arrows,
        dial=dict(x=(RIGHT, 0.74), y=(0.08, 0.47), title="angles at this ρ", **DIAL),
        curve=dict(
            x=(0.81, 1),
            y=(0.08, 0.47),
            title="angle against ρ",
            xaxis=dict(range=[0, landscape.rho], title="ρ"),
            yaxis=DEGREES,
        ),
    )
    add_path(figure, on["landscape"])
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
    add_dial(figure, on["dial"])
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
            "path-edge": thin(path),
            "path": thin(path),
            "end": path[:, -1:],
            "ball": theta[:1] + rhos[:, None, None] * circle(theta[0] if method.adaptive else None),
        }
        for k in tasks:
            traces[f"perturbed-{k}"] = torch.stack([theta, theta + eps[:, k]], 1)
            traces[f"loss-{k}"] = arrow_points(loss[:1, k])
            traces[f"flat-{k}"] = arrow_points(flat[:, k], loss[:, k])
            traces[f"sam-{k}"] = arrow_points(sam[:, k])
        degrees = part_angles(d)
        for uid, angle in degrees.items():
            radians = torch.deg2rad(angle)
            curve = torch.stack([rhos, angle], -1)
            traces[f"{uid}-needle"] = arrow_points(torch.stack([radians.cos(), radians.sin()], -1))
            traces[f"{uid}-curve"], traces[f"{uid}-here"] = curve[None], curve.unsqueeze(1)
        states = [
            f"ρ = {value:.4g}, {choice}: SAM gradients {degrees_text(sams)} apart, "
            f"loss parts {degrees_text(losses)}, flat parts {degrees_text(flats)}. "
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

    return staged(
        figure,
        compute,
        recipe=f"lab.rho_instrument({problem!r}, rho={{value}}, start={{point}}, method={{choice}})",
        title="ρ instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(FLAT_DESCENTS),
        choice=method,
        points={"start": landscape.starts[0] if start is None else start},
        after=after,
    )
