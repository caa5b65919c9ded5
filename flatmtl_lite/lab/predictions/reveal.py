"""Printed results that appear when a prediction is recorded."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from html import escape

from ..figures.display import behind_click
from .predict import Prediction
from .waiting import runs_unattended


@contextmanager
def reveal(prediction: Prediction) -> Iterator[None]:
    """Show what is printed in the ``with`` block when the prediction is recorded.

    It is shown at once in CI, after :func:`~flatmtl_lite.lab.unlock`, and in a notebook that a program
    executes; there it is behind a click. An error in the block shows nothing.

    Args:
        prediction: the result of :func:`~flatmtl_lite.lab.predict`.
    """
    with redirect_stdout(io.StringIO()) as printed:
        yield
    text = printed.getvalue().rstrip("\n")
    bundle = {"text/plain": text}
    if runs_unattended():
        bundle["text/html"] = behind_click(f"<pre>{escape(text)}</pre>")
    prediction.reveals(bundle)
