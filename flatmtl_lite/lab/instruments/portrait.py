"""The portrait instrument: the ends of 100 starts, for every rule and every ρ."""

import functools
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ...aggregation import Mean
from ...toy import PROBLEMS, Method, descend
from ..figures.landscape import ground
from ..figures.style import BLACK, RULES
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.curve import Curves
from .parts.labels import draw_title
from .parts.opening import Drawing, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.picture import Picture
from .parts.points import circle, lines_with_gaps, squares
from .rules import AGGREGATES

RHOS = torch.linspace(0, 1, 11, dtype=torch.float64)
PLANE = PROBLEMS["valleys"]
SIDE = 10  # starts along each side of the window
VALLEYS = ("sharp", "flat")
NEAR = 0.4  # an end within this distance of a bottom lies in its valley
PATH_STEPS = [0, 2, 4, 7, 11, 17, 30, 60]  # the steps that a drawn path shows: dense where it is fast


def portrait_instrument(
    rho: float = 0.0, aggregate: str = "PCGrad", after: Prediction | None = None
) -> Stage:
    """Show 100 starts on the problem "valleys", every rule, and the share in the flat valley against ρ.

    With FLATMTL_FAST=1 there are 25 starts instead of 100.

    Args:
        rho: the slider begins at its position nearest to this ρ.
        aggregate: one of ``AGGREGATES``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the aggregator is unknown, or ρ lies outside 0 to 1.
    """
    side = SIDE // 2 if os.environ.get("FLATMTL_FAST") == "1" else SIDE
    recipe = "lab.portrait_instrument(rho={value}, aggregate={choice})"
    controls = slider("ρ", RHOS, "rho", rho, "{:.1f}".format) | menu("aggregator", AGGREGATES, aggregate)
    return open_stage("Portrait instrument", recipe, controls, after, _draw, side)


def starts(side: int = SIDE) -> Tensor:
    """Return starts on a grid over the window of "valleys", (side², 2); by default 100."""
    x, y = (torch.linspace(low + 0.2, high - 0.2, side, dtype=torch.float64) for low, high in PLANE.window)
    return torch.cartesian_prod(x, y)


@functools.cache
def valley_bottoms() -> Tensor:
    """Return the points where descent on the mean loss ends in the sharp and in the flat valley, (2, 2)."""
    near = torch.tensor([[-1.0, -0.1], [1.2, -0.8]])
    return descend(PLANE, near, 0.0, [Method(Mean(), "erm")], steps=300)[0, :, -1]


def count_ends(ends: Tensor, bottoms: Tensor) -> Tensor:
    """Count the ends (..., N, 2) in the sharp valley, in the flat valley and in neither: (..., 3)."""
    inside = ((ends.unsqueeze(-2) - bottoms).norm(dim=-1) < NEAR).sum(-2)
    return torch.cat([inside, ends.shape[-2] - inside.sum(-1, keepdim=True)], -1)


def _draw(side: int, choice: str) -> Drawing:
    """Draw the paths and the ends of every rule, for an aggregator."""
    methods, bottoms = [Method(AGGREGATES[choice](), rule) for rule in RULES], valley_bottoms()
    paths = descend(PLANE, starts(side), RHOS[:, None], methods)
    kept = paths.unflatten(2, (side, side))[:, :, ::2, ::2].flatten(2, 3)[..., PATH_STEPS, :]
    counts = count_ends(paths[..., -1, :], bottoms)
    panels: list[Panel] = []
    for k, rule in enumerate(RULES):
        rows = slice(1) if rule == "erm" else slice(None)  # the slider does not move it
        words = sentences("{n[0]} sharp,<br>{n[1]} flat, {n[2]} neither", n=counts[k])
        panels.append(_plane(rule, bottoms, kept[k, rows], paths[k, rows, :, -1], words))
    # seven names would not find room next to their curves; the curves of these two lie on others
    unnamed = ("direct", "each")
    looks = {
        f"flat-{rule}": ("" if rule in unnamed else rule, dict(color=look["color"], dash=look["dash"]))
        for rule, look in RULES.items()
    }
    x, y = dict(range=[0, 1], title="ρ"), dict(range=[0, side**2], title="ends")
    title, options = f"in the flat valley, of {side**2}", dict(origin=0, room=2)
    panels.append(Curves(title, x, y, looks, RHOS, counts[..., 1], **options))
    flats = counts[..., 1].T.tolist()
    ends = [", ".join(f"{rule} {n}" for rule, n in zip(RULES, row, strict=True)) for row in flats]
    sentence = "ρ = {rho:.1f}, {choice}; ends in the flat valley: {ends}."
    return Picture(None, [panels[:4], panels[4:]]), sentences(sentence, choice=choice, rho=RHOS, ends=ends)


def _plane(rule: str, bottoms: Tensor, paths: Tensor, ends: Tensor, words: Sequence[str]) -> Panel:
    """Draw the landscape with rings round its valleys, many thin paths and their ends.

    Args:
        rule: the paths have its colour.
        bottoms: of the two valleys, (2, 2).
        paths: (N or 1, n, S, 2).
        ends: (N or 1, m, 2).
        words: the title at each slider position.
    """
    (left, right), (low, high) = PLANE.window
    x, y = (dict(showticklabels=False, ticks="", range=[*ends]) for ends in PLANE.window)
    panel = Panel(x=x, y=y, room=2, ratio=(right - left) / (high - low))
    panel.draw(lambda: ground(PLANE))
    for name, bottom in zip(VALLEYS, bottoms, strict=True):
        across, up = (bottom + NEAR * circle()).T.tolist()
        panel.line(None, BLACK, 2, x=across, y=up)
        across, up = (bottom + torch.tensor([[0, NEAR]])).T.tolist()
        panel.text(None, [name], BLACK, x=across, y=up, textposition="top center")
    panel.line(f"paths-{rule}", RULES[rule]["color"], 1.2, points=lines_with_gaps(paths))
    panel.line(f"ends-{rule}", RULES[rule]["color"], 7, points=squares(ends))
    draw_title(panel, f"title-{rule}", [f"<b>{rule}</b>: {line}" for line in words])
    return panel
