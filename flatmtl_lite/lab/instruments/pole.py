"""The pole instrument: published IMTL-G and ours, while the third task's gradient shrinks."""

import torch
from torch import Tensor

from ...aggregation import IMTLG, weighted_sum
from ..figures.style import BLACK, INK, PURPLE, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.arrows import Arrows, along
from .parts.curve import OldCurves
from .parts.labels import Labels
from .parts.opening import open_stage, sentences, slider
from .parts.picture import Picture
from .parts.points import pairs
from .parts.space import Space, find_independent, project

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
    return open_stage("Pole instrument", _View(), recipe, controls, after)


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


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self) -> None:
        x = dict(range=[0, 1.55], title="length of task 3's gradient")
        name = "⟨sᵢ, d⟩ / ‖sᵢ‖, the same for all i"
        y = dict(range=[-1.7, 1.7], title=name, zeroline=True, zerolinecolor=BLACK)
        curves = {f"{uid}-curve": look for uid, look in LOOKS.items()}
        self.space, self.gains = Space(), OldCurves("what each task gains", x, y, curves)
        self.picture = Picture(self.space, [[self.gains]])
        self.arrows = Arrows(self.space, {uid: line["color"] for uid, (_, line) in LOOKS.items()})
        names = {name: line["color"] for name, line in LOOKS.values()}
        names |= {f"task {k + 1}": TASKS[k] for k in range(3)}
        self.labels = Labels(self.space, names | {"good for all": INK})

    def table(self, choice: str) -> Table:
        """Return the table."""
        steps = find_independent(NARROW).expand(len(LENGTHS), 3, 3).clone()
        steps[:, 2] *= (LENGTHS / steps[:, 2].norm(dim=-1)).unsqueeze(-1)
        weights = IMTLG().weights(steps @ steps.mT)
        by_divisor = {"published": published_imtl_g(weights), "ours": weights}
        taken = {uid: weighted_sum(by_divisor[uid], steps) for uid in LOOKS}
        gains = {uid: gain(steps, d) for uid, d in taken.items()}
        camera = torch.full_like(LENGTHS, CAMERA)
        tips, origin = project(steps, camera), torch.zeros(len(LENGTHS), 2, dtype=torch.float64)
        seen = {uid: project(d.unsqueeze(1), camera)[:, 0] for uid, d in taken.items()}
        seen = {uid: d * (1.15 / d.norm(dim=-1, keepdim=True)).clamp_max(1.0) for uid, d in seen.items()}
        arrows = [*seen.values(), *tips.unbind(1)]
        face = self.space.edges(steps, camera)[:, :2].mean(1)
        traces = {
            **self.space.at(steps, camera),
            **self.arrows.at({uid: (origin, d) for uid, d in seen.items()}),
            **self.labels.at([*arrows, face], along(origin, arrows)),
            **self.gains.at(LENGTHS, {f"{uid}-curve": g.clamp(-RIM, RIM) for uid, g in gains.items()}),
            **{f"{uid}-curve": broken_at_poles(pairs(LENGTHS, g))[None] for uid, g in gains.items()},
        }
        worse = [" (all get worse)" if g < 0 else "" for g in gains["published"].tolist()]
        sentence = (
            "Length {length:.2f}: divided by Σ|β| every task gains {ours:.2f}, "
            "divided by Σβ {published:.2f}{worse}."
        )
        return Table(traces, sentences(sentence, length=LENGTHS, worse=worse, **gains))
