"""Rows of angles: one row for each pair of tasks and one for each task, with the name in the row."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...figures.style import ORANGE, PARTS
from .curve import DEGREES
from .labels import Labels
from .lines import shade
from .picture import WIDTH, Panel
from .stems import Stems

APART = 0.17  # rows between the angle of the loss parts and the angle of the flat parts
# uid -> name of its dots, colour, symbol, and the place in its row
LOOKS = {
    "loss": ("loss parts", PARTS["loss"]["color"], "circle", -APART),
    "flat": ("flat parts", PARTS["flat"]["color"], "diamond", APART),
    "intra": ("loss to flat", ORANGE, "square", 0.0),
}


class AngleRows(Panel):
    """Angles from 0° to 180° as dots on stems from 90°. Conflict is shaded.

    Args:
        tasks: names of the tasks.
    """

    def __init__(self, tasks: Sequence[str]):
        T = len(tasks)
        pairs = [f"{tasks[i]}, {tasks[j]}" for i, j in torch.triu_indices(T, T, offset=1).T.tolist()]
        rows = pairs + [f"within {task}" for task in tasks]
        y = dict(range=[len(rows) - 0.5, -0.5], tickvals=list(range(len(rows))), ticktext=rows, ticks="")
        super().__init__(
            "angles (shaded: conflict)", x=DEGREES | dict(title="angle"), y=y | dict(showgrid=False)
        )
        self.before = WIDTH * max(map(len, rows))
        self.rows = {"loss": (0, len(pairs)), "flat": (0, len(pairs)), "intra": (len(pairs), len(rows))}
        bottom = len(rows) - 0.5
        shade(self, [90, 180, 180, 90], [-0.5, -0.5, bottom, bottom])
        self.stems = {uid: Stems(self, uid, color, symbol) for uid, (_, color, symbol, _) in LOOKS.items()}
        self.labels = Labels(self, {name: color for name, color, _, _ in LOOKS.values()}, "angle-names")

    def at(self, angles: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points: uid -> degrees (N or 1, rows). The first dot of each kind carries its name."""
        traces: dict[str, Tensor] = {}
        for uid, (_, _, _, shift) in LOOKS.items():
            degrees = angles[uid]
            height = (torch.arange(*self.rows[uid]) + shift).expand_as(degrees)
            dots = torch.stack([degrees, height], -1)
            traces |= self.stems[uid].at(dots, torch.stack([torch.full_like(height, 90), height], -1))
        rows = len(angles["flat"])
        dots = torch.cat([traces[uid].expand(rows, -1, 2) for uid in LOOKS], 1)
        feet = torch.stack([torch.full_like(dots[..., 0], 90), dots[..., 1]], -1)
        stems = [torch.lerp(feet, dots, share / 8) for share in range(9)]
        return traces | self.labels.at(
            [traces[uid][:, 0].expand(rows, 2) for uid in LOOKS], torch.cat(stems, 1)
        )
