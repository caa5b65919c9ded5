"""A picture: one large panel, smaller panels beside it, and the rest below, behind "more".

The picture gives every panel its place, once for wide and once for small windows. ``stage.js`` takes the
arrangement that fits and scales it to the window.
"""

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go

from ...figures.style import TEMPLATE
from .panel import FONT, Box, Panel

GAP = 14  # pixels
WIDE, SMALL = (1180, 540), (860, 400)  # width and height of the picture without "more"
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
            number = "" if k == 1 else str(k)
            panel.axes = dict(xaxis=f"x{number}", yaxis=f"y{number}")
            panel.sizes = []
        self.arrangements = [self._arranged(wide) for wide in (True, False)]

    def figure(self) -> go.Figure:
        """Return the figure in its wide arrangement. Its ``meta`` holds all arrangements for the page."""
        figure = go.Figure()
        wide = self.arrangements[0]
        for panel in self.panels:
            for trace in panel.parts:
                figure.add_trace(trace.update(panel.axes))
            # plotly draws axes only if a trace uses them
            figure.add_scatter(x=[None], y=[None], showlegend=False, **panel.axes)
            x, y = ("axis".join(("", name[1:])) if len(name) > 1 else "axis" for name in panel.axes.values())
            figure.update_layout(
                {
                    f"x{x}": dict(anchor=panel.axes["yaxis"]) | panel.x,
                    f"y{y}": dict(anchor=panel.axes["xaxis"]) | panel.y,
                }
            )
            if panel.title is not None:
                figure.add_annotation(text=panel.title, showarrow=False, font_size=FONT, **self._top(panel))
        figure.update_xaxes(title_standoff=4, title_font_size=FONT, tickfont_size=13)
        figure.update_yaxes(title_standoff=4, title_font_size=FONT, tickfont_size=13)
        figure.update_layout(
            template=TEMPLATE,
            font_size=FONT,
            margin=dict(l=0, r=0, t=0, b=0, autoexpand=False),
            dragmode=False,
            hovermode=False,
            showlegend=False,
            meta=dict(arrangements=self.arrangements, turns=self.main is not None and self.main.turns),
        )
        return figure.update_layout(wide["layout"])

    def _top(self, panel: Panel) -> dict:
        x, y = panel.axes.values()
        place = dict(xref=f"{x} domain", yref=f"{y} domain", x=0, y=1, yshift=2)
        return place | dict(xanchor="left", yanchor="bottom", align="left")

    def _arranged(self, wide: bool) -> dict:
        """Return the places of all panels in a window: plotly's layout, and the height without "more"."""
        width, fold = WIDE if wide else SMALL
        cells = dict(self._cells(width, fold, wide))
        height = max([fold, *(top + tall for _, top, _, tall in cells.values())])
        layout: dict = dict(width=width, height=height)
        for panel, cell in cells.items():
            left, top, w, h = panel.plot_area(cell)
            panel.sizes.append((w, h))
            x, y = (name.replace(name[0], f"{name[0]}axis") for name in panel.axes.values())
            layout[x] = dict(domain=[left / width, (left + w) / width])
            layout[y] = dict(domain=[1 - (top + h) / height, 1 - top / height])
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
