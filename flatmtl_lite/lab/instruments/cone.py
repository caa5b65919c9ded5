"""Three steps in space: the cone that is good for all, and the step of every method."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import weighted_sum
from ..figures.style import TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.arrows import Directions, along
from .parts.bars import Weights, Worst
from .parts.opening import menu, open_stage, sentences, slider
from .parts.picture import Picture
from .parts.space import Space, find_independent, project
from .parts.weighing import METHODS, slopes, verdict, weigh_all

GRADIENTS = ((1.5, 0.0, 0.1), (0.0, 0.8, 1.3), (-0.5, -0.4, -0.1))
CAMERAS = torch.arange(0, 361, 5, dtype=torch.float64)


def cone_instrument(
    gradients: Sequence[Sequence[float]] = GRADIENTS,
    camera: float = 135.0,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Show the steps that three tasks want in space, and the cone of steps that are good for all.

    The slider or a pull with the mouse walks round them. A step along an edge of the cone helps one task and
    costs no other anything.

    Args:
        gradients: minus the gradient, (x, y, z), for each of three tasks, linearly independent.
        camera: degrees round the vertical axis, 0 to 360. The nearest slider position is taken.
        method: the method whose step is drawn as an arrow. It is a key of ``flatmtl_lite.AGGREGATORS`` that
            works on the Gramian.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the gradients are not three independent vectors, the method is unknown, or the camera
            lies outside its range.
    """
    steps = find_independent(gradients)
    rows = [tuple(step) for step in steps.tolist()]
    recipe = f"lab.cone_instrument({rows}, camera={{value}}, method={{choice}})"
    controls = slider("walk round (°)", CAMERAS, "camera", camera) | menu("method", METHODS, method)
    return open_stage("Cone instrument", _View(steps), recipe, controls, after)


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self, steps: Tensor):
        self.steps, self.weighed = steps.expand(len(CAMERAS), 3, 3), weigh_all(steps[None])
        self.space, self.weights, self.worst = Space(turns=True), Weights(3), Worst()
        self.picture = Picture(self.space, [[self.weights, self.worst]])
        names = {f"task {k + 1}": TASKS[k] for k in range(3)}
        edges = {f"helps task {k + 1} alone": TASKS[k] for k in range(3)}
        self.directions = Directions(self.space, names | edges)

    def table(self, choice: str) -> Table:
        """Return the table for a method."""
        steps, weights, chosen, positions = self.steps, self.weighed, METHODS.index(choice), len(CAMERAS)
        d = weighted_sum(weights, steps[:1]).squeeze(1)
        cosine, lengths = slopes(steps[:1], d.unsqueeze(1)), d.norm(dim=-1, keepdim=True)
        things = [*project(steps, CAMERAS).unbind(1), *self.space.edges(steps, CAMERAS).unbind(1)]
        seen = project(d.expand(positions, -1, -1), CAMERAS).transpose(0, 1)
        traces = {
            **self.space.at(steps, CAMERAS),
            **self.worst.at(chosen, cosine, lengths.expand(-1, positions)),
            **self.weights.at(chosen, weights.expand(-1, positions, -1)),
            **self.directions.at(chosen, seen, things, along(torch.zeros_like(things[0]), things)),
        }
        effect = verdict(weights[chosen, 0].tolist(), cosine[chosen, 0].tolist(), lengths[chosen].item())
        sentence = "{choice}: {effect} Seen from {camera:.0f}°."
        return Table(traces, sentences(sentence, choice=choice, effect=effect, camera=CAMERAS))
