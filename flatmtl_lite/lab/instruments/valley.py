"""The valley instrument: a ball on a line, a sharp valley and a flat one, and why one looks uphill."""

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import Mean
from ...toy import LINE, Method, descend, epsilon
from ..figures.style import BLACK, GREY, PATH, PURPLE, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.arrows import Arrows
from .parts.labels import Labels, text
from .parts.opening import open_stage, position
from .parts.path import edged_marker
from .parts.picture import Panel, Picture
from .parts.points import growing_curve
from .parts.steps import along

RADII = {"plain step": 0.0, "SAM, ρ = 0.5": 0.5}
STEPS = torch.arange(LINE.steps + 1)
LOWEST = -0.75  # lower end of the picture
REACH = 0.25  # length of an arrow per unit of slope


def valley_instrument(step: int = 0, method: str = "plain step", after: Prediction | None = None) -> Stage:
    """Roll a ball down a line with a sharp and a flat valley. With SAM it looks uphill before each step.

    Args:
        step: the slider begins at this step.
        method: "plain step" or "SAM, ρ = 0.5".
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the method is unknown, or the step lies outside 0 to the last.
    """
    view = _View()
    return open_stage(
        view.picture.figure(),
        view.table,
        recipe="lab.valley_instrument(step={value}, method={choice})",
        title="Valley instrument",
        label="step",
        values=[str(k) for k in STEPS.tolist()],
        index=position(step, STEPS, "step"),
        choices=list(RADII),
        choice=method,
        choice_label="the ball takes",
        after=after,
    )


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self) -> None:
        (left, right), _ = LINE.window
        x = dict(range=[left, right], title="the weight θ", showgrid=False)
        self.panel = Panel(x=x, y=dict(range=[LOWEST, 1.9], title="loss", showgrid=False), room=0)
        self.picture = Picture(None, [[self.panel]])
        self.ground = _on_the_curve(torch.linspace(left, right, 400, dtype=torch.float64))
        x, y = self.ground.T.tolist()
        below = dict(fill="toself", fillcolor="rgba(143, 169, 196, 0.35)", line_width=0)
        self.panel.add(go.Scatter(x=[*x, right, left], y=[*y, LOWEST, LOWEST], mode="lines", **below))
        self.panel.add(go.Scatter(x=x, y=y, mode="lines", line=dict(color=BLACK, width=3)))
        names = ["<b>sharp valley</b>", "<b>flat valley</b>"]
        self.panel.add(text(None, names, BLACK, x=[-0.99, 1.14], y=[-0.6, -0.6]))
        trail = dict(size=9, color=PATH, line=dict(width=1, color=BLACK))
        self.panel.add(go.Scatter(uid="trail", mode="markers", marker=trail))
        tangent = dict(mode="lines", line=dict(color=PURPLE, width=4))
        self.panel.add(go.Scatter(uid="tangent", **tangent))
        look = dict(mode="lines", line=dict(color=GREY, width=2, dash="dot"))
        self.panel.add(go.Scatter(uid="look", **look))
        star = edged_marker(PURPLE, "star", size=18)
        self.panel.add(go.Scatter(uid="star", mode="markers", marker=star))
        self.step = Arrows(self.panel, {"step": BLACK}, width=5)
        self.panel.add(go.Scatter(uid="ball", mode="markers", marker=edged_marker(SKY, size=26, edge=2.5)))
        self.labels = Labels(self.panel, {"it looks here": PURPLE, "its step": BLACK})

    def table(self, choice: str) -> Table:
        """Return the table for a method."""
        rho = RADII[choice]
        method = Method(Mean(), "direct")
        path = descend(LINE, torch.tensor(LINE.starts[0]), rho, [method])[0]
        theta = path.unsqueeze(1)
        eps = epsilon(LINE, LINE.gradients(theta), path, rho, method)
        here, slope = LINE.gradients(theta)[:, 0, 0], LINE.gradients(theta + eps)[:, 0, 0]
        ball, star = _on_the_curve(path[:, 0]), _on_the_curve((theta + eps)[:, 0, 0])
        way = torch.stack([-REACH * slope, torch.zeros_like(slope)], -1)
        lift = torch.tensor([0.0, 0.28], dtype=path.dtype)  # the arrow stands above the ball
        run = torch.stack([torch.ones_like(slope), slope], -1)
        run = 0.3 * run / run.norm(dim=-1, keepdim=True)
        traces = self.step.at({"step": (ball + lift, way)})
        traces |= {"trail": growing_curve(ball), "ball": ball.unsqueeze(1)}
        looking = torch.stack([star - run, star + run], 1), torch.stack([ball, star], 1), star.unsqueeze(1)
        for uid, points in zip(("tangent", "look", "star"), looking, strict=True):
            traces[uid] = points if rho else torch.full_like(points, torch.nan)
        things = [star if rho else torch.full_like(star, torch.nan), ball + lift + way / 2]
        obstacles = [self.ground[None, ::4].expand(len(ball), -1, 2), traces["tangent"], ball[:, None]]
        obstacles.append(along(ball + lift, [way]))
        traces |= self.labels.at(things, torch.cat(obstacles, 1))
        return Table(traces, _states(path[:, 0], here, slope, rho))


def _loss(x: Tensor) -> Tensor:
    return LINE.losses(torch.stack([x, torch.zeros_like(x)], -1).unsqueeze(-2))[..., 0]


def _on_the_curve(x: Tensor) -> Tensor:
    return torch.stack([x, _loss(x)], -1)


def _states(x: Tensor, here: Tensor, slope: Tensor, rho: float) -> list[str]:
    looks = f", and the slope {rho:g} uphill is {{:.2f}}" if rho else ""
    return [
        f"Step {k}: the ball lies at {place:.2f}. The slope under it is {under:.2f}{looks.format(uphill)}."
        for k, (place, under, uphill) in enumerate(
            zip(x.tolist(), here.tolist(), slope.tolist(), strict=True)
        )
    ]
