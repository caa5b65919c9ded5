"""Angles between the parts of gradients: as numbers, in words, on a half circle and in rows."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ....decomposition import Decomposition
from ....diagnostics import cosines
from ...figures.style import INK, ORANGE, PARTS
from .arrows import arrow_points
from .curve import DEGREES, draw_stems, shade
from .labels import draw_labels
from .panel import WIDTH, Panel, Styles
from .points import pairs

X, Y = (-1.5, 1.5), (-0.15, 1.3)
APART = 0.17  # rows between the angle of the loss parts and the angle of the flat parts
# uid -> name of its dots, colour, symbol, and the place in its row
LOOKS = {
    "loss": ("loss parts", PARTS["loss"]["color"], "circle", -APART),
    "flat": ("flat parts", PARTS["flat"]["color"], "diamond", APART),
    "intra": ("loss to flat", ORANGE, "square", 0.0),
}


def part_angles(d: Decomposition) -> dict[str, Tensor]:
    """Return angles in degrees (N,) of a decomposition with N rows.

    "between-loss", "between-flat" and "between-sam" are the largest angles between tasks; "within-k" is the
    angle between the loss part and the flat part of task k. An angle with a zero vector is NaN.
    """
    T = d.loss.shape[-2]
    degrees = degrees_between(cosines(torch.cat([d.loss, flat_part(d), d.sam], -2)))
    i, j = torch.triu_indices(T, T, offset=1)
    between = {f"between-{part}": degrees[:, k * T + i, k * T + j].amax(-1) for k, part in enumerate(PARTS)}
    return between | {f"within-{k}": degrees[:, k, T + k] for k in range(T)}


def degrees_between(C: Tensor) -> Tensor:
    """Return angles (..., T, T) in degrees from cosines; NaN where one of the vectors is zero."""
    zero = C.diagonal(dim1=-2, dim2=-1) == 0
    return torch.rad2deg(torch.acos(C)).masked_fill(zero.unsqueeze(-1) | zero.unsqueeze(-2), torch.nan)


def flat_part(d: Decomposition) -> Tensor:
    """Return the flat part of a decomposition that was made with a ρ."""
    if d.flat is None:
        raise ValueError("Got a decomposition without a flat part; expected one made with a ρ.")
    return d.flat


def degrees_texts(angles: Tensor) -> list[str]:
    """Write angles (N,) in degrees, or a dash where there is none."""
    return ["–" if math.isnan(angle) else f"{angle:.0f}°" for angle in angles.tolist()]


def conflict_texts(angles: Tensor) -> list[str]:
    """Write the remark for each angle (N,) above 90°."""
    return [" (conflict)" if angle > 90 else "" for angle in angles.tolist()]


class Dial(Panel):
    """A half circle from 0° at the right to 180° at the left. The left half means conflict.

    Args:
        title: above the panel.
        styles: uid -> name, and the colour and dash of the needle.
        degrees: uid -> the angle of the needle, (N or 1,).
    """

    def __init__(self, title: str, styles: Styles, degrees: Mapping[str, Tensor]):
        across, up = (dict(visible=False, range=ends) for ends in (X, Y))
        super().__init__(title, across, up, ratio=(X[1] - X[0]) / (Y[1] - Y[0]))
        turn = torch.linspace(0, math.pi, 61)
        x, y = turn.cos().tolist(), turn.sin().tolist()
        shade(self, [0, *x[30:]], [0, *y[30:]])
        self.line(None, INK, 1.5, x=x, y=y)
        marks = {"0°": (1.12, 0), "90°": (0, 1.13), "180°": (-1.2, 0), "conflict": (-0.6, 0.12)}
        left, height = zip(*marks.values(), strict=True)
        self.text(None, list(marks), INK, x=left, y=height)
        self.fixed = list(marks.values())
        needles = {uid: _needle(degrees[uid]) for uid in styles}
        for uid, (_, look) in styles.items():
            self.line(uid, **look | dict(width=4), points=needles[uid])
        along = torch.linspace(0.1, 1, 16, dtype=torch.float64)[:, None]
        shafts = [needle[:, 1:] * along for needle in needles.values()]
        tips = {name: (look["color"], needles[uid][:, 1]) for uid, (name, look) in styles.items()}
        draw_labels(self, tips, shafts, f"{next(iter(styles))}-names", apart=3)


class AngleRows(Panel):
    """Angles from 0° to 180° as dots on stems from 90°. Conflict is shaded.

    Args:
        tasks: names of the tasks.
        angles: uid -> degrees (N or 1, rows). The first dot of each kind carries its name.
    """

    def __init__(self, tasks: Sequence[str], angles: Mapping[str, Tensor]):
        T = len(tasks)
        between = [f"{tasks[i]}, {tasks[j]}" for i, j in torch.triu_indices(T, T, offset=1).T.tolist()]
        rows = between + [f"within {task}" for task in tasks]
        first = {"loss": 0, "flat": 0, "intra": len(between)}
        y = dict(range=[len(rows) - 0.5, -0.5], tickvals=list(range(len(rows))), ticktext=rows, ticks="")
        x, y = DEGREES | dict(title="angle"), y | dict(showgrid=False)
        super().__init__("angles (shaded: conflict)", x, y)
        self.before = WIDTH * max(map(len, rows))
        bottom = len(rows) - 0.5
        shade(self, [90, 180, 180, 90], [-0.5, -0.5, bottom, bottom])
        things, stems = {}, []
        for uid, (name, color, symbol, shift) in LOOKS.items():
            height = (first[uid] + torch.arange(angles[uid].shape[1]) + shift).expand_as(angles[uid])
            dots, feet = pairs(angles[uid], height), pairs(90, height)
            draw_stems(self, uid, color, dots, feet, symbol)
            things[name] = (color, dots[:, 0])
            stems += [torch.lerp(feet, dots, share / 8) for share in range(9)]
        draw_labels(self, things, stems, "angle-names")


def _needle(degrees: Tensor) -> Tensor:
    """Return the points (N, 2, 2) of a needle at each angle (N,)."""
    radians = torch.deg2rad(degrees)
    return arrow_points(pairs(radians.cos(), radians.sin()))
