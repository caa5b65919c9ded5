"""Show a figure with a static twin and a line of text, so that it reads without a kernel."""

import base64
import io
import os

import plotly.graph_objects as go
from IPython.display import display


def show(figure: go.Figure, text: str) -> None:
    """Display a plotly figure; its one-line ``text`` stands for it where no picture can be drawn.

    A PNG may be stored beside the live figure, see :func:`static_picture`.
    """
    bundle = {"application/vnd.plotly.v1+json": figure.to_plotly_json(), "text/plain": text}
    bundle["application/vnd.plotly.v1+json"]["config"] = {"displaylogo": False, "responsive": True}
    if picture := static_picture(figure):
        bundle["image/png"] = picture
    display(bundle, raw=True)


def static_picture(figure: go.Figure) -> str:
    """A small PNG of the figure in base64 with FLATMTL_STATIC=1, else "".

    ``make notebooks`` stores it beside each live figure, for pages such as GitHub's that do not run
    plotly; needs kaleido, pillow and a Chrome or Chromium.
    """
    if os.environ.get("FLATMTL_STATIC") != "1":
        return ""
    return base64.b64encode(_small_png(figure)).decode()


def _small_png(figure: go.Figure) -> bytes:
    """A picture of 960 pixels' width in 64 colours: a notebook full of them stays small."""
    from PIL import Image  # a tool of ``make notebooks``: learners need not have it

    drawn = figure.to_image(format="png", width=960, height=figure.layout.height or 450)
    picture = Image.open(io.BytesIO(drawn)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    file = io.BytesIO()
    picture.save(file, format="png", optimize=True)
    return file.getvalue()
