"""A picture: one large panel, smaller panels beside it, and the rest below, behind "more".

It gives every panel its place, for wide and small windows, and for a whole screen. ``stage.js`` takes the
arrangement that fits and scales it to the window.
"""

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go
from torch import Tensor

from ...figures.style import TEMPLATE
from ...stage.table import Text
from .panel import FONT, Box, Panel

GAP = 14  # pixels
WIDE, SMALL, TALL = (1180, 540), (860, 400), (1180, 600)  # width and height of the picture without "more"
MORE = 240  # height of a row of panels behind "more"


class Picture:
    """A figure of panels.

    Args:
        main: the large panel at the left, or None.
        side: the panels beside it, as rows from top to bottom.
        more: further panels, shown on request.
    """

    def __init__(self, main: Panel | None, side: Sequence[Sequence[Panel]], more: Sequence[Panel] = ()):
        self.main, self.side, self.more = main, [list(row) for row in side], list(more)
        self.panels = [p for p in (main, *(p for row in self.side for p in row), *self.more) if p is not None]
        for k, panel in enumerate(self.panels, 1):
            panel.number, panel.sizes = "" if k == 1 else str(k), []
        self.arrangements = [self._arranged(*size) for size in (WIDE, SMALL, TALL)]

    def traces(self) -> dict[str, Tensor | Text]:
        """Return the points of all traces that move, as :class:`Table` takes them."""
        points = {uid: points for panel in self.panels for uid, points in panel.traces.items()}
        return {uid: place() if callable(place) else place for uid, place in points.items()}

    def figure(self) -> go.Figure:
        """Return the figure in its wide arrangement. Its ``meta`` holds all arrangements for the page."""
        figure = go.Figure()
        for panel in self.panels:
            x, y = f"x{panel.number}", f"y{panel.number}"
            # plotly draws axes only if a trace uses them
            for make in [*panel.parts, lambda: go.Scatter(x=[None], y=[None], showlegend=False)]:
                trace = make()
                if "things" in (trace.meta or {}):
                    trace.meta |= dict(unit=panel.unit)
                figure.add_trace(trace.update(xaxis=x, yaxis=y))
            axes = {
                f"xaxis{panel.number}": dict(anchor=y) | panel.x,
                f"yaxis{panel.number}": dict(anchor=x) | panel.y,
            }
            figure.update_layout(axes)
            if panel.title is not None:
                place = dict(xref=f"{x} domain", yref=f"{y} domain", x=0, y=1, yshift=2, align="left")
                place |= dict(xanchor="left", yanchor="bottom", showarrow=False)
                figure.add_annotation(text=panel.title, font_size=FONT, **place)
        look = dict(title_standoff=4, title_font_size=FONT, tickfont_size=13)
        figure.update_xaxes(look).update_yaxes(look)
        figure.update_layout(
            template=TEMPLATE,
            font_size=FONT,
            margin=dict(l=0, r=0, t=0, b=0, autoexpand=False),
            dragmode=False,
            hovermode=False,
            showlegend=False,
            meta=dict(arrangements=self.arrangements, turns=self.main is not None and self.main.turns),
        )
        return figure.update_layout(self.arrangements[0]["layout"])

    def _arranged(self, width: float, fold: float) -> dict:
        """Return the places of all panels: plotly's layout, and the height ``fold`` without "more"."""
        cells = dict(self._cells(width, fold, width > SMALL[0]))
        height = max([fold, *(top + tall for _, top, _, tall in cells.values())])
        layout: dict = dict(width=width, height=height)
        for panel, cell in cells.items():
            left, top, w, h = panel.plot_area(cell)
            panel.sizes.append((w, h))
            layout[f"xaxis{panel.number}"] = dict(domain=[left / width, (left + w) / width])
            layout[f"yaxis{panel.number}"] = dict(domain=[1 - (top + h) / height, 1 - top / height])
        return dict(width=width, fold=fold, layout=layout)

    def _cells(self, width: float, fold: float, wide: bool) -> Iterator[tuple[Panel, Box]]:
        left, rows, more = 0.0, self.side, self.more
        if self.main is not None:
            cell = (0, 0, 0.6 * width, fold)
            yield self.main, cell
            x, _, across, _ = self.main.plot_area(cell)
            left = x + across + 2.5 * GAP
        if not wide and self.main is not None:
            if rows[0][-1].joined:
                shown, rest = [rows[0]], [panel for row in rows[1:] for panel in row]
            else:
                beside = max(len(rows[0]), 2)
                panels = [panel for row in rows for panel in row]
                shown, rest = [[panel] for panel in panels[:beside]], panels[beside:]
            rows, more = shown, rest + self.more
        yield from _stacked(rows, (left, 0, width - left - GAP, fold))
        across = 3 if wide else 2
        for k, panel in enumerate(more):
            wide_cell = (width - GAP) / across
            top = fold + GAP + (k // across) * (MORE + GAP)
            yield panel, (k % across * wide_cell, top, wide_cell - 2 * GAP, MORE)


def _stacked(rows: Sequence[Sequence[Panel]], cell: Box) -> Iterator[tuple[Panel, Box]]:
    """Give each row its share of the height, and each panel of a row its width."""
    left, top, width, height = cell
    shares = [max(panel.share for panel in row) for row in rows]
    free = height - GAP * (len(rows) - 1)
    for row, share in zip(rows, shares, strict=True):
        tall = free * share / sum(shares)
        x = left
        for panel, wide in zip(row, _widths(row, width - 2 * GAP * (len(row) - 1), tall), strict=True):
            yield panel, (x, top, wide, tall)
            x += wide + 2 * GAP
        top += tall + GAP


def _widths(row: Sequence[Panel], width: float, tall: float) -> list[float]:
    """Give each panel of a row the same width; panels that fill any place share what others leave over."""
    each = width / len(row)
    needed = [min(each, panel.width_for(tall)) for panel in row]
    greedy = sum(panel.ratio is None for panel in row)
    over = (width - sum(needed)) / max(greedy, 1)
    return [
        n + over if panel.ratio is None else n if greedy else each
        for n, panel in zip(needed, row, strict=True)
    ]
