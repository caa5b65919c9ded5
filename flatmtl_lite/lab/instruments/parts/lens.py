"""The lens: loss + flat = SAM of one task, as steps, enlarged until they fill the frame."""

import torch
from torch import Tensor

from ...figures.style import PARTS
from ...stage.table import Text
from .arrows import Arrows
from .labels import Labels, Title
from .picture import Panel

SHOWN = 0.42  # length of the enlarged flat step, as a share of the frame
MOST = 20.0  # times the size at which the whole triangle fits
RIM = 0.3  # free share of the frame round the triangle, for arrowheads and names
RATIO = 1.4  # width of the frame divided by its height
NAMES = {"sam": "SAM", "loss": "loss", "flat": "flat"}  # the sum lies lowest


class Lens(Panel):
    """A magnifier at the tips of three steps: loss, flat, and their sum.

    Args:
        name: what the steps belong to, such as "task 1".
        color: of the frame.
        narrow: True for a short title.
    """

    def __init__(self, name: str, color: str, narrow: bool = False):
        frame = dict(showticklabels=False, ticks="", showgrid=False, mirror=True)
        frame |= dict(linecolor=color, linewidth=2)
        x, y = frame | dict(range=[-RATIO, RATIO]), frame | dict(range=[-1, 1])
        super().__init__(x=x, y=y, room=2, share=1.5, ratio=RATIO)
        self.name, self.narrow, self.uid = name, narrow, name.replace(" ", "-")
        self.arrows = Arrows(self, {f"{self.uid}-{part}": PARTS[part]["color"] for part in NAMES}, width=5.5)
        self.labels = Labels(
            self, {NAMES[part]: PARTS[part]["color"] for part in NAMES}, f"{self.uid}-labels", 4
        )
        self.head = Title(self, f"{self.uid}-title")

    def at(self, loss: Tensor, flat: Tensor) -> dict[str, Tensor | Text]:
        """Return the points and titles for the steps ``loss`` (N or 1, 2) and ``flat`` (N, 2)."""
        loss, flat = torch.broadcast_tensors(loss, flat)
        corners, zoom = self._enlarged(torch.stack([torch.zeros_like(loss), loss, loss + flat], 1), flat)
        start, tip, end = corners.unbind(1)
        ways = {"sam": (start, end), "loss": (start, tip), "flat": (tip, end)}
        traces: dict[str, Tensor | Text] = {}
        traces |= self.arrows.at({f"{self.uid}-{part}": (a, b - a) for part, (a, b) in ways.items()})
        edge = torch.tensor([RATIO, 1.0], dtype=loss.dtype)
        inside = [tuple(end.clamp(-edge, edge) for end in ends) for ends in ways.values()]
        middles = [(a + b) / 2 for a, b in inside]
        same = flat.norm(dim=-1, keepdim=True) < 1e-9  # the sum is the loss step
        middles = [
            middle.masked_fill(same, torch.nan) if k != 1 else middle for k, middle in enumerate(middles)
        ]
        along = torch.linspace(0, 1, 24, dtype=loss.dtype)[:, None]
        shafts = torch.cat([a[:, None] + along * (b - a)[:, None] for a, b in inside], 1)
        titles = [
            f"<b>{self.name}</b>{f', tips × {z:.1f}' if z > 1.05 else ''}<br>{words}"
            for z, words in zip(zoom.tolist(), _words(loss, flat, self.narrow), strict=True)
        ]
        return traces | self.labels.at(middles, shafts) | self.head.at(titles)

    def _enlarged(self, corners: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return the corners in the units of the frame, and how far they are enlarged.

        As the lens zooms in, its centre moves from the middle of the triangle to the middle of ``flat``.
        """
        high, low = corners.amax(1), corners.amin(1)
        frame = torch.tensor([2 * RATIO, 2.0], dtype=corners.dtype)
        whole = ((1 - RIM) * frame / (high - low).clamp_min(1e-12)).amin(-1)
        wanted = SHOWN * frame.min() / flat.norm(dim=-1).clamp_min(1e-12)
        scale = torch.minimum(torch.maximum(whole, wanted), MOST * whole)
        near = (1 - (whole / scale) ** 2).unsqueeze(-1)  # fast enough to keep the flat step in the frame
        centre = (1 - near) * (high + low) / 2 + near * corners[:, 1:].mean(1)
        return (corners - centre.unsqueeze(1)) * scale[:, None, None], scale / whole


def _words(loss: Tensor, flat: Tensor, narrow: bool) -> list[str]:
    """Write how long the flat step is, and where it points."""
    share = flat.norm(dim=-1) / loss.norm(dim=-1).clamp_min(1e-12)
    angle = torch.rad2deg(torch.acos(torch.cosine_similarity(flat, loss, dim=-1).clamp(-1, 1)))
    wording = "flat {:.0f} % at {:.0f}°" if narrow else "flat: {:.0f} % of loss, {:.0f}° from it"
    return [
        "no flat part" if s < 1e-9 else wording.format(100 * s, a)
        for s, a in zip(share.tolist(), angle.tolist(), strict=True)
    ]
