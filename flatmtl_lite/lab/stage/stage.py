"""A stage: a plotly figure whose moving traces follow a slider, with or without a kernel."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
import traitlets

from ..figures import drawing
from ..figures.display import fold_of, static_picture
from .checks import check_choice, check_place, check_point
from .table import Table, keep_near, pack, unpack, with_minus

HERE = Path(__file__).parent
Packed = tuple[bytes, list[str], dict[str, list]]  # the table's bytes, its states and its texts


SCRIPTS = ("plots", "controls", "commands", "pointer", "tools", "solid", "stage")


def javascript() -> str:
    """Return the stage's JavaScript as one module."""
    return drawing.javascript(*(HERE / f"{name}.js" for name in SCRIPTS))


class Stage(drawing.NeedsPlotly):
    """A live figure. The table of all slider positions lies in the page, so the slider needs no kernel.

    plotly.py writes the figure, plotly.js draws it, and ``stage.js`` moves its traces. The kernel
    computes a new table when a draggable point moves. When it is idle, it computes the tables of the other
    choices; with FLATMTL_FAST=1 it computes them only when they are chosen.

    Args:
        figure: traces that change have a ``uid``. The axes of the first panel carry the draggable points.
        compute: (choice, point, ...) -> :class:`Table`. Every table has the same shape.
        title: name of the group of controls, for screen readers.
        label: name of the slider.
        values: readable values of the slider, one per position.
        index: the position to begin with.
        choices: the names in the menu next to the slider; its label is ``choice_label``.
        choice: the choice to begin with.
        points: the draggable points, name -> (x, y). The trace with the ``uid`` "point-0" is the handle of
            the first point, and so on. A handle may move along with the slider: then it shows its point at
            the first position, and the slider goes back to this position when the handle is dragged.
        recipe: the call that opens this stage, with the fields {value}, {choice} and {points}, a list of
            pairs, or {point}, the first pair.

    Raises:
        ValueError: ``values`` is empty, the first panel has no axis ranges, ``choice`` or ``index`` does
            not exist, a point is not two numbers within these ranges, or a table does not fit the
            figure's traces or the ``values``.
    """

    _esm = javascript()
    _css = HERE / "stage.css"

    figure = traitlets.Unicode().tag(sync=True)
    moving: traitlets.List = traitlets.List().tag(sync=True)
    resting: traitlets.List = traitlets.List().tag(sync=True)
    tables = traitlets.List(traitlets.Bytes()).tag(sync=True)
    states: traitlets.List = traitlets.List().tag(sync=True)
    texts: traitlets.List = traitlets.List().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    values = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int().tag(sync=True, echo_update=False)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    choice_label = traitlets.Unicode().tag(sync=True)
    choice = traitlets.Int().tag(sync=True, echo_update=False)
    points = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True, echo_update=False)
    point_labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    handles = traitlets.List(traitlets.Int()).tag(sync=True)
    bounds: traitlets.List = traitlets.List().tag(sync=True)
    recipe = traitlets.Unicode().tag(sync=True)
    view = traitlets.Unicode().tag(sync=True)
    solid = traitlets.Bool().tag(sync=True)
    locked = traitlets.Unicode().tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self,
        figure: go.Figure,
        compute: Callable[..., Table],
        *,
        title: str,
        label: str,
        values: Sequence[str],
        index: int = 0,
        choices: Sequence[str] = ("",),
        choice: str | None = None,
        choice_label: str = "method",
        points: Mapping[str, Sequence[float]] | None = None,
        recipe: str = "",
    ):
        points = points or {}
        choice = choices[0] if choice is None else choice
        check_choice(choice, choices, choice_label)
        if not values:
            raise ValueError(f"Got values={values!r}; expected a text for each position of the slider.")
        check_place(index, values, "index")
        bounds = [list(axis.range or [None]) for axis in (figure.layout.xaxis, figure.layout.yaxis)]
        if any(None in bound for bound in bounds):
            raise ValueError(
                f"Got a first panel with axis ranges {bounds}; expected two numbers each: "
                "give the figure's layout xaxis_range and yaxis_range."
            )
        for name, point in points.items():
            check_point(point, bounds, name)  # before the widget exists
        self._figure, self._compute = figure, compute
        self._traces = {trace.uid: k for k, trace in enumerate(figure.data) if trace.uid}
        self._filling: asyncio.TimerHandle | None = None
        super().__init__(
            title=title,
            label=label,
            values=list(values),
            index=index,
            choices=list(choices),
            choice=list(choices).index(choice),
            choice_label=choice_label,
            points=[[float(v) for v in point] for point in points.values()],
            point_labels=list(points),
            handles=[self._traces[f"point-{k}"] for k in range(len(points))],
            bounds=bounds,
            recipe=recipe,
        )
        self._show()
        self.figure = self.drawn().to_json(remove_uids=False)
        self.observe(self._show, ["points"])
        self.observe(self._fill_chosen, ["choice"])

    @traitlets.validate("points")
    def _check_points(self, proposal) -> list[list[float]]:
        points = proposal["value"]
        if len(points) != len(self.point_labels):
            raise ValueError(f"Got {len(points)} points; expected {len(self.point_labels)}, one per handle.")
        for name, point in zip(self.point_labels, points, strict=True):
            check_point(point, self.bounds, name)
        return points

    @traitlets.validate("index", "choice")
    def _check_places(self, proposal) -> int:
        name = proposal["trait"].name
        check_place(proposal["value"], self.values if name == "index" else self.choices, name)
        return proposal["value"]

    def shown(self, colour: str = "", solid: bool = False) -> "Stage":
        """Open with another colour of the landscape, or in 3-D. Returns the stage.

        Args:
            colour: an entry of the menu "colour", such as "task 1"; by default the first.
            solid: whether to open in 3-D.

        Raises:
            ValueError: there is no such colour, or no landscape to show in 3-D.
        """
        views = [trace.meta["view"] for trace in self._figure.data if "view" in (trace.meta or ())]
        if (colour and colour not in views) or (solid and not views):
            offered = ", ".join(map(repr, views)) or "neither: this stage has no landscape"
            raise ValueError(f"Got colour={colour!r}, solid={solid}; expected one of the colours {offered}.")
        self.view, self.solid = colour, solid
        return self

    def fill(self) -> None:
        """Compute the missing tables of all choices."""
        tables = {k: self._table(k) for k, table in enumerate(self.tables) if not table}
        if tables:
            self._keep(tables)

    def drawn(self) -> go.Figure:
        """Return the figure as it stands now: every trace at the present position."""
        figure = go.Figure(self._figure)
        block = self.tables[self.choice]
        for trace, points in unpack(block, self.resting, self.moving, len(self.values), self.index):
            figure.data[trace].update(x=points[0], y=points[1])
        keep_near(figure)
        for trace, texts in self.texts[self.choice].items():
            figure.data[int(trace)].update(text=texts[self.index])
        return figure

    @property
    def state(self) -> str:
        """The one-line text of the present picture."""
        return self.states[self.choice][self.index]

    @property
    def call(self) -> str:
        """The call that opens this stage as it stands now."""
        points = [tuple(point) for point in self.points]
        shown = dict(value=self.values[self.index], choice=repr(self.choices[self.choice]), points=points)
        return self.recipe.format(**shown, point=points[0] if points else "")

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)[0] | {"text/plain": self.state}
        if picture := static_picture(self._still()):
            bundle["image/png"] = picture
        return bundle, {"flatmtl": {"call": self.call}}

    def _still(self) -> go.Figure:
        """Return the figure for a picture that stands where no stage can, with a line that says so."""
        note = dict(text="A still picture: run this cell to move it.", showarrow=False, bgcolor="#FFF3CD")
        figure = self.drawn()
        bottom = 1 - fold_of(figure)  # of the picture, below its panels
        place = dict(xref="paper", yref="paper", x=0, y=bottom, xanchor="left", yanchor="bottom")
        return figure.add_annotation(**note, **place)

    def _show(self, _=None) -> None:
        """Compute a table for new points: at once for the present choice, later for the others."""
        self._keep({self.choice: self._table(self.choice)}, forget=True)
        self._fill_when_idle()

    def _fill_chosen(self, _) -> None:
        if not self.tables[self.choice]:
            self._keep({self.choice: self._table(self.choice)})

    def _fill_when_idle(self) -> None:
        if self._filling is not None:
            self._filling.cancel()
        if os.environ.get("FLATMTL_FAST") == "1":
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a script: no page to be quick for
            return
        self._filling = loop.call_later(0.4, self.fill)

    def _table(self, choice: int) -> Packed:
        table = self._compute(self.choices[choice], *map(tuple, self.points))
        handles = {f"point-{k}": [[point]] for k, point in enumerate(self.points)}
        block, self._resting, self._moving = pack(table, handles, self._traces, len(self.values))
        texts = {  # a text that was once empty is never drawn again by plotly
            str(self._traces[uid]): [[with_minus(text) or " " for text in row] for row in rows]
            for uid, rows in table.texts.items()
        }
        return block, [with_minus(state) for state in table.states], texts

    def _keep(self, computed: Mapping[int, Packed], forget: bool = False) -> None:
        """Send computed tables in one message; ``forget`` drops all other tables."""
        empty: list[Packed] = [(b"", [], {})] * len(self.choices)
        old = empty if forget else list(zip(self.tables, self.states, self.texts, strict=True))
        tables, states, texts = zip(*(computed.get(k, old[k]) for k in range(len(self.choices))), strict=True)
        with self.hold_sync():
            self.resting, self.moving = self._resting, self._moving
            self.states = list(states)
            self.texts = list(texts)
            self.tables = list(tables)
