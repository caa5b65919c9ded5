"""Lenses: steps from one point, enlarged until they fill the frame."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import PARTS, WHITE
from .arrows import Arrows, along
from .labels import Labels, Title
from .picture import Panel, Traces
from .points import seen_part

RIM = 0.3  # free share of the frame round the steps, for arrowheads and names
# size of the enlarged flat step, and of the enlarged tips of several steps, as a share of the frame
FLAT_SHOWN, TIPS_SHOWN = 0.42, 0.5
FLAT_ZOOM = 20.0  # times the size at which all three steps fit
NAMES = {"sam": "SAM", "loss": "loss", "flat": "flat"}  # the sum lies lowest


class Magnifier(Panel):
    """A frame for steps from one point, with two lines of text above it.

    Args:
        ratio: width of the frame divided by its height.
        share: see :class:`Panel`.
        look: options for the frame.
    """

    def __init__(self, ratio: float, share: float = 1.0, **look):
        look = dict(showticklabels=False, ticks="", showgrid=False, mirror=True) | look
        x, y = (look | dict(range=[-edge, edge]) for edge in (ratio, 1))
        super().__init__(None, x, y, room=2, share=share, ratio=ratio)
        self.edge = torch.tensor([ratio, 1.0], dtype=torch.float64)

    def focus(self, corners: Tensor, wanted: Tensor, most: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the centre of the frame (N, 2), its scale (N, 1), and how far the tips are enlarged (N,).

        As the lens zooms in, its centre moves from the middle of all corners to the middle of the tips.

        Args:
            corners: the point that the steps start from, then their tips, (N, 1 + n, 2).
            wanted: the scale at which the tips are easy to tell apart, (N, 1).
            most: how far the tips may be enlarged beyond the size at which the whole steps fit.
        """
        tips = corners[:, 1:]
        around, ahead = corners.amax(1) + corners.amin(1), tips.amax(1) + tips.amin(1)
        size = (corners.amax(1) - corners.amin(1)).clamp_min(1e-12)
        whole = (2 * (1 - RIM) * self.edge / size).amin(-1, keepdim=True)
        scale = torch.minimum(torch.maximum(whole, wanted), most * whole)
        near = 1 - (whole / scale) ** 2  # fast enough to keep the tips in the frame
        return ((1 - near) * around + near * ahead) / 2, scale, (scale / whole)[:, 0]


class Lens(Magnifier):
    """A magnifier at the tips of three steps of one task: loss, flat, and their sum.

    Args:
        name: what the steps belong to, such as "task 1".
        color: of the frame.
        narrow: True for a short title.
    """

    def __init__(self, name: str, color: str, narrow: bool = False):
        super().__init__(1.4, share=1.5, linecolor=color, linewidth=2)
        self.name, self.narrow, self.uid = name, narrow, name.replace(" ", "-")
        colors = {part: PARTS[part]["color"] for part in NAMES}
        self.arrows = Arrows(self, {f"{self.uid}-{part}": c for part, c in colors.items()}, width=5.5)
        self.labels = Labels(self, {NAMES[part]: c for part, c in colors.items()}, f"{self.uid}-labels", 4)
        self.head = Title(self, f"{self.uid}-title")

    def at(self, loss: Tensor, flat: Tensor) -> Traces:
        """Return the points and titles for the steps ``loss`` (N or 1, 2) and ``flat`` (N, 2)."""
        loss, flat = torch.broadcast_tensors(loss, flat)
        size = flat.norm(dim=-1, keepdim=True)
        wanted = (2 * FLAT_SHOWN / size.clamp_min(1e-12)).masked_fill(size < 1e-9, 0.0)  # nothing to enlarge
        corners = torch.stack([torch.zeros_like(loss), loss, loss + flat], 1)
        centre, scale, zooms = self.focus(corners, wanted, FLAT_ZOOM)
        corners = (corners - centre.unsqueeze(1)) * scale.unsqueeze(1)
        tails, tips = corners[:, [0, 0, 1]], corners[:, [2, 1, 2]]  # of the sum, loss and flat
        ways = zip(NAMES, tails.unbind(1), (tips - tails).unbind(1), strict=True)
        arrows = self.arrows.at({f"{self.uid}-{part}": (tail, way) for part, tail, way in ways})
        tails, tips = seen_part(tails, tips, -self.edge, self.edge)
        middles = (tails + tips) / 2
        middles[size[:, 0] < 1e-9, ::2] = torch.nan  # the sum is the loss step
        shares = torch.linspace(0, 1, 24, dtype=loss.dtype)[:, None]
        shafts = (tails[:, :, None] + shares * (tips - tails)[:, :, None]).flatten(1, 2)
        titles = [
            f"<b>{self.name}</b>{f', tips × {z:.1f}' if z > 1.05 else ''}<br>{words}"
            for z, words in zip(zooms.tolist(), self._words(loss, flat), strict=True)
        ]
        return arrows | self.labels.at(list(middles.unbind(1)), shafts) | self.head.at(titles)

    def _words(self, loss: Tensor, flat: Tensor) -> list[str]:
        """Write how long the flat step is, and where it points."""
        share = flat.norm(dim=-1) / loss.norm(dim=-1).clamp_min(1e-12)
        angle = torch.rad2deg(torch.acos(torch.cosine_similarity(flat, loss, dim=-1).clamp(-1, 1)))
        wording = "flat {:.0f} % at {:.0f}°" if self.narrow else "flat: {:.0f} % of loss, {:.0f}° from it"
        return [
            "no flat part" if s < 1e-9 else wording.format(100 * s, a)
            for s, a in zip(share.tolist(), angle.tolist(), strict=True)
        ]


class Steps(Magnifier):
    """A magnifier at one point: the steps from there, each with its name at its tip.

    Args:
        title: above the panel.
        looks: uid -> name and colour; a later step lies over an earlier one.
        zoom: how many times the tips may be enlarged beyond the size at which the whole steps fit.
    """

    def __init__(self, title: str, looks: Mapping[str, tuple[str, str]], zoom: float = 1.0):
        super().__init__(1.6)
        self.room = 2 if zoom > 1 else 1
        self.words, self.zoom = title, zoom
        self.arrows = Arrows(self, {uid: color for uid, (_, color) in looks.items()})
        self.dots("steps-from", WHITE, "circle-cross", size=13, edge=2)
        self.labels = Labels(self, dict([*looks.values()][::-1]), "steps-names", 5)  # the uppermost first
        self.head = Title(self, "steps-title")

    def at(self, steps: Mapping[str, Tensor]) -> Traces:
        """Return the points for the steps: uid -> (N, 2)."""
        ends = torch.stack([torch.zeros_like(next(iter(steps.values()))), *steps.values()], 1)
        size = (ends[:, 1:].amax(1) - ends[:, 1:].amin(1)).clamp_min(1e-12)
        wanted = (2 * TIPS_SHOWN * self.edge / size).amin(-1, keepdim=True)
        centre, scale, zooms = self.focus(ends, wanted, self.zoom)
        origin, ways = -scale * centre, {uid: scale * step for uid, step in steps.items()}
        arrows = self.arrows.at({uid: (origin, way) for uid, way in ways.items()})
        tips = [origin + way for way in ways.values()]
        shafts = along(origin, [tip - origin for tip in tips])
        titles = [self.words + (f"<br>tips × {zoom:.1f}" if zoom > 1.05 else "") for zoom in zooms.tolist()]
        names = self.labels.at(tips[::-1], shafts)
        return arrows | {"steps-from": origin[:, None]} | names | self.head.at(titles)
