"""Places for labels: near their things or their curves, and neither over one another nor over a path."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...figures.style import INK
from ...stage.table import Text
from .panel import LINE, Panel
from .points import joined

Things = Mapping[str, tuple[str, Tensor]]  # text -> its colour, and the thing (N or 1, 2)
APART = 9  # pixels between a thing and its label
MOST = 4.0  # covered points at which there is no room for a label
CLOSE = 8  # pixels within which another thing could be taken for the label's own
LASTING = 6  # slider positions
ALIKE = 1.1  # two arrangements that differ by less need one search
SAVED = 4.0  # covered points that justify a change of sides
# sides of a thing, as steps to the right and upwards; left and right first: a label beside a thing reads best
SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])
STEPS = np.arange(-2, 3)[:, None]  # the second step is a line farther away
COLUMNS, ROWS = np.concatenate([SIDES, 2 * SIDES]).T + 2  # the 16 places of a label, among those steps
FARTHER = np.repeat([False, True], len(SIDES))
FAR = 2.5  # covered points that justify a place that is farther away
# the size of the marker that nobody sees keeps a title off the frame
_TITLE = dict(mode="markers+text", marker=dict(size=6, opacity=0), textposition="top right")


def draw_labels(
    panel: Panel,
    things: Things,
    obstacles: Sequence[Tensor],
    uid: str = "labels",
    apart: float = APART,
    within: bool = False,
    needed: int | None = None,
    words: Sequence[list[str]] | None = None,
    title: Sequence[str] | None = None,
) -> None:
    """Draw labels that keep next to things that move, see :func:`place`.

    Their places hold for the arrangement with the fewest pixels. In a larger one the stage moves each label
    towards its thing, a point of the trace "uid-things" that nobody sees.

    Args:
        panel: where to draw.
        things: text -> its colour, and the thing (N or 1, 2).
        obstacles: points (N or 1, n, 2) that labels should leave free.
        uid: of the trace.
        apart: pixels between a thing and its label.
        within: True leaves out a label that has no room within the panel.
        needed: how many labels always have a place; by default all.
        words: the labels at each slider position, if they change.
        title: the title of the panel at each slider position, as :func:`draw_title` draws it; in one trace
            with the labels it is drawn faster. Not together with ``words``.
    """
    texts, (colors, places) = list(things), zip(*things.values(), strict=True)
    anchors = torch.stack(torch.broadcast_tensors(*places), 1)
    needed = len(texts) if needed is None else needed
    bold = [f"<b>{label}</b>" for label in texts]
    look: dict = dict(meta=dict(things=f"{uid}-things"))
    corner = anchors[:, :0]
    if title is not None:
        corner = _corner(panel, len(title))
        words = [[*bold, line] for line in title]
        look |= _TITLE | dict(textposition=["middle center"] * len(bold) + [_TITLE["textposition"]])
        bold, colors = [*bold, ""], (*colors, INK)

    def centres() -> Tensor | Text:
        points = place(panel, anchors, texts, joined(obstacles), apart, needed, within)
        points = joined([points, corner])
        return points if words is None else (points, list(words))

    panel.text(uid, bold, colors, points=centres, **look)
    panel.scatter(f"{uid}-things", joined([anchors, corner]), visible=False)


def draw_title(panel: Panel, uid: str, titles: Sequence[str]) -> None:
    """Draw the title of a panel at each slider position. The panel needs room for its lines."""
    places = _corner(panel, len(titles))
    panel.text(uid, [""], INK, points=(places, [[title] for title in titles]), **_TITLE)


def _corner(panel: Panel, positions: int) -> Tensor:
    """Return the upper left corner of a panel, (positions, 1, 2), since texts change in traces that move."""
    corner = torch.tensor([panel.x["range"][0], panel.y["range"][1]], dtype=torch.float64)
    return panel.data(corner).expand(positions, 1, 2)


def place(
    panel: Panel,
    anchors: Tensor,
    texts: list[str],
    obstacles: Tensor,
    apart: float,
    needed: int,
    within: bool = False,
) -> Tensor:
    """Return the centres (N, n, 2) of n labels for things at ``anchors`` (N, n, 2), NaN where there is none.

    Each label takes the side of its thing where it covers least: other labels, other things, the points of
    ``obstacles`` (N or 1, m, 2) and the edge of the panel, in the largest arrangement as in the smallest. It
    rarely changes sides as the slider moves, so that it does not jump. A thing outside the panel has no
    label. The first ``needed`` labels always have a place, unless that must lie ``within`` the panel; the
    others have one only where there is room.
    """
    N, n, _ = anchors.shape
    sizes = np.array([panel.unit, panel.largest_unit])
    sizes = sizes[: 1 if (sizes[1] < ALIKE * sizes[0]).all() else 2]
    V = len(sizes)
    units = np.repeat(sizes[:, None], N, 0)  # (V N, 1, 2): every position in each arrangement
    low, high = (np.sort([panel.x["range"], panel.y["range"]], -1)[:, k] * units for k in (0, 1))

    def pixels(points: Tensor) -> np.ndarray:
        return np.tile(panel.paper(points.double()).expand(N, -1, 2).numpy(), (V, 1, 1)) * units

    things, fixed = pixels(anchors), pixels(torch.tensor(panel.fixed, dtype=torch.float64).reshape(1, -1, 2))
    things[((things < low) | (things > high)).any(-1)] = np.nan  # out of sight: it has no label
    things = np.clip(
        things, low + (LINE + 1) / 2, high - (LINE + 1) / 2
    )  # at the edge there is room beside it
    dots = np.concatenate([things, pixels(obstacles)], 1)
    centres, halves = np.full((V * N, n, 2), np.nan), np.array([_half(label) for label in texts])
    for k, half in enumerate(halves):
        around = things[:, k, None] + np.sign(STEPS) * (half + apart + LINE * (abs(STEPS) > 1))  # (V N, 5, 2)
        cost = _covered(around, dots, half + 3) + np.arange(len(ROWS)) / 20 + FAR * FARTHER
        cost += 10 * _covered(around, fixed, half + 10)
        cost += 120 * _covered(around, centres[:, :k], half + halves[:k])
        across, up = ((around - half < low) | (around + half > high)).astype(int).transpose(2, 0, 1)
        beyond = across[:, COLUMNS] + up[:, ROWS]
        cost += 80 * beyond
        if k >= needed:
            cost += 3 * _covered(around, things, half + CLOSE) + MOST * FARTHER
        worse = cost.reshape(V, N, -1).max(0)
        sides = _steady(worse)
        rows, all_sides = range(V * N), sides * V
        centres[:, k] = np.stack([around[rows, COLUMNS[all_sides], 0], around[rows, ROWS[all_sides], 1]], -1)
        if within:
            centres[np.tile(beyond.reshape(V, N, -1).max(0)[range(N), sides] > 0, V), k] = np.nan
        if k >= needed:
            centres[np.tile(~_lasting(worse[range(N), sides] <= MOST), V), k] = np.nan
    return panel.data(torch.from_numpy((centres / units)[:N]))


def _covered(places: np.ndarray, dots: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return how many dots (N or 1, m, 2) lie near each of the 16 places, (N, 16).

    A place is one of five columns and one of five rows, (N, 5, 2). A dot counts if it is near both.
    """
    near_column, near_row = (
        (np.abs(places[..., None, k] - dots[:, None, :, k]) < near[..., k]).astype(np.float32) for k in (0, 1)
    )
    return (near_column @ near_row.swapaxes(1, 2))[:, COLUMNS, ROWS]


def _lasting(shown: np.ndarray) -> np.ndarray:
    """Return where a label is shown for at least ``LASTING`` slider positions; less is a flicker."""
    steady = shown.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shown.astype(int), [0]])))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first < min(LASTING, len(shown)):
            steady[first:end] = False
    return steady


def _half(label: str) -> np.ndarray:
    """Return half the width and the height of a bold label, in pixels."""
    narrow, wide = (sum(letter in letters for letter in label) for letters in ("fijlrt |", "mwMW"))
    return np.array([9.7 * len(label) - 4 * narrow + 4 * wide, LINE]) / 2


def _steady(cost: np.ndarray) -> list[int]:
    """Return the sides (N,) that cost least, (N, 16), where each change of sides costs ``SAVED``."""
    if (cost.argmin(1) == cost[0].argmin()).all():
        return [int(cost[0].argmin())] * len(cost)
    best, came = cost[0], []
    for row in cost[1:]:
        limit = best.min() + SAVED
        came.append((best > limit, best.argmin()))
        best = np.minimum(best, limit) + row
    sides = [int(best.argmin())]
    for changes, cheapest in came[::-1]:
        sides.append(int(cheapest) if changes[sides[-1]] else sides[-1])
    return sides[::-1]


def last_seen(lines: Tensor, panel: Panel) -> Tensor:
    """Return the last points (..., 2) of lines (..., points, 2) in the panel, or its lower right corner."""
    places = panel.paper(lines)
    low, high = torch.tensor([sorted(axis["range"]) for axis in (panel.x, panel.y)], dtype=lines.dtype).T
    seen = ((places >= low) & (places <= high)).all(-1)  # NaN is never seen
    last = (seen * torch.arange(1, lines.shape[-2] + 1)).argmax(-1)
    ends = lines.gather(-2, last[..., None, None].expand(*last.shape, 1, 2)).squeeze(-2)
    corner = panel.data(torch.stack([high[0], low[1]]))
    return torch.where(seen.any(-1, keepdim=True), ends, corner)


def spread(heights: Tensor, panel: Panel) -> Tensor:
    """Move heights (..., n) as little as makes them lie a line of text apart, and within the panel.

    The heights are in the units of the axis, see :meth:`Panel.paper`.
    """
    apart = LINE / panel.unit[1]
    bottom, top = min(panel.y["range"]) + apart / 2, max(panel.y["range"]) - apart / 2
    order = heights.argsort(stable=True, dim=-1)
    steps = apart * torch.arange(heights.shape[-1], dtype=heights.dtype)

    def pushed_up(rising: Tensor) -> Tensor:
        return (rising - steps).cummax(-1).values + steps

    def pushed_down(rising: Tensor) -> Tensor:
        return -pushed_up(-rising.flip(-1)).flip(-1)

    wanted = heights.gather(-1, order).clamp(bottom, top)
    middle = ((pushed_up(wanted) + pushed_down(wanted)) / 2).clamp_min(bottom)
    within = pushed_up(middle).clamp_max(top)
    return torch.empty_like(heights).scatter(-1, order, pushed_down(within))
