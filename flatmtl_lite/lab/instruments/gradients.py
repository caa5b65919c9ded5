"""The gradients instrument: drag the steps that the tasks want, and watch what every method makes of them."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import weighted_sum
from ...diagnostics import angles
from ..figures.style import GREY, INK, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.angles import conflict_texts
from .parts.arrows import GOOD, along, draw_arrows, draw_directions, wedges
from .parts.bars import Weights, Worst
from .parts.opening import Drawing, handles, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.path import draw_handle
from .parts.picture import Picture
from .parts.points import pairs
from .parts.weighing import METHODS, slopes, verdict, weigh_all

REACH = 2.2
TURNS = torch.arange(0, 361, 5, dtype=torch.float64)


def gradients_instrument(
    gradients: Sequence[Sequence[float]] = ((2.0, 0.0), (0.5, 0.87)),
    turn: float = 0.0,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Drag and turn two or three steps: see every method's step and weights, and who pays.

    An arrow is the step that a task wants: minus its gradient. If all gradients change their sign, the
    weights stay, and each method's step changes its sign. The shaded wedge holds the steps that are good for
    all tasks. Dots mark the steps of the methods, the black arrow is the chosen one. The pointer on a dot
    shows the names of its methods. The dotted line is the rim of the convex hull.

    Args:
        gradients: minus the gradient, (x, y), for each of two or three tasks. The learner can drag or type
            them.
        turn: degrees by which the last step is turned, 0 to 360. The nearest slider position is taken.
        method: the method whose step is drawn as an arrow. It is a key of ``flatmtl_lite.AGGREGATORS`` that
            works on the Gramian.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: there are neither two nor three gradients, one lies outside the picture, the method is
            unknown, or the turn lies outside its range.
    """
    tasks = len(gradients)
    if tasks not in (2, 3):
        raise ValueError(f"Got {tasks} gradients; expected two or three pairs (x, y).")
    recipe = "lab.gradients_instrument({points}, turn={value}, method={choice})"
    points = {f"task {k + 1}": point for k, point in enumerate(gradients)}
    controls = slider(f"turn task {tasks} by (°)", TURNS, "turn", turn) | menu("method", METHODS, method)
    controls |= handles(points, [(-REACH, REACH)] * 2)
    return open_stage("Gradients instrument", recipe, controls, after, _draw)


def _draw(choice: str, *points: tuple[float, float]) -> Drawing:
    """Draw the steps that the tasks want, and what a method makes of them, for all turns."""
    S, weights = _turned_weights(points)
    d = weighted_sum(weights, S)
    cosine, chosen, last = slopes(S, d), METHODS.index(choice), len(points) - 1
    axis = dict(range=[-REACH, REACH], tickvals=[-2, -1, 0, 1, 2])
    x, y = (axis | dict(title=f"step in {name}") for name in ("θ₁", "θ₂"))
    origin, steps, cone = torch.zeros_like(S[:, 0]), S.unbind(1), wedges(S, REACH)
    plane = Panel(x=x, y=y, room=0, ratio=1.0)
    plane.area("cone", GOOD, points=cone)
    plane.line("hull", GREY, 1.5, "dot", points=torch.cat([S, S[:, :1]], 1))
    # the arrows rest, except the last, which moves along with the slider
    draw_arrows(plane, {f"gradient-{k}": (TASKS[k], origin[:1], steps[k][:1]) for k in range(last)})
    draw_arrows(plane, {f"gradient-{last}": (TASKS[last], origin, steps[last])})
    for k in range(len(points)):
        draw_handle(plane, k)
    plane.traces[f"point-{last}"] = S[:, last:]
    middle = cone[:, 16]  # of the wedge's rim
    good = middle * (0.8 * REACH / middle.abs().amax(-1, keepdim=True))
    things = {f"task {k + 1}": (TASKS[k], step) for k, step in enumerate(steps)}
    hull = {"convex hull": (GREY, (2 * steps[0] + steps[1]) / 3)}
    draw_directions(plane, chosen, d, things | {"good for all": (INK, good)}, along(origin, steps), hull)
    bars = Weights(chosen, weights), Worst(chosen, cosine, d.norm(dim=-1))

    largest = (angles(S) * (1 - torch.eye(len(points)))).amax((-2, -1))
    numbers = zip(*(v[chosen].tolist() for v in (weights, cosine, d.norm(dim=-1))), strict=True)
    sentence = choice + ("," if last == 1 else ", up to") + " {angle:.0f}° apart{conflict}: {effect}"
    effects = [verdict(*row) for row in numbers]
    words = sentences(sentence, angle=largest, conflict=conflict_texts(largest), effect=effects)
    return Picture(plane, [bars]), words


def turned(G: Tensor) -> Tensor:
    """Return the steps (T, 2) with the last one turned by each of ``TURNS``: (N, T, 2)."""
    a = torch.deg2rad(TURNS)
    rotation = torch.stack([pairs(a.cos(), -a.sin()), pairs(a.sin(), a.cos())], -2)
    return torch.cat([G[:-1].expand(len(a), -1, -1), (rotation @ G[-1]).unsqueeze(1)], 1)


@functools.lru_cache(maxsize=1)  # every choice needs the weights of all methods
def _turned_weights(points: tuple[tuple[float, float], ...]) -> tuple[Tensor, Tensor]:
    S = turned(torch.tensor(points, dtype=torch.float64))
    return S, weigh_all(S)
