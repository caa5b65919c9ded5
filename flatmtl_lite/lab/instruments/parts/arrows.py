"""Arrows that show steps: where a step goes, which is minus the gradient."""

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...figures.arrows import arrow
from ...figures.style import BLACK, GREY, INK, WHITE
from .labels import Things, draw_labels
from .panel import Panel
from .points import joined, lines_with_gaps, pairs
from .weighing import METHODS

SHORTEST = 4  # pixels; a shorter arrow is not drawn
GOOD = "rgba(127, 127, 127, 0.18)"


def draw_arrows(
    panel: Panel, arrows: Mapping[str, tuple[str, Tensor, Tensor]], width: float = 4.5, edge: float = 3.5
) -> None:
    """Draw several arrows in a panel, with an edge round them all that sets them off from the ground.

    Args:
        panel: where to draw.
        arrows: uid -> colour, tails and the ways from there, (N or 1, 2) each; a later arrow lies over an
            earlier one.
        width: of the shafts, in pixels.
        edge: what its two sides add to the width; 0 on a plain ground, where nobody would see it.
    """

    @functools.cache
    def ends(uid: str) -> Tensor:
        """Return the ends of an arrow, without those that would be drawn as a mere arrowhead."""
        _, tail, way = arrows[uid]
        pixels = way * torch.tensor(panel.unit, dtype=way.dtype)
        return arrow_points(way.masked_fill(pixels.norm(dim=-1, keepdim=True) < SHORTEST, 0.0), tail)

    def edges() -> Tensor:
        points = joined([ends(uid) for uid in arrows])
        return lines_with_gaps(points.unflatten(1, (len(arrows), 2)))

    if edge:
        panel.line(f"{next(iter(arrows))}-edge", WHITE, width + edge, points=edges)
    for uid, (color, _, _) in arrows.items():
        panel.draw(functools.partial(arrow, uid, color, width=width), uid, functools.partial(ends, uid))


def arrow_points(tips: Tensor, tails: Tensor | None = None) -> Tensor:
    """Return arrows (N, 2, 2) by ``tips`` (N, 2) from ``tails``, by default the origin.

    An arrow without length is NaN, so it is not drawn.
    """
    tails = torch.zeros_like(tips) if tails is None else tails
    ends = torch.stack(torch.broadcast_tensors(tails, tails + tips), 1)
    return ends.masked_fill((tips.norm(dim=-1) < 1e-9)[:, None, None], torch.nan)


def along(origin: Tensor, ways: Sequence[Tensor]) -> Tensor:
    """Return points (N, n, 2) on steps (N, 2) each from ``origin`` (N, 2): labels should leave them free."""
    shares = torch.linspace(0.1, 1, 12, dtype=origin.dtype)[:, None]
    return torch.cat([origin[:, None] + shares * way[:, None] for way in ways], 1)


def draw_directions(
    panel: Panel, chosen: int, steps: Tensor, things: Things, obstacles: Tensor, late: Things
) -> None:
    """Draw the step of every method: a dot with its name where there is room, the chosen one as an arrow.

    Args:
        panel: where to draw.
        chosen: place of the chosen method.
        steps: of every method, (methods, N, 2).
        things: other things in the panel, name -> colour and place (N, 2). They get their names first.
        obstacles: points (N, n, 2) that names should leave free.
        late: further things, which get names where there is room left.
    """
    dots = dict(symbol="circle-open", size=9, color=GREY, line_width=2)
    names = dict(names=METHODS)  # the page shows the names of the dots under the pointer
    panel.scatter("others", steps.transpose(0, 1), mode="markers", marker=dots, meta=names)
    origin = torch.zeros_like(steps[chosen])
    draw_arrows(panel, {"direction": (BLACK, origin, steps[chosen])})
    order = [chosen, *(k for k in range(len(METHODS)) if k != chosen)]
    methods = {METHODS[k]: (BLACK if k == chosen else INK, steps[k]) for k in order}
    named, needed = {**things, **methods, **late}, len(things) + 1
    words = [f"<b>{name}</b>" if k < needed else name for k, name in enumerate(named)]
    free = [obstacles, along(origin, [steps[chosen]])]
    draw_labels(panel, named, free, "names", needed=needed, words=[words] * len(origin))


def wedges(steps: Tensor, reach: float) -> Tensor:
    """Return the outline (N, 33, 2) of {d: ⟨sᵢ, d⟩ > 0 for all i} for steps (N, T, 2).

    It is NaN if no step is good for all.
    """
    angle = torch.atan2(steps[..., 1], steps[..., 0])
    away = torch.remainder(angle - angle[:, :1] + math.pi, 2 * math.pi) - math.pi
    low, high = away.amax(-1) - math.pi / 2, away.amin(-1) + math.pi / 2
    share = torch.linspace(0, 1, 31, dtype=steps.dtype)
    arc = angle[:, :1] + low[:, None] + (high - low)[:, None] * share
    rim = 2 * reach * pairs(arc.cos(), arc.sin())
    tip = torch.zeros_like(rim[:, :1])
    empty = (high - low < 1e-9) | (steps.norm(dim=-1) == 0).any(-1)
    return torch.cat([tip, rim, tip], 1).masked_fill(empty[:, None, None], torch.nan)
