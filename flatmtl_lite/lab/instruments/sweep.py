"""The sweep instrument: descend with every pair of fixed weights, and see where the other methods end."""

import functools
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import AGGREGATORS, Constant, LearnedWeighting, aggregator
from ...toy import PROBLEMS, Method, descend
from ...toy.problems import Ridges
from ..figures.landscape import front
from ..figures.style import GREY, INK, PATH
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.curve import draw_line
from .parts.landscape import FRONT, Landscape
from .parts.opening import Drawing, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.path import draw_path
from .parts.picture import Picture
from .parts.points import pairs

SWEPT = torch.linspace(0, 1, 201, dtype=torch.float64)  # weights of task 1
STRIDE = 5  # the slider takes every fifth of them
RIDGES = PROBLEMS["ridges"]
STARTS = {f"({x:g}, {y:g})": k for k, (x, y) in enumerate(RIDGES.starts)}
LOWEST = -21.0  # below every loss of the problem
# a method that learns its weights needs an optimizer of its own
METHODS = [
    name
    for name, method in AGGREGATORS.items()
    if name != "constant" and not issubclass(method, LearnedWeighting)
]


class Raised(Ridges):
    """The problem "ridges" with losses > 0, as the methods that take ratios of losses need them."""

    def losses(self, points: Tensor) -> Tensor:
        return super().losses(points) - LOWEST


def sweep_instrument(
    weight: float = 0.5, start: str = "(-8.5, 7.5)", after: Prediction | None = None
) -> Stage:
    """Sweep fixed weights over the problem "ridges", next to the ends of the other methods.

    Each pair of weights gives one descent and one end. The rows show for each method the fixed weights whose
    end lies nearest to its own. With FLATMTL_FAST=1 there are twelve methods.

    Args:
        weight: of task 1, 0 to 1; task 2 has the rest. The nearest slider position is taken.
        start: one of the problem's starts, written as "(-8.5, 7.5)".
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the weight lies outside its range, or the start is unknown.
    """
    recipe = "lab.sweep_instrument({value}, start={choice})"
    controls = slider("weight of task 1", SWEPT[::STRIDE], "weight", weight) | menu("start", STARTS, start)
    names = METHODS[:12] if os.environ.get("FLATMTL_FAST") == "1" else METHODS
    return open_stage("Sweep instrument", recipe, controls, after, _draw, tuple(names))


@functools.cache
def swept_paths() -> Tensor:
    """Return the paths of every pair of weights from every start, (starts, weights, steps + 1, 2)."""
    weights = torch.stack([SWEPT, 1 - SWEPT], -1)
    starts = torch.tensor(RIDGES.starts, dtype=torch.float64)[:, None].expand(-1, len(SWEPT), 2)
    return descend(RIDGES, starts, 0.0, [Method(Constant(weights), "erm")])[0]


@functools.cache
def ends_of(names: tuple[str, ...]) -> Tensor:
    """Return where methods end from every start, (starts, methods, 2)."""
    methods = [Method(aggregator(name), "erm") for name in names]
    return descend(Raised(), torch.tensor(RIDGES.starts), 0.0, methods)[..., -1, :].transpose(0, 1)


def losses_at(points: Tensor) -> Tensor:
    """Return the losses (..., 2) at points (..., 2)."""
    return RIDGES.losses(points.unsqueeze(-2))


def nearest_weights(ends: Tensor, swept: Tensor) -> Tensor:
    """Return for each of some losses (n, 2) the fixed weight with the nearest ones of (weights, 2): (n,)."""
    return SWEPT[torch.cdist(ends, swept).argmin(-1)]


def place_of(name: str, start: int) -> float:
    """Return the fixed weight of task 1 that ends nearest to where a method ends from a start."""
    end = losses_at(ends_of((name,))[start])
    return nearest_weights(end, losses_at(swept_paths()[start, :, -1])).item()


def unreached(names: tuple[str, ...] = tuple(METHODS), within: float = 0.2) -> list[str]:
    """Return the methods that from some start end farther than ``within`` from all ends of fixed weights."""
    swept, ends = losses_at(swept_paths()[:, :, -1]), losses_at(ends_of(names))
    far = (torch.cdist(ends, swept).amin(-1) > within).any(0)
    return [name for name, is_far in zip(names, far.tolist(), strict=True) if is_far]


def _draw(names: tuple[str, ...], choice: str) -> Drawing:
    """Draw the ends of all fixed weights and of the methods, from a start."""
    paths, ends = swept_paths()[STARTS[choice]], losses_at(ends_of(names)[STARTS[choice]])
    swept = losses_at(paths[:, -1])
    nearest, weights, here = nearest_weights(ends, swept), SWEPT[::STRIDE], swept[::STRIDE]

    x, y = (dict(range=[-20.8, 0.6], title=f"loss of task {k}") for k in (1, 2))
    plane = Panel(x=x, y=y, room=0, ratio=1.0)
    across, up = front(RIDGES)[1].T
    plane.line("sweep", GREY, 5, points=swept[None])
    draw_line(plane, "Pareto front", across, up, FRONT, len(across) // 2, "top right")
    plane.dots("methods", GREY, size=11, points=ends[None], meta=dict(names=list(names)))
    plane.dots("fixed", PATH, size=15, edge=2, points=here[:, None])
    chart = Landscape(RIDGES)
    draw_path(chart, paths[::STRIDE])

    places = nearest[(nearest - weights[:, None]).abs().argmin(-1)]
    close = [
        ", ".join(name for name, w in zip(names, nearest.tolist(), strict=True) if w == place)
        for place in places.tolist()
    ]
    sentence = "Weights {w:.3g} and {rest:.3g} from {start}: "
    sentence += "losses {losses[0]:.1f} and {losses[1]:.1f}. The nearest row, at {place:.3g}: {close}."
    words: dict = dict(losses=here, place=places, close=close)
    states = sentences(sentence, w=weights, rest=1 - weights, start=choice, **words)
    return Picture(plane, [[_rows(names, nearest, weights)]], [chart]), states


def _rows(names: Sequence[str], nearest: Tensor, weights: Tensor) -> Panel:
    """Draw one row per method, with a dot at the fixed weight (methods,) that ends at the same place.

    A line stands at the slider's weights (N,).
    """
    ticks, left = [0, 0.25, 0.5, 0.75, 1], -0.42  # where the names begin
    x = dict(range=[left, 1.03], tickvals=ticks, title="fixed weight of task 1 with the same end")
    y = dict(range=[len(names) - 0.4, -0.6], visible=False)
    panel, places = Panel(None, x, y, room=0), torch.arange(len(names), dtype=torch.float64)
    cursor = pairs(weights[:, None], torch.tensor(y["range"], dtype=torch.float64))
    panel.line("cursor", GREY, 1.5, "dot", points=cursor)
    for place in places.tolist():
        panel.line(None, "#E5E5E5", 1, x=[0, 1], y=[place, place])
    panel.dots("nearest", GREY, size=10, points=pairs(nearest, places)[None])
    look = dict(textposition="middle right", textfont_size=12)
    panel.text(None, names, INK, x=[left] * len(names), y=places.tolist(), **look)
    return panel
