"""Lenses: steps from one point, enlarged until they fill the frame."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...figures.style import PARTS, WHITE
from .arrows import along, draw_arrows
from .labels import draw_labels
from .panel import Panel
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

    The title says how long the flat step is, and where it points.

    Args:
        name: what the steps belong to, such as "task 1".
        color: of the frame.
        loss, flat: the steps, (N or 1, 2) and (N, 2).
        narrow: True for a short title.
    """

    def __init__(self, name: str, color: str, loss: Tensor, flat: Tensor, narrow: bool = False):
        super().__init__(1.4, share=1.5, linecolor=color, linewidth=2)
        uid, (loss, flat) = name.replace(" ", "-"), torch.broadcast_tensors(loss, flat)
        size = flat.norm(dim=-1, keepdim=True)
        wanted = (2 * FLAT_SHOWN / size.clamp_min(1e-12)).masked_fill(size < 1e-9, 0.0)  # nothing to enlarge
        corners = torch.stack([torch.zeros_like(loss), loss, loss + flat], 1)
        centre, scale, zooms = self.focus(corners, wanted, FLAT_ZOOM)
        corners = (corners - centre.unsqueeze(1)) * scale.unsqueeze(1)
        tails, tips = corners[:, [0, 0, 1]], corners[:, [2, 1, 2]]  # of the sum, loss and flat
        colors, ways = [PARTS[part]["color"] for part in NAMES], tips - tails
        arrows = zip(colors, tails.unbind(1), ways.unbind(1), strict=True)
        uids = [f"{uid}-{part}" for part in NAMES]
        draw_arrows(self, dict(zip(uids, arrows, strict=True)), width=5.5, edge=0)
        tails, tips = seen_part(tails, tips, -self.edge, self.edge)
        middles = (tails + tips) / 2
        middles[size[:, 0] < 1e-9, ::2] = torch.nan  # the sum is the loss step
        shares = torch.linspace(0, 1, 24, dtype=loss.dtype)[:, None]
        shafts = (tails[:, :, None] + shares * (tips - tails)[:, :, None]).flatten(1, 2)
        things = zip(colors, middles.unbind(1), strict=True)
        titles = [
            f"<b>{name}</b>{f', tips × {z:.1f}' if z > 1.05 else ''}<br>{words}"
            for z, words in zip(zooms.tolist(), _words(loss, flat, narrow), strict=True)
        ]
        named = dict(zip(NAMES.values(), things, strict=True))
        draw_labels(self, named, [shafts], f"{uid}-labels", 4, title=titles)


def _words(loss: Tensor, flat: Tensor, narrow: bool) -> list[str]:
    """Write how long the flat step is, and where it points."""
    share = flat.norm(dim=-1) / loss.norm(dim=-1).clamp_min(1e-12)
    angle = torch.rad2deg(torch.acos(torch.cosine_similarity(flat, loss, dim=-1).clamp(-1, 1)))
    wording = "flat {:.0f} % at {:.0f}°" if narrow else "flat: {:.0f} % of loss, {:.0f}° from it"
    return [
        "no flat part" if s < 1e-9 else wording.format(100 * s, a)
        for s, a in zip(share.tolist(), angle.tolist(), strict=True)
    ]


class Steps(Magnifier):
    """A magnifier at one point: the steps from there, each with its name at its tip.

    Args:
        title: above the panel.
        steps: uid -> name, colour, and the step (N, 2); a later step lies over an earlier one.
        zoom: how many times the tips may be enlarged beyond the size at which the whole steps fit.
    """

    def __init__(self, title: str, steps: Mapping[str, tuple[str, str, Tensor]], zoom: float = 1.0):
        super().__init__(1.6)
        self.room = 2 if zoom > 1 else 1
        ways = [way for _, _, way in steps.values()]
        ends = torch.stack([torch.zeros_like(ways[0]), *ways], 1)
        size = (ends[:, 1:].amax(1) - ends[:, 1:].amin(1)).clamp_min(1e-12)
        wanted = (2 * TIPS_SHOWN * self.edge / size).amin(-1, keepdim=True)
        centre, scale, zooms = self.focus(ends, wanted, zoom)
        origin = -scale * centre
        arrows = {uid: (color, origin, scale * way) for uid, (_, color, way) in steps.items()}
        draw_arrows(self, arrows, edge=0)
        self.dots("steps-from", WHITE, "circle-cross", size=13, edge=2, points=origin[:, None])
        tips = {name: (color, origin + scale * way) for name, color, way in [*steps.values()][::-1]}
        shafts = along(origin, [tip - origin for _, tip in tips.values()])
        titles = [title + (f"<br>tips × {most:.1f}" if most > 1.05 else "") for most in zooms.tolist()]
        draw_labels(self, tips, [shafts], "steps-names", 5, title=titles)  # the uppermost step is named first
