"""A figure is shown with its text, and with a picture on demand."""

import base64
import io

import plotly.graph_objects as go
import pytest
from PIL import Image

from flatmtl_lite import lab
from flatmtl_lite.lab import show
from flatmtl_lite.lab.figures import basic, display, drawing, scenes
from flatmtl_lite.runs import rooms

PNG = bytes.fromhex(  # one white pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
WIDGET = "application/vnd.jupyter.widget-view+json"
SAMPLE = rooms.render(3, height=24, width=32)
FIGURE = basic.curves([1, 2], {"a": [1, 2]}, "x", "y")


def test_show_stores_text_and_picture_only_on_demand(monkeypatch):
    shown = []
    monkeypatch.setattr("flatmtl_lite.lab.figures.display.display", lambda data, raw: shown.append(data))
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", lambda figure, **size: PNG)
    monkeypatch.delenv("FLATMTL_STATIC", raising=False)
    show(FIGURE, "in words")
    monkeypatch.setenv("FLATMTL_STATIC", "1")
    show(FIGURE, "in words")
    assert [sorted(data) for data in shown] == [
        [WIDGET, display.PLOTLY, "text/plain"],
        [WIDGET, display.PLOTLY, "image/png", "text/plain"],
    ]
    assert shown[0]["text/plain"] == "in words"


def test_the_first_figure_in_the_page_brings_plotly_there(monkeypatch):
    monkeypatch.setattr(drawing.NeedsPlotly, "_has_sent_plotly", False)
    hidden, first, second = (drawing.Drawing(carries_plotly=carries) for carries in (False, True, True))
    assert [bool(figure.plotly_js) for figure in (hidden, first, second)] == [False, True, False]
    sent = []
    monkeypatch.setattr(hidden, "send", lambda name, buffers: sent.append((name, *buffers)))
    hidden._handle_custom_msg("plotly", [])  # a page without it asks
    assert sent == [("plotly", first.plotly_js)]


@pytest.mark.parametrize("photograph", [True, False])
def test_a_photograph_keeps_its_colours_in_the_static_picture(monkeypatch, photograph):
    panels, curves = scenes.scene_panels(SAMPLE, rooms.CLASSES), basic.curves([1], {"a": [1]}, "", "")
    figure, bundles = panels if photograph else curves, []
    brown = Image.new("RGB", (4, 4), (140, 109, 79))
    file = io.BytesIO()
    brown.save(file, format="png")
    monkeypatch.setenv("FLATMTL_STATIC", "1")
    monkeypatch.setattr(type(figure), "to_image", lambda *_, **__: file.getvalue())
    monkeypatch.setattr(display, "display", lambda bundle, raw: bundles.append(bundle))
    display.show(figure, "in words")
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["image/png"]))).convert("RGB")
    assert (picture.getpixel((0, 0)) == (140, 109, 79)) == photograph


def test_the_picture_of_a_stage_keeps_the_colours_of_the_course(monkeypatch):
    """Its landscape has more greys and tints than a picture of 256 colours; one pixel of orange must stay."""
    pixels = [(200 + x, 200 + y, 255) for x in range(40) for y in range(40)]
    pixels[0] = (230, 159, 0)
    image, file = Image.new("RGB", (40, 40)), io.BytesIO()
    image.putdata(pixels)
    image.save(file, format="png")
    monkeypatch.setenv("FLATMTL_STATIC", "1")
    monkeypatch.setattr(go.Figure, "to_image", lambda *_, **__: file.getvalue())
    bundle, _ = lab.ball_instrument()._repr_mimebundle_()
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.convert("RGB").getpixel((0, 0)) == (230, 159, 0)
