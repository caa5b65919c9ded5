"""The ball instrument: sharpness as the rise within a ball."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...diagnostics import ascent
from ...perturbation import worst_case
from ..figures.landscape import grid
from ..figures.style import BLACK, FLAT, GREY, SAM
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import POSITIONS, add_handle, circle, landscape_panels, position, problem_named, staged

# which task's loss (None: the mean), and whether the ball is adaptive SAM's ellipse
BALLS = {
    "mean loss": (None, False),
    "task 1": (0, False),
    "task 2": (1, False),
    "mean loss, adaptive": (None, True),
}


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
    landscape = problem_named(problem, tasks=2)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    along = torch.linspace(-1, 1, 121, dtype=torch.float64)
    values = grid(landscape)[2]
    low, high = values.min().item(), values.quantile(0.95).item()
    figure, on = landscape_panels(
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
    add_handle(figure, on["landscape"])
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
        climb = ascent(
            lambda u: scale * slope(theta + scale * u), torch.zeros_like(theta), rhos.unsqueeze(-1), 10
        )
        visited = torch.stack([theta + scale * u for u in climb], 1)
        worst = value(visited).argmax(1)
        ten = visited[torch.arange(POSITIONS), worst]
        here = value(theta)
        rises = {"one": value(theta + one) - here, "ten": value(ten) - here}
        unit = one[-1] / landscape.rho
        section = value(theta[:1] + landscape.rho * along.unsqueeze(-1) * unit)
        traces = {
            "ball": theta[:1] + rhos[:, None, None] * circle(theta[0] if adaptive else None),
            "one": torch.stack([theta, theta + one], 1),
            "ten": visited,
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

    return staged(
        figure,
        compute,
        recipe=f"lab.ball_instrument({problem!r}, rho={{value}}, point={{point}}, loss={{choice}})",
        title="Ball instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(BALLS),
        choice=loss,
        choice_label="loss",
        points={"θ": landscape.starts[0] if point is None else point},
        after=after,
    )
