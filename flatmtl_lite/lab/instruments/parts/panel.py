"""A panel: a pair of axes with the parts drawn in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import plotly.graph_objects as go
import torch
from plotly.basedatatypes import BaseTraceType
from torch import Tensor

from ...figures.style import BLACK, INKS, WHITE
from ...stage.table import Text

Points = Tensor | Text | Callable[[], Tensor | Text]  # of a trace; a function if they depend on pixels
Styles = Mapping[str, tuple[str, dict]]  # uid -> name ("" for none), and the look of a line
Box = tuple[float, float, float, float]  # left, top, width, height in pixels
FONT = 14  # pixels
LINE = 19  # height of a line of text
WIDTH = 8.2  # width of a character
BELOW, BESIDE = 42, 52  # room for the ticks and the name of an axis
SOLID = dict(solid=True)  # the 3-D view shows a trace with this ``meta`` too


class Panel:
    """A pair of axes and what is drawn in them. What is drawn later lies over what was drawn before.

    A trace with a ``uid`` moves with the slider: it gets the ``points`` of all positions, see :class:`Table`.
    Points that depend on pixels are a function, which is called when the panel has its size. A handle needs
    no points. Any other trace gets its ``x`` and ``y``. What makes a trace is a function too: a figure needs
    it, but a picture that is drawn again for a moved point does not.

    Args:
        title: text above the panel; None for none. A part may write a title of its own into ``room`` lines.
        x, y: options for plotly's axes; None hides an axis.
        room: lines of text above the panel.
        share: height of the panel compared with its neighbours in a column.
        ratio: width of the plotting area divided by its height; None to fill the place.
    """

    turns = False  # True in the large panel: a pull to its side moves the slider
    joined = False  # True keeps the panel at its left neighbour in small windows too, since they share rows
    x: dict  # options for plotly's axes
    y: dict
    number: str  # of its axes, given by the picture; "" for the first
    sizes: list[tuple[float, float]]  # pixels of the plotting area in each arrangement
    before: float | None = None  # pixels for the ticks and the name of y; None for the usual room
    after = 0.0  # pixels for names at the right

    def __init__(
        self,
        title: str | None = None,
        x: dict | None = None,
        y: dict | None = None,
        room: int = 1,
        share: float = 1.0,
        ratio: float | None = None,
    ):
        self.title, self.room, self.share, self.ratio = title, room, share, ratio
        self.x, self.y = (dict(visible=False) if axis is None else axis for axis in (x, y))
        self.parts: list[Callable[[], BaseTraceType]] = []
        self.traces: dict[str, Points] = {}
        self.fixed: list[tuple[float, float]] = []  # points that labels should leave free

    def draw(
        self, make: Callable[[], BaseTraceType], uid: str | None = None, points: Points | None = None
    ) -> None:
        """Draw any trace."""
        self.parts.append(make)
        if points is not None:
            self.traces[str(uid)] = points

    def scatter(self, uid: str | None, points: Points | None = None, **look) -> None:
        """Draw a ``go.Scatter``."""
        self.draw(lambda: go.Scatter(uid=uid, **look), uid, points)

    def line(self, uid: str | None, color: str, width: float = 3, dash: str | None = None, **options) -> None:
        """Draw a line; ``options`` are its ``points``, and options of ``go.Scatter``."""
        look = dict(color=color, width=width, dash=dash)
        self.scatter(uid, **dict(mode="lines", line=look) | options)

    def area(self, uid: str | None, color: str, **options) -> None:
        """Shade the area within the points."""
        self.line(uid, color, width=0, fill="toself", fillcolor=color, **options)

    def dots(
        self, uid: str | None, color: str | Sequence[str], symbol="circle", size=12.0, edge=1.5, **options
    ) -> None:
        """Draw markers with a black edge, so that a pale colour is seen too."""
        marker = dict(symbol=symbol, size=size, color=color, line=dict(width=edge, color=BLACK))
        self.scatter(uid, **dict(mode="markers", marker=marker) | options)

    def text(self, uid: str | None, texts: Sequence[str], colors: Sequence[str] | str, **options) -> None:
        """Write texts, centred at their points, with a rim that keeps them readable on any ground."""
        n, rim = len(texts), f"0 0 3px {WHITE}"
        colors = INKS.get(colors, colors) if isinstance(colors, str) else [INKS.get(c, c) for c in colors]
        look: dict = dict(mode="text", text=list(texts), textposition="middle center", cliponaxis=False)
        look |= dict(textfont=dict(color=colors, size=FONT, shadow=f"{rim}, {rim}, {rim}"))
        self.scatter(uid, **dict(x=[0] * n, y=[0] * n) | look | options)

    @property
    def unit(self) -> tuple[float, float]:
        """Pixels per unit of x and of y, in the arrangement where they are fewest.

        The unit of a logarithmic axis is a power of ten.
        """
        return self._unit(min)

    @property
    def largest_unit(self) -> tuple[float, float]:
        """Pixels per unit of x and of y, in the arrangement where they are most."""
        return self._unit(max)

    def _unit(self, choose: Callable[[Iterable[float]], float]) -> tuple[float, float]:
        (left, right), (low, high) = self.x["range"], self.y["range"]
        width, height = (choose(sizes) for sizes in zip(*self.sizes, strict=True))
        return width / abs(right - left), height / abs(high - low)

    def paper(self, points: Tensor) -> Tensor:
        """Return points (..., 2) in the units of the axes: powers of ten on a logarithmic axis."""
        return torch.where(self._logarithmic, points.log10(), points)

    def data(self, places: Tensor) -> Tensor:
        """Return the points (..., 2) at places in the units of the axes. It undoes :meth:`paper`."""
        return torch.where(self._logarithmic, 10.0**places, places)

    @property
    def _logarithmic(self) -> Tensor:
        return torch.tensor([axis.get("type") == "log" for axis in (self.x, self.y)])

    def width_for(self, height: float) -> float:
        """Return the width that a cell of this height needs; infinite for a panel that fills any place."""
        if self.ratio is None:
            return float("inf")
        left, _, across, _ = self.plot_area((0, 0, float("inf"), height))
        return left + across

    def plot_area(self, cell: Box) -> Box:
        """Return the part of a cell that is left for the axes."""
        left, top, width, height = cell
        above = LINE * self.room + 4 if self.room else 0
        below = BELOW if self.x.get("title") else 24 if self.x.get("visible", True) else 6
        beside = BESIDE if self.y.get("visible", True) and self.y.get("showticklabels", True) else 6
        before = beside if self.before is None else self.before
        width, height = width - before - self.after, height - above - below
        if self.ratio is not None:
            width, height = min(width, self.ratio * height), min(height, width / self.ratio)
        return left + before, top + above, width, height
