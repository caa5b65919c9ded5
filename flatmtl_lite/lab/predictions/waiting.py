"""What waits for a prediction: sliders that are locked, and results that are not yet shown."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from IPython import get_ipython
from IPython.display import display

from .record import recorded

LOCKED = "Record your prediction above, then the controls unlock."
HIDDEN = "Record your prediction above. The result then appears here."

_unlocked = False
_waiting: dict[str, list[Callable[[], bool]]] = {}  # key of a prediction -> what to call once it is recorded


def unlock() -> None:
    """Show every result and unlock every slider without a prediction, for a lecture hall."""
    global _unlocked
    _unlocked = True
    for key in list(_waiting):
        wake(key)


def is_open(key: str) -> bool:
    """Return whether what waits for this prediction is shown.

    It is shown if the prediction is recorded, after :func:`unlock`, in CI, and if a program executes the
    notebook.
    """
    return _unlocked or bool(os.environ.get("CI")) or runs_unattended() or key in recorded()


def runs_unattended() -> bool:
    """Return whether a program executes this cell, such as ``make notebooks`` or nbval: nobody can answer.

    A person's page lets the kernel ask for input, a program does not.
    """
    request: dict = getattr(get_ipython(), "get_parent", dict)()
    return request.get("content", {}).get("allow_stdin") is False


def wait(key: str, call: Callable[[], bool]) -> None:
    """Call now, and again at each record of this prediction as long as the call returns True: it waits on."""
    if call():
        _waiting.setdefault(key, []).append(call)


def wake(key: str) -> None:
    """Call what waits for this prediction."""
    _waiting[key] = [call for call in _waiting.pop(key, []) if call()]


def show_when_open(key: str, bundle: Mapping[str, Any]) -> None:
    """Display a bundle of MIME types once the prediction is recorded. Until then a sentence stands there.

    The output's metadata names the prediction, so that a page without a kernel can hide the output too.
    """
    look: dict[str, Any] = dict(raw=True, metadata={"flatmtl": {"after": key}})
    if is_open(key):
        display(bundle, **look)
        return
    place = display(note(HIDDEN), raw=True, display_id=True)

    def still_hidden() -> bool:
        if is_open(key):
            place.update(bundle, **look)
        return not is_open(key)

    wait(key, still_hidden)


def note(text: str) -> dict[str, str]:
    """Return a sentence as a bundle of MIME types."""
    return {"text/plain": text, "text/html": f"<p><em>{text}</em></p>"}
