"""The ρ instrument: one ρ moves steps, the points where the tasks look, angles and the path."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import Mean, PCGrad
from ...decomposition import combine
from ...perturbation import SAMO
from ...toy import Method, Problem, decompose, descend, epsilon
from ..figures.style import FLAT, LOSS, PARTS, SAM, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.angles import degrees_texts, flat_part, part_angles
from .parts.arrows import along, draw_arrows
from .parts.curve import DEGREES, Curves
from .parts.cut import Cut
from .parts.labels import draw_labels
from .parts.landscape import Landscape
from .parts.lens import Lens
from .parts.opening import POSITIONS, Drawing, find_problem, handles, menu, open_stage, sentences, slider
from .parts.panel import SOLID, Panel
from .parts.path import draw_handle, draw_looks, draw_path, seen_from
from .parts.picture import Picture
from .parts.points import ball

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
    start = landscape.starts[0] if start is None else start
    controls = slider("ρ", rhos, "rho", rho) | menu("method", FLAT_DESCENTS, method)
    controls |= handles({"start": start}, landscape.window)
    return open_stage("ρ instrument", recipe, controls, after, _draw, landscape, rhos)


def _draw(landscape: Problem, rhos: Tensor, choice: str, point: tuple[float, float]) -> Drawing:
    """Draw the steps, the points where the tasks look, the angles and the path, for a method and a start."""
    method, T = FLAT_DESCENTS[choice](), landscape.tasks
    theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
    d = decompose(landscape, theta, rhos, method)
    path = descend(landscape, theta, rhos, [method])[0]
    eps = epsilon(landscape, d.loss, theta, rhos, method).expand_as(d.loss)
    loss, sam = (-combine(d, FLAT_DESCENTS[choice]().aggregate, rule) for rule in ("erm", method.combine))
    degrees, colors = part_angles(d), {f"task {k + 1}": TASKS[k] for k in range(T)}

    plane = Landscape(landscape)
    lenses = [
        Lens(name, color, -d.loss[:, k], -flat_part(d)[:, k], narrow=T > 2)
        for k, (name, color) in enumerate(colors.items())
    ]
    distances = eps.norm(dim=-1)[:, 0]
    section = Cut(landscape, colors, landscape.losses, theta[0], eps[-1], distances)
    between = {f"between-{part}": (name, PARTS[part]) for part, name in BETWEEN.items()}
    within = {f"within-{k}": (name, dict(color=color)) for k, (name, color) in enumerate(colors.items())}
    titles = "angle between the tasks (above 90°: conflict)", "angle between loss and flat part"
    x = dict(range=[0, landscape.rho], title="ρ")
    angles = [
        Curves(title, x, DEGREES, styles, rhos, [degrees[uid] for uid in styles])
        for title, styles in zip(titles, (between, within), strict=True)
    ]
    picture = Picture(plane, [lenses, [section], angles[:1]], angles[1:])
    scale = REACH * plane.height / sam.norm(dim=-1).amax().clamp_min(1e-12)
    loss, flat = scale * loss, scale * (sam - loss)  # flat: what flatness adds to the step
    rim = ball(theta[0], rhos, method.adaptive)
    plane.line("ball", SAM, 2.5, "dot", points=rim, meta=SOLID)
    draw_path(plane, path)
    arrows = {
        "sam": (SAM, theta, loss + flat),
        "loss": (LOSS, theta, loss),
        "flat": (FLAT, theta + loss, flat),
    }
    draw_arrows(plane, arrows)
    draw_looks(plane, theta[0], {f"look-{k}": (TASKS[k], theta + eps[:, k]) for k in range(T)})
    draw_handle(plane)
    around = [path[:, ::2], rim[:, ::4], along(theta, [loss, loss + flat])]
    _draw_names(plane, rhos, theta, loss, flat, eps, around)

    angles_between = {part: degrees_texts(degrees[f"between-{part}"]) for part in BETWEEN}
    mean = landscape.losses(path[:, -1:]).mean(-1)
    sentence = "ρ = {rho:.4g}: loss parts {loss} apart, flat parts {flat}, SAM {sam}; "
    sentence += "the path ends at ({end[0]:.2f}, {end[1]:.2f}), mean loss {mean:.3f}."
    return picture, sentences(sentence, rho=rhos, end=path[:, -1], mean=mean, **angles_between)


def _draw_names(
    plane: Panel, rhos: Tensor, theta: Tensor, loss: Tensor, flat: Tensor, eps: Tensor, around: list[Tensor]
) -> None:
    """Draw the names of the steps, each on its arrow's own side, and of the points where the tasks look."""
    unit = loss / loss.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    across = flat - (flat * unit).sum(-1, keepdim=True) * unit  # to the side where the sum lies
    aside = 12 / min(plane.unit) * across / across.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    hidden = (rhos < 1e-9).unsqueeze(-1)  # at ρ = 0 there is neither a flat part nor a place to look
    things = {"flat": (FLAT, theta + loss + flat / 2), "SAM": (SAM, theta + loss + flat + aside)}
    seen, beyond = zip(*(seen_from(plane, theta[0], theta + look) for look in eps.unbind(1)), strict=True)
    for k, end in enumerate(seen):
        things[f"task {k + 1}" if k else "task 1 looks here"] = (TASKS[k], end)
    things = {name: (color, place.masked_fill(hidden, torch.nan)) for name, (color, place) in things.items()}
    things = {"loss": (LOSS, theta + loss / 2 - aside)} | things
    inside = [f"<b>{text}</b>" for text in things]
    outside = [text.replace("looks here", "looks out") for text in inside]  # task 1 looks out of the picture
    words = [outside if out else inside for out in beyond[0].tolist()]
    draw_labels(plane, things, around, within=True, words=words)
