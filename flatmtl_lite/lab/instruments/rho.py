"""The ρ instrument: one ρ moves steps, the points where the tasks look, angles and the path."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...decomposition import combine
from ...toy import Method, Problem, decompose, descend, epsilon
from ..figures.landscape import grid
from ..figures.style import PARTS, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table, Text
from .parts.angles import degrees_text, flat_part, part_angles
from .parts.arrows import Arrows
from .parts.curve import DEGREES, Curves
from .parts.cut import Cut
from .parts.labels import Labels
from .parts.landscape import Landscape
from .parts.lens import Lens
from .parts.looks import Ball, Looks
from .parts.opening import POSITIONS, find_problem, open_stage, position
from .parts.path import Path, draw_handle
from .parts.picture import Picture
from .parts.steps import along

# Each table makes a new method, so that an aggregator with random draws begins with the same seed.
FLAT_DESCENTS = {
    "mean, one ε for all": lambda: Method(Mean(), "direct", "mean"),
    "mean, ε per task": lambda: Method(Mean(), "direct"),
    "mean, adaptive ε": lambda: Method(Mean(), "direct", adaptive=True),
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
        start: the point where the descent begins, (x, y). The learner can drag it.
        method: one of ``FLAT_DESCENTS``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, or ρ or the start lies outside the picture.
    """
    landscape = find_problem(problem)
    rhos = torch.linspace(0, landscape.rho, POSITIONS, dtype=torch.float64)
    view = _View(landscape, rhos)
    return open_stage(
        view.picture.figure(),
        view.table,
        recipe=f"lab.rho_instrument({problem!r}, rho={{value}}, start={{point}}, method={{choice}})",
        title="ρ instrument",
        label="ρ",
        values=[f"{value:.4g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(FLAT_DESCENTS),
        choice=method,
        points={"start": landscape.starts[0] if start is None else start},
        after=after,
    )


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
        self.between = Curves("angle between the tasks (above 90°: conflict)", rho_axis, DEGREES, between)
        within = {f"within-{k}": (name, dict(color=color)) for k, (name, color) in enumerate(colors.items())}
        self.within = Curves("angle between loss and flat part", rho_axis, DEGREES, within)
        self.picture = Picture(self.plane, [self.lenses, [self.cut], [self.between]], [self.within])
        self.ball, self.path = Ball(self.plane), Path(self.plane)
        self.steps = Arrows(self.plane, {part: PARTS[part]["color"] for part in ("sam", "loss", "flat")})
        self.looks = Looks(self.plane, {f"look-{k}": color for k, color in enumerate(colors.values())})
        draw_handle(self.plane)
        steps = {name: PARTS[part]["color"] for part, name in (("loss",) * 2, ("flat",) * 2, ("sam", "SAM"))}
        stars = {name if k else f"{name} looks here": c for k, (name, c) in enumerate(colors.items())}
        self.labels = Labels(self.plane, steps | stars)

    def table(self, choice: str, point: tuple[float, float]) -> Table:
        """Return the table for a method and a start."""
        method, rhos = FLAT_DESCENTS[choice](), self.rhos
        theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
        d = decompose(self.landscape, theta, rhos, method)
        path = descend(self.landscape, theta, rhos, [method])[0]
        eps = epsilon(self.landscape, d.loss, theta, rhos, method).expand_as(d.loss)
        degrees = part_angles(d)
        traces: dict[str, Tensor | Text] = {}
        traces |= self.ball.at(theta[0], rhos, method.adaptive) | self.path.at(path)
        loss, sam = (-combine(d, FLAT_DESCENTS[choice]().aggregate, rule) for rule in ("erm", method.combine))
        scale = REACH * self.plane.height / sam.norm(dim=-1).amax().clamp_min(1e-12)
        loss, flat = scale * loss, scale * (sam - loss)  # flat: what flatness adds to the step
        traces |= self.steps.at(
            {"loss": (theta, loss), "flat": (theta + loss, flat), "sam": (theta, loss + flat)}
        )
        looks = list((theta.unsqueeze(1) + eps).unbind(1))
        traces |= self.looks.at(theta[0], {f"look-{k}": look for k, look in enumerate(looks)})
        hidden = (rhos < 1e-9).unsqueeze(-1)  # at ρ = 0 there is neither a flat part nor a place to look
        shown = [place.masked_fill(hidden, torch.nan) for place in (theta + loss + flat / 2, *looks)]
        aside = self._aside(loss, flat)  # each name on its arrow's own side
        sam = (theta + loss + flat + aside).masked_fill(hidden, torch.nan)  # there it is the loss step
        things = [theta + loss / 2 - aside, shown[0], sam, *shown[1:]]
        ball = self.ball.at(theta[0], rhos, method.adaptive)["ball"]
        around = [path[:, ::2], ball[:, ::4], along(theta, [loss, loss + flat])]
        traces |= self.labels.at(things, torch.cat(around, 1))
        for k, lens in enumerate(self.lenses):
            traces |= lens.at(-d.loss[:, k], -flat_part(d)[:, k])
        traces |= self.cut.at(self.landscape.losses, theta[0], eps[-1], eps.norm(dim=-1)[:, 0])
        traces |= self.between.at(rhos, degrees) | self.within.at(rhos, degrees)
        return Table(traces, _states(rhos, degrees, path, self.landscape))

    def _aside(self, loss: Tensor, flat: Tensor) -> Tensor:
        """Return a short way (N, 2) across the loss step, to the side where the sum lies."""
        unit = loss / loss.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        across = flat - (flat * unit).sum(-1, keepdim=True) * unit
        return 12 / min(self.plane.unit) * across / across.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _states(rhos: Tensor, degrees: dict[str, Tensor], path: Tensor, landscape: Problem) -> list[str]:
    mean_losses = landscape.losses(path[:, -1:]).mean(-1)
    return [
        f"ρ = {value:.4g}: loss parts {degrees_text(losses)} apart, flat parts {degrees_text(flats)}, "
        f"SAM {degrees_text(sams)}; the path ends at ({x:.2f}, {y:.2f}), mean loss {mean:.3f}."
        for value, losses, flats, sams, (x, y), mean in zip(
            rhos.tolist(),
            *(degrees[f"between-{part}"].tolist() for part in BETWEEN),
            path[:, -1].tolist(),
            mean_losses.tolist(),
            strict=True,
        )
    ]
