"""The valley instrument: a ball on a line, a sharp valley and a flat one, and why one looks uphill."""

import torch
from torch import Tensor

from ...aggregation import Mean
from ...toy import LINE, Method, descend, epsilon
from ..figures.style import BLACK, GREY, PATH, PURPLE, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.arrows import along, draw_arrows
from .parts.curve import shade
from .parts.labels import draw_labels
from .parts.opening import Drawing, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.picture import Picture
from .parts.points import growing_curve, pairs

RADII = {"plain step": 0.0, "SAM, ρ = 0.5": 0.5}
STEPS = torch.arange(LINE.steps + 1)
LOWEST = -0.75  # lower end of the picture
REACH = 0.25  # length of an arrow per unit of slope
LIFT = 0.28  # height of the arrow above the ball
BELOW = "rgba(143, 169, 196, 0.35)"


def valley_instrument(step: int = 0, method: str = "plain step", after: Prediction | None = None) -> Stage:
    """Roll a ball down a line with a sharp and a flat valley. With SAM it looks uphill before each step.

    Args:
        step: the slider begins at this step.
        method: "plain step" or "SAM, ρ = 0.5".
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the method is unknown, or the step lies outside 0 to the last.
    """
    recipe = "lab.valley_instrument(step={value}, method={choice})"
    controls = slider("step", STEPS, "step", step) | menu("the ball takes", RADII, method)
    return open_stage("Valley instrument", recipe, controls, after, _draw)


def _draw(choice: str) -> Drawing:
    """Draw the line, the ball and its step for a method."""
    rho, method = RADII[choice], Method(Mean(), "direct")
    path = descend(LINE, torch.tensor(LINE.starts[0]), rho, [method])[0]
    theta = path.unsqueeze(1)
    eps = epsilon(LINE, LINE.gradients(theta), path, rho, method)
    here, slope = LINE.gradients(theta)[:, 0, 0], LINE.gradients(theta + eps)[:, 0, 0]
    ball, star = _on_the_curve(path[:, 0]), _on_the_curve((theta + eps)[:, 0, 0])
    tail, way = ball + pairs(0.0, LIFT), pairs(-REACH * slope, 0.0)
    run = pairs(1.0, slope)
    run = 0.3 * run / run.norm(dim=-1, keepdim=True)
    if rho == 0:  # it looks nowhere
        star = torch.full_like(star, torch.nan)
    tangent = torch.stack([star - run, star + run], 1)

    (left, right), _ = LINE.window
    x = dict(range=[left, right], title="the weight θ", showgrid=False)
    panel = Panel(x=x, y=dict(range=[LOWEST, 1.9], title="loss", showgrid=False), room=0)
    ground = _on_the_curve(torch.linspace(left, right, 400, dtype=torch.float64))
    across, up = ground.T.tolist()
    shade(panel, [*across, right, left], [*up, LOWEST, LOWEST], BELOW)
    panel.line(None, BLACK, x=across, y=up)
    names = ["<b>sharp valley</b>", "<b>flat valley</b>"]
    panel.text(None, names, BLACK, x=[-0.99, 1.14], y=[-0.6, -0.6])
    panel.dots("trail", PATH, size=9, edge=1, points=growing_curve(ball))
    panel.line("tangent", PURPLE, 4, points=tangent)
    panel.line("look", GREY, 2, "dot", points=torch.stack([ball, star], 1))
    panel.dots("star", PURPLE, "star", size=18, points=star.unsqueeze(1))
    draw_arrows(panel, {"step": (BLACK, tail, way)}, width=5)
    panel.dots("ball", SKY, size=26, edge=2.5, points=ball.unsqueeze(1))
    things = {"it looks here": (PURPLE, star), "its step": (BLACK, tail + way / 2)}
    draw_labels(panel, things, [ground[None, ::4], tangent, ball[:, None], along(tail, [way])])

    uphill = [f", and the slope {rho:g} uphill is {s:.2f}" if rho else "" for s in slope.tolist()]
    sentence = "Step {step}: the ball lies at {place:.2f}. The slope under it is {here:.2f}{uphill}."
    place, here = (value.round(decimals=2) + 0.0 for value in (path[:, 0], here))  # no "-0.00"
    words = sentences(sentence, step=STEPS, place=place, here=here, uphill=uphill)
    return Picture(None, [[panel]]), words


def _on_the_curve(x: Tensor) -> Tensor:
    """Return the points (..., 2) of the line's loss at places x (...)."""
    return pairs(x, LINE.losses(pairs(x, 0.0).unsqueeze(-2))[..., 0])
