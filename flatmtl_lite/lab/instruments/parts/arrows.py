"""Arrows that show steps: where a step goes, which is minus the gradient."""

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...figures.arrows import arrow
from ...figures.style import BLACK, GREY, INK, WHITE
from .labels import APART, draw_names, place
from .picture import Panel, Traces
from .points import joined, lines_with_gaps, pairs
from .weighing import METHODS

SHORTEST = 4  # pixels; a shorter arrow is not drawn
GOOD = "rgba(127, 127, 127, 0.18)"


class Arrows:
    """Several arrows in a panel, with a pale edge round them all.

    Args:
        panel: where to draw.
        colors: uid -> colour; a later arrow lies over an earlier one.
        width: of the shafts, in pixels.
    """

    def __init__(self, panel: Panel, colors: Mapping[str, str], width: float = 4.5):
        self.panel, self.edge = panel, f"{next(iter(colors))}-edge"
        panel.line(self.edge, WHITE, width + 3.5)
        for uid, color in colors.items():
            panel.draw(functools.partial(arrow, uid, color, width=width))

    def at(self, arrows: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the points of the arrows: uid -> tails and the ways from there, (N or 1, 2) each."""
        points = {uid: arrow_points(self._long_enough(way), tail) for uid, (tail, way) in arrows.items()}
        rows = max(map(len, points.values()))
        edges = [ends.expand(rows, 2, 2) for ends in points.values()]
        gap = torch.full_like(edges[0][:, :1], torch.nan)
        return points | {self.edge: torch.cat([part for ends in edges for part in (ends, gap)], 1)}

    def _long_enough(self, way: Tensor) -> Tensor:
        """Return the ways without those that would be drawn as a mere arrowhead."""
        pixels = way * torch.tensor(self.panel.unit, dtype=way.dtype)
        return way.masked_fill((pixels.norm(dim=-1, keepdim=True) < SHORTEST), 0.0)


def draw_arrows(panel: Panel, arrows: Mapping[str, tuple[str, Tensor, Tensor]], width: float = 4.5) -> None:
    """Draw several arrows in a panel, with a pale edge round them all.

    Args:
        panel: where to draw.
        arrows: uid -> colour, tails and the ways from there, (N or 1, 2) each; a later arrow lies over an
            earlier one.
        width: of the shafts, in pixels.
    """

    def ends(tail: Tensor, way: Tensor) -> Tensor:
        """Return the ends of an arrow, without those that would be drawn as a mere arrowhead."""
        pixels = way * torch.tensor(panel.unit, dtype=way.dtype)
        return arrow_points(way.masked_fill(pixels.norm(dim=-1, keepdim=True) < SHORTEST, 0.0), tail)

    def edges() -> Tensor:
        points = joined([ends(tail, way) for _, tail, way in arrows.values()])
        return lines_with_gaps(points.unflatten(1, (len(arrows), 2)))

    panel.line(f"{next(iter(arrows))}-edge", WHITE, width + 3.5, points=edges)
    for uid, (color, tail, way) in arrows.items():
        make = functools.partial(arrow, uid, color, width=width)
        panel.draw(make, uid, functools.partial(ends, tail, way))


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


class Directions:
    """The step of every method: a dot with its name where there is room, and an arrow for the chosen one.

    Args:
        panel: where to draw.
        things: other things in the panel, name -> colour. They get their names first.
        late: further things, which get names where there is room left.
    """

    def __init__(self, panel: Panel, things: Mapping[str, str], late: Mapping[str, str] | None = None):
        late = late or {}
        self.panel, self.things, self.late = panel, list(things), list(late)
        dots = dict(symbol="circle-open", size=9, color=GREY, line_width=2)
        names = dict(names=METHODS)  # the page shows the names of the dots under the pointer
        panel.scatter("others", None, mode="markers", marker=dots, meta=names)
        self.arrow = Arrows(panel, {"direction": BLACK})
        colors = [*things.values(), BLACK, *[INK] * (len(METHODS) - 1), *late.values()]
        draw_names(panel, "names", [""] * len(colors), colors)

    def at(self, chosen: int, steps: Tensor, things: Sequence[Tensor], obstacles: Tensor) -> Traces:
        """Return the points and names.

        Args:
            chosen: place of the chosen method.
            steps: of every method, (methods, N, 2).
            things: the places of the other things, the late ones too, (N, 2) each.
            obstacles: points (N, n, 2) that names should leave free.
        """
        order = [chosen, *(k for k in range(len(METHODS)) if k != chosen)]
        names, needed = [*self.things, *(METHODS[k] for k in order), *self.late], len(self.things) + 1
        places = [*things[: needed - 1], *steps[order], *things[needed - 1 :]]
        anchors = torch.stack(torch.broadcast_tensors(*places), 1)
        origin = torch.zeros_like(steps[chosen])
        arrow = self.arrow.at({"direction": (origin, steps[chosen])})
        obstacles = torch.cat([obstacles.expand(len(origin), -1, 2), along(origin, [steps[chosen]])], 1)
        centres = place(self.panel, anchors, names, obstacles, APART, needed)
        bold = [f"<b>{name}</b>" if k < needed else name for k, name in enumerate(names)]
        traces: Traces = {"names": (centres, [bold] * len(centres)), "names-things": anchors}
        return traces | arrow | {"others": steps.transpose(0, 1)}


class Wedge:
    """The wedge that holds the steps that are good for all, and the rim of the steps' convex hull."""

    def __init__(self, panel: Panel, reach: float):
        self.reach = reach
        panel.area("cone", GOOD)
        panel.line("hull", GREY, 1.5, "dot")

    def at(self, steps: Tensor) -> dict[str, Tensor]:
        """Return the points for the steps that the tasks want, (N, T, 2)."""
        return {"cone": wedges(steps, self.reach), "hull": torch.cat([steps, steps[:, :1]], 1)}


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
