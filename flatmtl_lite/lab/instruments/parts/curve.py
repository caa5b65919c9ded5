"""Curves, lines, dots and stems with their names, and shaded areas."""

import functools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...figures.style import GREY, INK, TASK_DASHES, TASKS
from .labels import draw_labels, last_seen, spread
from .panel import FONT, LINE, WIDTH, Panel, Styles
from .points import growing_curve, lines_with_gaps, pairs

DEGREES = dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticktext=["0°", "45°", "90°", "135°", "180°"])
BESIDE = 12  # pixels from a dot to its name
WAY = 150  # points of a line that labels keep off
CONFLICT = "rgba(213, 94, 0, 0.12)"


def task_styles(uid: str, names: Sequence[str] = ("task 1", "task 2")) -> Styles:
    """Return the styles of one line per task, with uids "uid-0", "uid-1", ..."""
    looks = zip(names, TASKS, TASK_DASHES)  # there are more looks than tasks
    return {f"{uid}-{k}": (name, dict(color=c, dash=dash)) for k, (name, c, dash) in enumerate(looks)}


class Curves(Panel):
    """Curves over the slider's values, with a dot at the slider and their names to the right of their ends.

    Args:
        title: above the panel.
        x, y: options for plotly's axes, with a "range" each.
        styles: uid -> name ("" for none), and the colour and dash of the line.
        at: the slider's values, (N,).
        heights: of each curve, (N,).
        origin: the slider position from which the curves grow with the slider, their names next to the
            dots. By default the whole curves rest.
        options: of :class:`Panel`.
    """

    def __init__(
        self,
        title: str | None,
        x: dict,
        y: dict,
        styles: Styles,
        at: Tensor,
        heights: Iterable[Tensor],
        origin: int | None = None,
        **options,
    ):
        super().__init__(title, x, y, **options)
        first, looks = next(iter(styles)), [look for _, look in styles.values()]
        points = pairs(at[:, None], torch.stack([*heights], -1))
        ends = torch.tensor(y["range"], dtype=at.dtype)
        cursor = self.data(pairs(self.paper(points)[:, :1, 0], ends))
        for uid, look, line in zip(styles, looks, points.unbind(1), strict=True):
            self.line(uid, **look, points=line[None] if origin is None else growing_curve(line, origin))
        colors = [look["color"] for look in looks]
        # the dots and the cursor are one trace, which is drawn faster than two
        here = torch.cat([lines_with_gaps(points.unsqueeze(2)), cursor], 1)
        sizes, paints = [10, 0] * len(colors) + [0, 0], [c for color in colors for c in (color, GREY)]
        dotted = dict(mode="lines+markers", line=dict(color=GREY, width=1.5, dash="dot"), cliponaxis=False)
        self.dots(f"{first}-here", [*paints, GREY, GREY], size=sizes, points=here, **dotted)
        named = [k for k, (name, _) in enumerate(styles.values()) if name]
        names, colors = [name for name, _ in styles.values() if name], [colors[k] for k in named]
        if names and origin is not None:
            ahead = functools.partial(_ahead, self, points[:, named], names, origin)
            self.text(f"{first}-names", names, colors, points=ahead)
        elif names:
            names = [f"\u2003{name}" for name in names]  # the space keeps them off the dots
            self.after = WIDTH * max(map(len, names))
            look = dict(points=lambda: _beside(self, points[:, named]), textposition="middle right")
            self.text(f"{first}-names", names, colors, **look)


def _beside(panel: Panel, points: Tensor) -> Tensor:
    """Return places (1, n, 2) for the names of curves (N, n, 2), to the right of the panel."""
    ends = panel.paper(last_seen(points.transpose(0, 1), panel))
    ends[:, 0] = max(panel.x["range"]) - 1e-9  # plotly hides what rounding puts beyond the axis
    ends[:, 1] = spread(ends[:, 1], panel)
    return panel.data(ends)[None]


def _ahead(panel: Panel, points: Tensor, names: Sequence[str], origin: int) -> Tensor:
    """Return places (N, n, 2) for the names, ahead of the growing curves and within the panel."""
    places, (low, high) = panel.paper(points), sorted(panel.x["range"])
    half = torch.tensor([WIDTH * len(name) / 2 for name in names]).double() / panel.unit[0]
    ahead = 1.0 - 2.0 * (torch.arange(len(points))[:, None] < origin)
    wanted = places[..., 0] + ahead * (half + BESIDE / panel.unit[0])
    x = torch.minimum(torch.maximum(wanted, low + half), high - half)
    # a name that finds no room ahead lies above its curve
    lift = 0.7 * LINE / panel.unit[1] * (x != wanted)
    return panel.data(pairs(x, spread(places[..., 1] + lift, panel)))


class Along(Panel):
    """A curve over the steps of a path, with a dot and the value at its highest point.

    The curve changes as a whole with the slider.

    Args:
        uid: of the curve.
        title: above the panel, in two lines.
        x, y: options for plotly's axes, with a "range" each.
        look: colour and dash of the curve.
        places: of the points on the axis, (n,).
        heights: (N, n), NaN where there is none.
    """

    def __init__(self, uid: str, title: str, x: dict, y: dict, look: dict, places: Tensor, heights: Tensor):
        super().__init__(title, x, y, room=2)
        most, k = heights.nan_to_num(-torch.inf).max(-1)
        top = pairs(places[k], most.masked_fill(most.isinf(), torch.nan)).unsqueeze(1)
        words = [[f"{value:.0f}°" if value > 0.5 else ""] for value in most.tolist()]
        self.line(uid, **look, points=pairs(places, heights))
        dot: dict = dict(mode="markers+text", marker=dict(size=9, color=look["color"]))
        dot |= dict(textposition="top center", textfont_size=FONT)
        self.text(f"{uid}-most", words[0], INK, points=(top, words), **dot)


def draw_lines(panel: Panel, styles: Styles, lines: Sequence[Tensor]) -> None:
    """Draw lines with their names at their right ends.

    Args:
        panel: where to draw.
        styles: uid -> name, and the colour, width and dash of the line.
        lines: their points, (N or 1, n, 2) each.
    """
    things, ways = {}, []
    for (uid, (name, look)), line in zip(styles.items(), lines, strict=True):
        panel.line(uid, **look, points=line)
        things[name] = (look["color"], last_seen(line, panel))
        # points that are close enough for labels to keep off the line
        places = panel.paper(line).transpose(1, 2)
        dense = torch.nn.functional.interpolate(places, size=WAY, mode="linear", align_corners=True)
        ways.append(panel.data(dense.transpose(1, 2)))
    draw_labels(panel, things, ways, f"{next(iter(styles))}-names", apart=3)


def draw_line(
    panel: Panel, name: str, x: Sequence, y: Sequence, look: dict, k: int = 0, side: str = "top right"
) -> None:
    """Draw a line that never moves, with its name beside its ``k``-th point."""
    panel.line(None, **look, x=x, y=y)
    panel.text(None, [name], look["color"], x=[x[k]], y=[y[k]], textposition=side)


def shade(panel: Panel, x: Sequence[float], y: Sequence[float], color: str = CONFLICT) -> None:
    """Shade the area within the corners."""
    panel.area(None, color, x=x, y=y)


def draw_stems(
    panel: Panel, uid: str, color: str, dots: Tensor, feet: Tensor, symbol: str = "circle"
) -> None:
    """Draw a dot (N, n, 2) for each value, on a stem that rises from its foot (N, n, 2)."""
    panel.line(f"{uid}-stems", color, points=lines_with_gaps(torch.stack([feet, dots], 2)))
    panel.dots(uid, color, symbol, size=11, points=dots, cliponaxis=False)
