"""Widgets that draw with plotly in a notebook's page, in the colours of its theme."""

import json
from pathlib import Path

import anywidget
import traitlets
from plotly.offline import get_plotlyjs

from .style import DARK

HERE = Path(__file__).parent


def javascript(*files: Path) -> str:
    """Return JavaScript files as one module, after the functions that follow the theme and load plotly."""
    texts = [file.read_text(encoding="utf-8") for file in (HERE / "theme.js", HERE / "load.js", *files)]
    return "\n".join([f"const DARK = {json.dumps(DARK)};", *texts])


class NeedsPlotly(anywidget.AnyWidget):
    """A widget whose JavaScript draws with plotly.js.

    The first one of a kernel takes plotly.js to the page. Later ones find it there, or ask for it.
    """

    plotly_js = traitlets.Bytes().tag(sync=True)

    _has_sent_plotly = False

    def __init__(self, carries_plotly: bool = True, **traits):
        carries_plotly &= not NeedsPlotly._has_sent_plotly
        super().__init__(plotly_js=get_plotlyjs().encode() if carries_plotly else b"", **traits)
        NeedsPlotly._has_sent_plotly |= carries_plotly
        self.on_msg(self._answer)

    def _answer(self, _, content, buffers) -> None:
        if content == "plotly":  # a page that was reloaded, or shows this widget first
            self.send("plotly", [get_plotlyjs().encode()])


class Drawing(NeedsPlotly):
    """A plain figure: the JSON of plotly, and the line of text that stands for it."""

    _esm = javascript(HERE / "drawing.js")

    figure = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)

    def _repr_mimebundle_(self, **kwargs):
        return super()._repr_mimebundle_(**kwargs)[0] | {"text/plain": self.text}
