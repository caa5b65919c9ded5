"""The descent instrument: one slider walks down a path."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...decomposition import Decomposition, erm
from ...diagnostics import cosines
from ...toy import Method, Problem, descend
from ..figures.style import BLACK, GREY, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.angles import conflict_texts
from .parts.arrows import along, draw_arrows
from .parts.curve import DEGREES, Curves
from .parts.labels import draw_labels
from .parts.landscape import Landscape, Tradeoff
from .parts.lens import Steps
from .parts.opening import POSITIONS, Drawing, find_problem, handles, menu, open_stage, sentences, slider
from .parts.path import draw_handle, draw_trail
from .parts.picture import Picture
from .parts.points import growing_curve

# Each table makes a new method, so that an aggregator with random draws begins with the same seed.
DESCENTS = {"mean": lambda: Method(Mean(), "erm"), "PCGrad": lambda: Method(PCGrad(), "erm")}
REACH = 0.25  # length of the longest step on the landscape, as a share of its height
# uid of a step -> its name and colour
STEPS = {"task-1": ("task 1", TASKS[0]), "task-2": ("task 2", TASKS[1]), "step": ("step", BLACK)}


def descent_instrument(
    problem: str = "ridges",
    step: int = 0,
    start: Sequence[float] | None = None,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Walk down a path with one slider: the steps, the angle of the gradients, the losses, the Pareto front.

    A task's step is minus its gradient, the black step is minus the direction of the method. The longest has
    the same length everywhere. The problem's optimizer moves along the black step: Adam in "ridges", which
    bends it.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``, with two tasks.
        step: the slider begins at its position nearest to this step.
        start: the point where the descent begins, (x, y). The learner can drag it, or type it.
        method: "mean" or "PCGrad".
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or the step or the start lies outside the picture.
    """
    landscape = find_problem(problem, tasks=2)
    steps = torch.linspace(0, landscape.steps, POSITIONS, dtype=torch.float64).round().long()
    recipe = f"lab.descent_instrument({problem!r}, step={{value}}, start={{point}}, method={{choice}})"
    start = landscape.starts[0] if start is None else start
    controls = slider("step", steps, "step", step) | menu("method", DESCENTS, method)
    controls |= handles({"start": start}, landscape.window)
    return open_stage("Descent instrument", recipe, controls, after, _draw, landscape, steps)


def _draw(landscape: Problem, steps: Tensor, choice: str, point: tuple[float, float]) -> Drawing:
    """Draw the way of a method from a start, and the steps on it."""
    method = DESCENTS[choice]()
    whole = descend(landscape, torch.tensor(point, dtype=torch.float64), 0.0, [method])[0]
    # every step in its turn, since an aggregator may draw
    gradients = landscape.gradients(whole.unsqueeze(-2))
    direction = erm(Decomposition(gradients), method.aggregate)
    path, G = whole[steps], gradients[steps]
    degrees = torch.rad2deg(torch.acos(cosines(G)[:, 0, 1]))
    wanted = -torch.cat([G, direction[steps].unsqueeze(-2)], -2)
    longest = wanted.norm(dim=-1, keepdim=True).amax(-2, keepdim=True).clamp_min(1e-12)
    ways = dict(zip(STEPS, (wanted / longest).unbind(1), strict=True))
    losses = landscape.losses(path.unsqueeze(-2))

    plane = Landscape(landscape)
    draw_trail(plane, "here", path)
    arrows = {uid: (STEPS[uid][1], path, REACH * plane.height * way) for uid, way in ways.items()}
    draw_arrows(plane, arrows)
    draw_handle(plane)
    things = {STEPS[uid][0]: (color, path + way) for uid, (color, _, way) in arrows.items()}
    walked = growing_curve(path)[:, ::4].nan_to_num(1e9)  # what is not drawn is not in the way
    draw_labels(plane, things, [walked, along(path, [way for _, _, way in arrows.values()])])
    lens = Steps("the steps here", {f"lens-{uid}": (*STEPS[uid], way) for uid, way in ways.items()})
    x, styles = dict(range=[0, landscape.steps], title="step"), {"angle": ("", dict(color=GREY))}
    at = steps.double()
    angle = Curves("angle of the gradients", x, DEGREES, styles, at, [degrees], origin=0)

    place = path.round(decimals=2) + 0.0  # no -0.00
    sentence = "Step {step} of {name} at ({place[0]:.2f}, {place[1]:.2f}): "
    sentence += "gradients {angle:.0f}° apart{conflict}; losses {losses[0]:.2f} and {losses[1]:.2f}."
    words: dict = dict(name=choice, place=place, angle=degrees, conflict=conflict_texts(degrees))
    states = sentences(sentence, step=steps, losses=losses, **words)
    return Picture(plane, [[lens, angle], [Tradeoff(landscape, losses)]]), states
