"""Three steps in space: the cone that is good for all, and the step of every method."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import weighted_sum
from ..figures.style import TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.arrows import along, draw_directions
from .parts.bars import Weights, Worst
from .parts.opening import Drawing, menu, open_stage, sentences, slider
from .parts.picture import Picture
from .parts.space import Space, cone_edges, find_independent, project
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
    return open_stage("Cone instrument", recipe, controls, after, _draw, steps, weigh_all(steps[None]))


def _draw(rows: Tensor, weights: Tensor, choice: str) -> Drawing:
    """Draw the steps (3, 3) from all sides, and what a method makes of them.

    Args:
        rows: the steps that the tasks want, (3, 3).
        weights: of all methods, (methods, 1, 3).
        choice: the method.
    """
    chosen, N = METHODS.index(choice), len(CAMERAS)
    steps = rows.expand(N, 3, 3)
    d = weighted_sum(weights, rows[None]).squeeze(1)
    cosine, lengths = slopes(rows[None], d.unsqueeze(1)), d.norm(dim=-1, keepdim=True)
    space = Space(steps, CAMERAS, turns=True)
    ends = {"task {}": project(steps, CAMERAS), "helps task {} alone": cone_edges(steps, CAMERAS)}
    things = {name.format(k + 1): (TASKS[k], places[:, k]) for name, places in ends.items() for k in range(3)}
    seen = project(d.expand(N, -1, -1), CAMERAS).transpose(0, 1)
    ways = [place for _, place in things.values()]
    draw_directions(space, chosen, seen, things, along(torch.zeros_like(ways[0]), ways), {})
    bars = Weights(chosen, weights.expand(-1, N, -1)), Worst(chosen, cosine, lengths.expand(-1, N))
    effect = verdict(weights[chosen, 0].tolist(), cosine[chosen, 0].tolist(), lengths[chosen].item())
    sentence = "{choice}: {effect} Seen from {camera:.0f}°."
    return Picture(space, [bars]), sentences(sentence, choice=choice, effect=effect, camera=CAMERAS)
