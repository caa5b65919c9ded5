"""The ρ instrument: one ρ moves steps, the points where the tasks look, angles and the path."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...decomposition import combine
from ...perturbation import SAMO
from ...toy import Method, Problem, decompose, descend, epsilon
from ..figures.landscape import grid
from ..figures.style import FLAT, LOSS, PARTS, SAM, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import degrees_texts, flat_part, part_angles
from .parts.arrows import Arrows, along
from .parts.curve import DEGREES, OldCurves
from .parts.cut import Cut
from .parts.labels import Labels
from .parts.landscape import Landscape
from .parts.lens import Lens
from .parts.opening import POSITIONS, find_problem, menu, open_stage, sentences, slider
from .parts.path import Ball, Looks, Path, draw_handle
from .parts.picture import Picture, Traces

# Each table makes a new method, so that an aggregator with random draws begins with the same seed.
FLAT_DESCENTS = {
    "mean, one ε for all": lambda: Method(Mean(), "direct", "mean"),
    "mean, ε per task": lambda: Method(Mean(), "direct"),
    "mean, adaptive ε": lambda: Method(Mean(), "direct", adaptive=True),
    "SAMO": lambda: Method(Mean(), "direct", SAMO()),
    "SAMO, a coin": lambda: Method(Mean(), "direct", SAMO(local="coin")),
    "PCGrad, direct": lambda: Method(PCGrad(), "direct"),
    "PCGrad, decomposed": lambda: Method(PCGrad()),
}
REACH = 0.3  # length of the longest step at θ, as a share of the landscape's height
BETWEEN = {"loss": "loss parts", "flat": "flat parts", "sam": "SAM gradients"}


def rho_instrument(
    problem: str = "valleys",
    rho: float = 0.0,
    start: Sequence[float] | None = None,
    method: str = "mean, ε per task",
    after: Prediction | None = None,
) -> Stage:
    """Move the steps, the points where the tasks look, the angles and the whole path with one ρ.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``.
        rho: the slider begins at its position nearest to this ρ.
        start: the point where the descent begins, (x, y). The learner can drag it, or type it.
        method: one of ``FLAT_DESCENTS``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the start lies outside the picture.
    """
    landscape = find_problem(problem)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    recipe = f"lab.rho_instrument({problem!r}, rho={{value}}, start={{point}}, method={{choice}})"
    points = {"start": landscape.starts[0] if start is None else start}
    controls = slider("ρ", rhos, "rho", rho) | menu("method", FLAT_DESCENTS, method)
    return open_stage("ρ instrument", _View(landscape, rhos), recipe, controls, after, points)


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self, landscape: Problem, rhos: Tensor):
        self.landscape, self.rhos = landscape, rhos
        colors = {f"task {k + 1}": TASKS[k] for k in range(landscape.tasks)}
        rho_axis = dict(range=[0, landscape.rho], title="ρ")
        self.plane = Landscape(landscape)
        self.lenses = [Lens(name, color, narrow=landscape.tasks > 2) for name, color in colors.items()]
        self.cut = Cut(colors, landscape.rho, grid(landscape)[2])
        between = {f"between-{part}": (name, PARTS[part]) for part, name in BETWEEN.items()}
        self.between = OldCurves("angle between the tasks (above 90°: conflict)", rho_axis, DEGREES, between)
        within = {f"within-{k}": (name, dict(color=color)) for k, (name, color) in enumerate(colors.items())}
        self.within = OldCurves("angle between loss and flat part", rho_axis, DEGREES, within)
        self.picture = Picture(self.plane, [self.lenses, [self.cut], [self.between]], [self.within])
        self.ball, self.path = Ball(self.plane), Path(self.plane)
        self.steps = Arrows(self.plane, {"sam": SAM, "loss": LOSS, "flat": FLAT})
        self.looks = Looks(self.plane, {f"look-{k}": color for k, color in enumerate(colors.values())})
        draw_handle(self.plane)
        steps = {"loss": LOSS, "flat": FLAT, "SAM": SAM}
        stars = {name if k else f"{name} looks here": c for k, (name, c) in enumerate(colors.items())}
        self.labels = Labels(self.plane, steps | stars, within=True)

    def table(self, choice: str, point: tuple[float, float]) -> Table:
        """Return the table for a method and a start."""
        method, rhos = FLAT_DESCENTS[choice](), self.rhos
        theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
        d = decompose(self.landscape, theta, rhos, method)
        path = descend(self.landscape, theta, rhos, [method])[0]
        eps = epsilon(self.landscape, d.loss, theta, rhos, method).expand_as(d.loss)
        loss, sam = (-combine(d, FLAT_DESCENTS[choice]().aggregate, rule) for rule in ("erm", method.combine))
        scale = REACH * self.plane.height / sam.norm(dim=-1).amax().clamp_min(1e-12)
        loss, flat = scale * loss, scale * (sam - loss)  # flat: what flatness adds to the step
        looks = list((theta.unsqueeze(1) + eps).unbind(1))
        seen, beyond = zip(*(self.looks.seen(theta[0], look) for look in looks), strict=True)
        ball = self.ball.at(theta[0], rhos, method.adaptive)
        aside = self._aside(loss, flat)  # each name on its arrow's own side
        things = [theta + loss / 2 - aside, theta + loss + flat / 2, theta + loss + flat + aside, *seen]
        hidden = (rhos < 1e-9).unsqueeze(-1)  # at ρ = 0 there is neither a flat part nor a place to look
        things[1:] = [thing.masked_fill(hidden, torch.nan) for thing in things[1:]]
        around = [path[:, ::2], ball["ball"][:, ::4], along(theta, [loss, loss + flat])]
        degrees = part_angles(d)
        arrows = {"loss": (theta, loss), "flat": (theta + loss, flat), "sam": (theta, loss + flat)}
        traces = {
            **ball,
            **self.path.at(path),
            **self.steps.at(arrows),
            **self.looks.at(theta[0], {f"look-{k}": look for k, look in enumerate(looks)}),
            **self._names(things, torch.cat(around, 1), beyond[0]),
            **self.cut.at(self.landscape.losses, theta[0], eps[-1], eps.norm(dim=-1)[:, 0]),
            **self.between.at(rhos, degrees),
            **self.within.at(rhos, degrees),
        }
        for k, lens in enumerate(self.lenses):
            traces |= lens.at(-d.loss[:, k], -flat_part(d)[:, k])
        between = {part: degrees_texts(degrees[f"between-{part}"]) for part in BETWEEN}
        mean = self.landscape.losses(path[:, -1:]).mean(-1)
        sentence = (
            "ρ = {rho:.4g}: loss parts {loss} apart, flat parts {flat}, SAM {sam}; "
            "the path ends at ({end[0]:.2f}, {end[1]:.2f}), mean loss {mean:.3f}."
        )
        return Table(traces, sentences(sentence, rho=rhos, end=path[:, -1], mean=mean, **between))

    def _names(self, things: list[Tensor], obstacles: Tensor, beyond: Tensor) -> Traces:
        """Return the names of things (N, 2) each; ``beyond`` (N,): task 1 looks out of the picture."""
        traces = self.labels.at(things, obstacles)
        inside = [f"<b>{text}</b>" for text in self.labels.texts]
        outside = [text.replace("looks here", "looks out") for text in inside]
        words = [outside if out else inside for out in beyond.tolist()]
        return {**traces, self.labels.uid: (traces[self.labels.uid], words)}

    def _aside(self, loss: Tensor, flat: Tensor) -> Tensor:
        """Return a short way (N, 2) across the loss step, to the side where the sum lies."""
        unit = loss / loss.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        across = flat - (flat * unit).sum(-1, keepdim=True) * unit
        return 12 / min(self.plane.unit) * across / across.norm(dim=-1, keepdim=True).clamp_min(1e-12)
