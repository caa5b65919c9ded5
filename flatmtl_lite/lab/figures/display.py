"""Show a figure with a static twin and a line of text, so that it reads without a kernel."""

import base64
import io
import json
import os
from collections.abc import Mapping
from typing import Any, Protocol

import plotly.graph_objects as go
from IPython.display import display

from .drawing import Drawing
from .style import BLACK, COLORS, GROUND, INKS, WHITE

PLOTLY = "application/vnd.plotly.v1+json"


class Reveals(Protocol):
    """A prediction: what it reveals is displayed when it is recorded."""

    def reveals(self, bundle: Mapping[str, Any]) -> None:
        """Display a bundle of MIME types when the prediction is recorded."""


def show(figure: go.Figure, text: str, after: Reveals | None = None) -> None:
    """Display a plotly figure, in the colours of a light or a dark page.

    Its one-line ``text`` stands for it where no picture can be drawn. A PNG may be stored with the live
    figure, see :func:`static_picture`.

    Args:
        figure: the figure.
        text: what it shows, in one line. With ``after`` it must not say the answer: readers see the code.
        after: a prediction, the result of :func:`~flatmtl_lite.lab.predict`. The figure appears when it is
            recorded; at once in CI, in notebooks that a program executes, and after
            :func:`~flatmtl_lite.lab.unlock`.
    """
    config = {"config": {"displaylogo": False, "responsive": True}}
    in_json = json.dumps(json.loads(figure.to_json()) | config)
    # a figure that waits for a prediction is not in the page yet, so it cannot bring plotly there
    drawing = Drawing(carries_plotly=after is None, figure=in_json, text=text)
    # pages without a kernel, such as nbviewer's and the course's site, show the figure itself
    bundle = drawing._repr_mimebundle_() | {PLOTLY: figure.to_plotly_json() | config}
    has_picture = any(trace.type in ("image", "heatmap") for trace in figure.data)
    if picture := static_picture(figure, own_colors=has_picture):
        bundle["image/png"] = picture
    if after is None:
        display(bundle, raw=True)
    else:
        after.reveals(bundle)


def behind_click(html: str) -> str:
    """Return HTML that appears after a click: a result after a prediction, on a page without a kernel.

    Figures in it take their size when it opens: plotly fits them to the page when the window is resized.
    """
    opening = "<details ontoggle=\"dispatchEvent(new Event('resize'))\">"
    summary = "<summary>Predict first. Then open the result: click here, or press Enter.</summary>"
    return f"{opening}{summary}\n{html}\n</details>"


def static_picture(figure: go.Figure, own_colors: bool = False) -> str:
    """Return a small PNG of the figure in base64 with FLATMTL_STATIC=1, else "".

    ``make notebooks`` stores it with each live figure, for pages such as GitHub's that do not run plotly.
    It needs kaleido, pillow and a Chrome or Chromium. ``own_colors`` is for a photograph or a heat map: see
    :func:`_small_png`.
    """
    if os.environ.get("FLATMTL_STATIC") != "1":
        return ""
    return base64.b64encode(_small_png(figure, own_colors)).decode()


def _small_png(figure: go.Figure, own_colors: bool) -> bytes:
    """Draw a picture 960 pixels wide with 256 colours, so that it is small.

    The colours are greys and tints of the course's colours, so that no thin line loses its colour. With
    ``own_colors`` they are chosen from the picture.
    """
    from PIL import Image  # for ``make notebooks`` only; learners do not need it

    width, height = figure.layout.width or 960, figure.layout.height or 450
    drawn = figure.to_image(format="png", width=width, height=height, scale=960 / width)
    picture = Image.open(io.BytesIO(drawn)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, round(fold_of(figure) * picture.height)))
    picture = picture.quantize() if own_colors else in_course_colors(picture)
    file = io.BytesIO()
    picture.save(file, format="png", optimize=True)
    return file.getvalue()


def fold_of(figure: go.Figure) -> float:
    """Return the share of a figure's height in its still picture; a stage's hides the panels under "more"."""
    arrangements = (figure.layout.meta or {}).get("arrangements")
    return arrangements[0]["fold"] / figure.layout.height if arrangements else 1.0


def in_course_colors(picture: Any) -> Any:
    """Return a pillow picture with the colours of the course alone, so that no thin line loses its colour."""
    from PIL import Image

    palette = Image.new("P", (1, 1))
    palette.putpalette([value for color in _tints() for value in color])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _tints() -> list[tuple[int, ...]]:
    """Return greys, the ground, and each colour of lines and letters in steps towards white."""
    white, (low, middle, high) = _rgb(WHITE), (_rgb(color) for _, color in GROUND)
    tints = [white, *_between(_rgb(BLACK), white, 24)]
    tints += _between(low, middle, 10) + _between(middle, high, 6)
    for color in COLORS:
        tints += _between(_rgb(color), white, 6)
    for color in INKS.values():
        tints += _between(_rgb(color), white, 3)
    return tints


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[k : k + 2], 16) for k in (1, 3, 5))


def _between(first: tuple[int, ...], last: tuple[int, ...], steps: int) -> list[tuple[int, ...]]:
    """Return ``steps`` colours from the first on, without the last."""
    shares = [k / steps for k in range(steps)]
    return [tuple(round(a + (b - a) * s) for a, b in zip(first, last, strict=True)) for s in shares]
