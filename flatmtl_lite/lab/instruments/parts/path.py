"""What moves on a landscape: paths, climbs, the ball, and the points where the tasks look."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import BLACK, PATH, SAM, WHITE
from .labels import Labels
from .picture import SOLID, Panel
from .points import circle, growing_curve, seen_part, thin_path

ARROWS = (0.12, 0.35, 0.65)  # where on the way an arrowhead shows the direction


def draw_handle(panel: Panel, k: int = 0) -> None:
    """Draw the handle of the ``k``-th draggable point."""
    panel.dots(f"point-{k}", WHITE, "circle-cross", size=19, edge=2.5, meta=SOLID)


def draw_edged_line(panel: Panel, uid: str) -> None:
    """Draw a line framed in black, so that a pale colour is seen on any ground."""
    panel.line(f"{uid}-edge", BLACK, 6)
    panel.line(uid, PATH, 3.5, "solid", meta=SOLID)


class Path:
    """A path with arrowheads on the way and a diamond at its end."""

    def __init__(self, panel: Panel):
        draw_edged_line(panel, "path")
        heads = dict(symbol="arrow", angleref="previous", size=[0, 15] * len(ARROWS), color=PATH, opacity=1)
        heads |= dict(line=dict(width=1.3, color=BLACK))
        panel.scatter("path-heads", None, mode="markers", marker=heads)
        panel.dots("end", PATH, "diamond", size=15, meta=SOLID)

    def at(self, path: Tensor) -> dict[str, Tensor]:
        """Return the points of the path (N, S, 2)."""
        last = path.shape[-2] - 1
        places = torch.tensor([max(1, round(share * last)) for share in ARROWS])
        heads = torch.stack([path[:, places - 1], path[:, places]], 2).flatten(1, 2)
        thin = thin_path(path)
        return {"path": thin, "path-edge": thin, "path-heads": heads, "end": path[:, -1:]}


class Trail:
    """The way so far, with a marker where it has come to. What lies ahead is not drawn."""

    def __init__(self, panel: Panel, uid: str):
        self.uid = uid
        draw_edged_line(panel, f"{uid}-trail")
        panel.dots(uid, PATH, size=14, edge=2, cliponaxis=False, meta=SOLID)

    def at(self, way: Tensor) -> dict[str, Tensor]:
        """Return the points for the place (N, 2) at each slider position."""
        trail = growing_curve(way)
        return {self.uid: way[:, None], f"{self.uid}-trail": trail, f"{self.uid}-trail-edge": trail}


class Paths:
    """Several paths from one start, with a marker and a name at the end of each.

    Args:
        panel: where to draw.
        looks: name -> the colour, dash and symbol of the path; a later path lies over an earlier one.
    """

    def __init__(self, panel: Panel, looks: Mapping[str, dict]):
        self.names = list(looks)
        for name, look in looks.items():
            # without an edge the gaps of its dashes show the paths below
            panel.line(f"path-{name}", look["color"], 4, look["dash"], meta=SOLID)
        colors, symbols = ([look[key] for look in looks.values()] for key in ("color", "symbol"))
        panel.dots("end", colors, symbols, meta=SOLID)
        # the uppermost path gets the best place for its name
        self.labels = Labels(panel, {name: looks[name]["color"] for name in self.names[::-1]})

    def at(self, paths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the paths: name -> (N or 1, S, 2)."""
        traces = {f"path-{name}": thin_path(paths[name]) for name in self.names}
        ends = torch.broadcast_tensors(*(paths[name][:, -1] for name in self.names))
        ways = [way[:, ::8].expand(len(ends[0]), -1, 2) for way in traces.values()]
        return traces | {"end": torch.stack(ends, 1)} | self.labels.at(ends[::-1], torch.cat(ways, 1))


class Ball:
    """The dotted ball of radius ρ; an ellipse for adaptive SAM."""

    def __init__(self, panel: Panel):
        panel.line("ball", SAM, 2.5, "dot", meta=SOLID)

    def at(self, theta: Tensor, rhos: Tensor, adaptive: bool = False) -> dict[str, Tensor]:
        """Return the points for θ (2,) and radii (N,)."""
        return {"ball": theta + rhos[:, None, None] * circle(theta if adaptive else None)}


class Looks:
    """Lines from θ to the points where the tasks look, with a star at each.

    For a point outside the panel there is an arrowhead at the edge.

    Args:
        panel: where to draw.
        colors: uid -> colour.
    """

    def __init__(self, panel: Panel, colors: Mapping[str, str]):
        self.panel = panel
        for uid, color in colors.items():
            line: dict = dict(mode="lines+markers", line=dict(color=color, width=2))
            panel.dots(uid, color, "star", size=[0, 0, 15], **line)
        arrows: dict = dict(size=[0, 17] * len(colors), marker_angleref="previous")
        panel.dots("beyond", [color for color in colors.values() for _ in range(2)], "arrow", **arrows)

    def seen(self, theta: Tensor, look: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ends (N, 2) of the lines from θ to ``look`` (N, 2) in the panel.

        The second tensor (N,) says which of them end at its edge.
        """
        low, high = torch.tensor([self.panel.x["range"], self.panel.y["range"]], dtype=look.dtype).T
        end = seen_part(theta.expand_as(look), look, low, high)[1]
        return end, (end != look).any(-1)

    def at(self, theta: Tensor, looks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points: θ (2,), and uid -> the points where the task looks, (N, 2)."""
        traces, arrows = {}, []
        for uid, look in looks.items():
            end, beyond = self.seen(theta, look)
            star = look.masked_fill(beyond[:, None], torch.nan)
            line = torch.stack([theta.expand_as(end), end], 1)
            traces[uid] = torch.cat([line, star[:, None]], 1)
            arrows.append(line.masked_fill(~beyond[:, None, None], torch.nan))
        return traces | {"beyond": torch.cat(arrows, 1)}


class Climb:
    """Several steps uphill: a dashed line with a dot at each visited point and a diamond at the highest."""

    def __init__(self, panel: Panel, uid: str, color: str):
        self.uid = uid
        line: dict = dict(mode="lines+markers", line=dict(color=color, width=2.5, dash="dash"))
        panel.dots(uid, color, size=6, edge=1, meta=SOLID, **line)
        panel.dots(f"{uid}-at", color, "diamond", size=14, meta=SOLID)

    def at(self, visited: Tensor, highest: Tensor) -> dict[str, Tensor]:
        """Return the points: all that the climb visits (N, n, 2), and the highest (N, 2)."""
        return {self.uid: visited, f"{self.uid}-at": highest.unsqueeze(1)}
