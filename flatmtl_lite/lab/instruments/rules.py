"""The rules instrument: one ρ, one aggregator, and the ways to use it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import IMTLG, MGDA, CAGrad, Mean, PCGrad
from ...decomposition import RULES, combine
from ...toy import Method, Problem, decompose, descend
from ..figures.parting import degrees
from ..figures.style import RULES as LOOKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.angles import degrees_texts
from .parts.curve import DEGREES, Along, Curves
from .parts.landscape import Landscape
from .parts.lens import Steps
from .parts.opening import Drawing, find_problem, handles, menu, open_stage, sentences, slider
from .parts.path import draw_handle, draw_paths
from .parts.picture import Picture
from .parts.points import thin_path

# The two rules that the learner compares are drawn last, so that no other rule hides them.
DRAWN = ("flat_first", "loss_first", "second", "each", "erm", "direct", "decomposed")
COMPARED = ("erm", "direct", "decomposed")
ZOOM = 8.0  # the tips may lie close together
RADII = 41  # half as many as the other instruments have, since each needs several paths
# Each rule makes a new aggregator, so that one with random draws begins with the same seed.
AGGREGATES = {"PCGrad": PCGrad, "MGDA": MGDA, "CAGrad": CAGrad, "IMTL-G": IMTLG, "mean": Mean}


def rules_instrument(
    problem: str = "triangle",
    rho: float = 0.0,
    point: Sequence[float] | None = None,
    aggregate: str = "PCGrad",
    rules: Sequence[str] = COMPARED,
    after: Prediction | None = None,
) -> Stage:
    """Show the steps of the rules at one point, their angles, and their paths from there.

    Args:
        problem: key of ``flatmtl_lite.toy.PROBLEMS``.
        rho: the slider begins at its position nearest to this ρ.
        point: θ, (x, y): the steps are taken here and the descents begin here. The learner can drag it, or
            type it.
        aggregate: one of ``AGGREGATES``.
        rules: rules of ``decomposition.RULES``, "direct" and "decomposed" among them.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: a name is unknown, one of the two rules is missing, or ρ or the point lies outside the
            picture.
    """
    landscape = find_problem(problem)
    rhos = torch.linspace(0, landscape.rho, RADII, dtype=torch.float64)
    if not {"direct", "decomposed"} <= set(rules) <= set(RULES):
        raise ValueError(
            f"Got rules={rules!r}; expected direct, decomposed, and maybe others of {', '.join(RULES)}."
        )
    others = "" if set(rules) == set(COMPARED) else f", rules={tuple(rules)!r}"
    recipe = f"lab.rules_instrument({problem!r}, {{value}}, {{point}}, {{choice}}{others})"
    start = landscape.starts[0] if point is None else point
    controls = slider("ρ", rhos, "rho", rho) | menu("aggregator", AGGREGATES, aggregate)
    controls |= handles({"θ": start}, landscape.window)
    shown = [rule for rule in DRAWN if rule in rules]
    return open_stage("Rules instrument", recipe, controls, after, _draw, landscape, rhos, shown)


def _draw(
    landscape: Problem, rhos: Tensor, rules: Sequence[str], choice: str, point: tuple[float, float]
) -> Drawing:
    """Draw the steps, the angles and the paths of the rules, for an aggregator and a point θ."""
    theta = torch.tensor(point, dtype=torch.float64).expand(len(rhos), 2)
    methods = [Method(AGGREGATES[choice](), rule) for rule in rules]
    paths = dict(zip(rules, descend(landscape, theta, rhos, methods), strict=True))
    here = directions(landscape, theta, rhos, choice, rules)
    walk = thin_path(paths["decomposed"])
    radii = rhos[:, None].expand(walk.shape[:-1])
    on_the_way = directions(landscape, walk, radii, choice, ("direct", "decomposed"))
    away = degrees(on_the_way["direct"], on_the_way["decomposed"])
    distance = (paths["direct"][:, -1] - paths["decomposed"][:, -1]).norm(dim=-1)
    others = [rule for rule in RULES if rule in rules and rule not in ("erm", "decomposed")]
    angles = {rule: degrees(here[rule], here["decomposed"]) for rule in others}

    plane = Landscape(landscape)
    shown = {rule: path[:1] if rule == "erm" else path for rule, path in paths.items()}
    draw_paths(plane, {rule: LOOKS[rule] for rule in rules}, shown)
    draw_handle(plane)
    arrows = {f"arrow-{rule}": (rule, LOOKS[rule]["color"], -direction) for rule, direction in here.items()}
    lens = Steps("the steps at θ", arrows, ZOOM)
    rho_axis = dict(range=[0, landscape.rho], title="ρ")
    step_axis = dict(range=[0, landscape.steps], title="step")
    (left, right), (bottom, top) = landscape.window
    gap = dict(range=[0, 0.5 * math.hypot(right - left, top - bottom)], title="distance")
    lines = {rule: dict(color=look["color"], dash=look["dash"]) for rule, look in LOOKS.items()}
    title, look = "direct to decomposed:<br>", lines["direct"]
    steps = torch.linspace(0, landscape.steps, walk.shape[-2], dtype=torch.float64)
    way = Along("way", title + "angle on the way", step_axis, DEGREES, look, steps, away)
    named, options = title + "distance of the ends", dict(origin=0, room=2)
    ends = Curves(named, rho_axis, gap, {"ends": ("", look)}, rhos, [distance], **options)
    styles = {f"angle-{rule}": (rule, lines[rule]) for rule in others}
    rest = Curves("angle with the decomposed step, at θ", rho_axis, DEGREES, styles, rhos, angles.values())

    angle, most = (degrees_texts(a) for a in (angles["direct"], away.nan_to_num(0.0).amax(-1)))
    sentence = "ρ = {rho:.4g}: direct and decomposed {angle} apart at θ, up to {most} on the way; "
    sentence += "their ends {gap:.2f} apart."
    words = sentences(sentence, rho=rhos, angle=angle, most=most, gap=distance)
    return Picture(plane, [[lens], [way, ends]], [rest]), words


def directions(
    landscape: Problem, points: Tensor, rhos: Tensor, aggregate: str, rules: Sequence[str]
) -> dict[str, Tensor]:
    """Return the direction (..., 2) of each rule at points (..., 2) with radii (...)."""
    d = decompose(landscape, points, rhos, Method(AGGREGATES[aggregate](), "decomposed"))
    return {rule: combine(d, AGGREGATES[aggregate](), rule) for rule in rules}
