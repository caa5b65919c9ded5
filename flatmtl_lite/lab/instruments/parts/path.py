"""What moves on a landscape: paths, climbs, the ball, and the points where the tasks look."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import BLACK, PATH, WHITE
from .labels import draw_labels
from .panel import SOLID, Panel
from .points import growing_curve, seen_part, thin_path

ARROWS = (0.12, 0.35, 0.65)  # where on the way an arrowhead shows the direction


def draw_handle(panel: Panel, k: int = 0) -> None:
    """Draw the handle of the ``k``-th draggable point."""
    panel.dots(f"point-{k}", WHITE, "circle-cross", size=19, edge=2.5, meta=SOLID)


def draw_edged_line(panel: Panel, uid: str, points: Tensor) -> None:
    """Draw a line framed in black, so that a pale colour is seen on any ground."""
    panel.line(f"{uid}-edge", BLACK, 6, points=points)
    panel.line(uid, PATH, 3.5, "solid", points=points, meta=SOLID)


def draw_path(panel: Panel, path: Tensor) -> None:
    """Draw a path (N, S, 2) with arrowheads on the way and a diamond at its end."""
    last = path.shape[-2] - 1
    places = torch.tensor([max(1, round(share * last)) for share in ARROWS])
    ends = torch.stack([path[:, places - 1], path[:, places]], 2).flatten(1, 2)
    draw_edged_line(panel, "path", thin_path(path))
    heads = dict(symbol="arrow", angleref="previous", size=[0, 15] * len(ARROWS), color=PATH, opacity=1)
    heads |= dict(line=dict(width=1.3, color=BLACK))
    panel.scatter("path-heads", ends, mode="markers", marker=heads)
    panel.dots("end", PATH, "diamond", size=15, points=path[:, -1:], meta=SOLID)


def draw_trail(panel: Panel, uid: str, way: Tensor) -> None:
    """Draw the way so far, with a marker at the place (N, 2) where it has come to, and nothing ahead."""
    draw_edged_line(panel, f"{uid}-trail", growing_curve(way))
    panel.dots(uid, PATH, size=14, edge=2, points=way[:, None], cliponaxis=False, meta=SOLID)


def draw_paths(panel: Panel, looks: Mapping[str, dict], paths: Mapping[str, Tensor]) -> None:
    """Draw several paths from one start, with a marker and a name at the end of each.

    Args:
        panel: where to draw.
        looks: name -> the colour, dash and symbol of the path; a later path lies over an earlier one.
        paths: name -> (N or 1, S, 2).
    """
    for name, look in looks.items():
        # without an edge the gaps of its dashes show the paths below
        panel.line(f"path-{name}", look["color"], 4, look["dash"], points=thin_path(paths[name]), meta=SOLID)
    colors, symbols = ([look[key] for look in looks.values()] for key in ("color", "symbol"))
    ends = torch.broadcast_tensors(*(paths[name][:, -1] for name in looks))
    panel.dots("end", colors, symbols, points=torch.stack(ends, 1), meta=SOLID)
    things = dict(zip(looks, zip(colors, ends, strict=True), strict=True))
    # the uppermost path gets the best place for its name
    ways = [thin_path(paths[name])[:, ::8] for name in looks]
    draw_labels(panel, dict(reversed(things.items())), ways)


def seen_from(panel: Panel, theta: Tensor, look: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends (N, 2) of the lines from θ (2,) to ``look`` (N, 2) in the panel.

    The second tensor (N,) says which of them end at its edge.
    """
    low, high = torch.tensor([panel.x["range"], panel.y["range"]], dtype=look.dtype).T
    end = seen_part(theta.expand_as(look), look, low, high)[1]
    return end, (end != look).any(-1)


def draw_looks(panel: Panel, theta: Tensor, looks: Mapping[str, tuple[str, Tensor]]) -> None:
    """Draw lines from θ to the points where the tasks look, with a star at each.

    For a point outside the panel there is an arrowhead at the edge.

    Args:
        panel: where to draw.
        theta: θ, (2,).
        looks: uid -> colour, and the points where the task looks, (N, 2).
    """
    arrows = []
    for uid, (color, look) in looks.items():
        end, beyond = seen_from(panel, theta, look)
        star = look.masked_fill(beyond[:, None], torch.nan)
        way = torch.stack([theta.expand_as(end), end], 1)
        arrows.append(way.masked_fill(~beyond[:, None, None], torch.nan))
        line = dict(mode="lines+markers", line=dict(color=color, width=2))
        panel.dots(uid, color, "star", size=[0, 0, 15], points=torch.cat([way, star[:, None]], 1), **line)
    heads = dict(size=[0, 17] * len(looks), marker_angleref="previous")
    colors = [color for color, _ in looks.values() for _ in range(2)]
    panel.dots("beyond", colors, "arrow", points=torch.cat(arrows, 1), **heads)


def draw_climb(panel: Panel, uid: str, color: str, visited: Tensor, highest: Tensor) -> None:
    """Draw several steps uphill.

    A dashed line has a dot at each visited point (N, n, 2), and a diamond at the highest (N, 2).
    """
    line = dict(mode="lines+markers", line=dict(color=color, width=2.5, dash="dash"))
    panel.dots(uid, color, size=6, edge=1, points=visited, meta=SOLID, **line)
    panel.dots(f"{uid}-at", color, "diamond", size=14, points=highest.unsqueeze(1), meta=SOLID)
