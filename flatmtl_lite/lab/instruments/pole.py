"""The pole instrument: published IMTL-G and ours, while the third task's gradient shrinks."""

import torch
from torch import Tensor

from ...aggregation import IMTLG, weighted_sum
from ..figures.style import BLACK, INK, PURPLE, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.arrows import along, draw_arrows
from .parts.curve import Curves
from .parts.labels import draw_labels
from .parts.opening import Drawing, open_stage, sentences, slider
from .parts.picture import Picture
from .parts.points import pairs
from .parts.space import Space, cone_edges, find_independent, project

# All three agree, and the third lies a little to the side of the middle of the other two.
NARROW = ((0.42, 0.0, 0.91), (-0.42, 0.0, 0.91), (0.0, 0.26, 0.97))
LENGTHS = torch.linspace(0.05, 1.5, 88, dtype=torch.float64)
CAMERA = 60.0
RIM = 1.65  # where the dots of the right panel stop
# divisor -> name, colour and dash; the shorter arrow lies over the longer one
LOOKS = {
    "published": ("divided by Σβ", dict(color=PURPLE, dash="dash")),
    "ours": ("divided by Σ|β|", dict(color=BLACK, dash="solid")),
}


def pole_instrument(length: float = 1.5, after: Prediction | None = None) -> Stage:
    """Show published IMTL-G and ours while the third task's gradient shrinks. The camera stands still.

    All arrows are steps. The right panel shows what a method's step does for every task: its inner product
    with the unit step that the task wants. IMTL-G makes it equal for all tasks. Where Σβ changes its sign,
    the published step goes to infinity and comes back from the other side. Its arrow and its dot stop at the
    rim.

    Args:
        length: length of the third gradient, 0.05 to 1.5. The nearest slider position is taken.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the length lies outside its range.
    """
    recipe = "lab.pole_instrument({value})"
    controls = slider("length of task 3's gradient", LENGTHS, "length", length, "{:.3g}".format)
    return open_stage("Pole instrument", recipe, controls, after, _draw)


def published_imtl_g(weights: Tensor) -> Tensor:
    """Return IMTL-G's weights (..., T) as published, divided by Σβ, from ours, divided by Σ|β|."""
    return weights / weights.sum(-1, keepdim=True)


def gain(steps: Tensor, d: Tensor) -> Tensor:
    """Return ⟨sᵢ, d⟩/‖sᵢ‖ of the first task, (N,), for steps sᵢ (N, T, P) and the method's step d (N, P)."""
    return (steps[:, 0] * d).sum(-1) / steps[:, 0].norm(dim=-1)


def broken_at_poles(curve: Tensor) -> Tensor:
    """Return the curve (N, 2) with a gap where its height changes sign."""
    jump = torch.cat([curve[1:, 1] * curve[:-1, 1] < 0, torch.zeros(1, dtype=torch.bool)])
    return curve.masked_fill(jump.unsqueeze(-1), torch.nan)


def _draw(choice: str) -> Drawing:
    """Draw the steps of both divisors and what each task gains, for all lengths."""
    steps = find_independent(NARROW).expand(len(LENGTHS), 3, 3).clone()
    steps[:, 2] *= (LENGTHS / steps[:, 2].norm(dim=-1)).unsqueeze(-1)
    weights = IMTLG().weights(steps @ steps.mT)
    by_divisor = {"published": published_imtl_g(weights), "ours": weights}
    taken = {uid: weighted_sum(by_divisor[uid], steps) for uid in LOOKS}
    gained = {uid: gain(steps, d) for uid, d in taken.items()}
    camera = torch.full_like(LENGTHS, CAMERA)
    tips, origin = project(steps, camera), torch.zeros(len(LENGTHS), 2, dtype=torch.float64)
    seen = {uid: project(d.unsqueeze(1), camera)[:, 0] for uid, d in taken.items()}
    seen = {uid: d * (1.15 / d.norm(dim=-1, keepdim=True)).clamp_max(1.0) for uid, d in seen.items()}

    space = Space(steps, camera)
    draw_arrows(space, {uid: (line["color"], origin, seen[uid]) for uid, (_, line) in LOOKS.items()})
    things = {name: (line["color"], seen[uid]) for uid, (name, line) in LOOKS.items()}
    things |= {f"task {k + 1}": (TASKS[k], tips[:, k]) for k in range(3)}
    face = cone_edges(steps, camera)[:, :2].mean(1)
    arrows = along(origin, [way for _, way in things.values()])
    draw_labels(space, things | {"good for all": (INK, face)}, [arrows])
    x = dict(range=[0, 1.55], title="length of task 3's gradient")
    name = "⟨sᵢ, d⟩ / ‖sᵢ‖, the same for all i"
    y = dict(range=[-1.7, 1.7], title=name, zeroline=True, zerolinecolor=BLACK)
    curves = {f"{uid}-curve": look for uid, look in LOOKS.items()}
    heights = [gained[uid].clamp(-RIM, RIM) for uid in LOOKS]
    gains = Curves("what each task gains", x, y, curves, LENGTHS, heights)
    gains.traces |= {f"{uid}-curve": broken_at_poles(pairs(LENGTHS, g))[None] for uid, g in gained.items()}

    worse = [" (all get worse)" if g < 0 else "" for g in gained["published"].tolist()]
    sentence = "Length {length:.2f}: divided by Σ|β| every task gains {ours:.2f}, "
    sentence += "divided by Σβ {published:.2f}{worse}."
    return Picture(space, [[gains]]), sentences(sentence, length=LENGTHS, worse=worse, **gained)
