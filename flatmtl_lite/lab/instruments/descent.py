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
from ..stage.table import Table
from .parts.angles import conflict_texts
from .parts.arrows import Arrows, along
from .parts.curve import DEGREES, OldCurves
from .parts.labels import Labels
from .parts.landscape import Landscape, Tradeoff
from .parts.lens import Steps
from .parts.opening import POSITIONS, find_problem, menu, open_stage, sentences, slider
from .parts.path import Trail, draw_handle
from .parts.picture import Picture

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
    points = {"start": landscape.starts[0] if start is None else start}
    controls = slider("step", steps, "step", step) | menu("method", DESCENTS, method)
    return open_stage("Descent instrument", _View(landscape, steps), recipe, controls, after, points)


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self, landscape: Problem, steps: Tensor):
        self.landscape, self.steps = landscape, steps
        step_axis = dict(range=[0, landscape.steps], title="step")
        self.plane = Landscape(landscape)
        self.lens = Steps("the steps here", {f"lens-{uid}": look for uid, look in STEPS.items()})
        look = {"angle": ("", dict(color=GREY))}
        self.angle = OldCurves("angle of the gradients", step_axis, DEGREES, look, origin=0)
        self.losses = Tradeoff(landscape)
        self.picture = Picture(self.plane, [[self.lens, self.angle], [self.losses]])
        self.trail = Trail(self.plane, "here")
        self.arrows = Arrows(self.plane, {uid: color for uid, (_, color) in STEPS.items()})
        draw_handle(self.plane)
        self.labels = Labels(self.plane, dict(STEPS.values()))

    def table(self, choice: str, point: tuple[float, float]) -> Table:
        """Return the table for a method and a start."""
        method, steps = DESCENTS[choice](), self.steps
        whole = descend(self.landscape, torch.tensor(point, dtype=torch.float64), 0.0, [method])[0]
        # every step in its turn, since an aggregator may draw
        gradients = self.landscape.gradients(whole.unsqueeze(-2))
        direction = erm(Decomposition(gradients), method.aggregate)
        path, G = whole[steps], gradients[steps]
        degrees = torch.rad2deg(torch.acos(cosines(G)[:, 0, 1]))
        wanted = -torch.cat([G, direction[steps].unsqueeze(-2)], -2)
        longest = wanted.norm(dim=-1, keepdim=True).amax(-2, keepdim=True).clamp_min(1e-12)
        ways = dict(zip(STEPS, (wanted / longest).unbind(1), strict=True))
        losses = self.landscape.losses(path.unsqueeze(-2))
        trail = self.trail.at(path)
        walked = trail["here-trail"][:, ::4].nan_to_num(1e9)  # what is not drawn is not in the way
        arrows = {uid: (path, REACH * self.plane.height * way) for uid, way in ways.items()}
        shafts = along(path, [way for _, way in arrows.values()])
        tips = [path + way for _, way in arrows.values()]
        traces = {
            **trail,
            **self.losses.at(losses),
            **self.angle.at(steps.double(), {"angle": degrees}),
            **self.lens.at({f"lens-{uid}": way for uid, way in ways.items()}),
            **self.arrows.at(arrows),
            **self.labels.at(tips, torch.cat([walked, shafts], 1)),
        }
        place = path.round(decimals=2) + 0.0  # no -0.00
        sentence = (
            "Step {step} of {name} at ({place[0]:.2f}, {place[1]:.2f}): "
            "gradients {angle:.0f}° apart{conflict}; losses {losses[0]:.2f} and {losses[1]:.2f}."
        )
        words: dict = dict(name=choice, place=place, angle=degrees, conflict=conflict_texts(degrees))
        return Table(traces, sentences(sentence, step=steps, losses=losses, **words))
