"""Write a file whole or not at all, read a JSON file of a known form, and find the folders that ship."""

import json
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

# kind of a JSON value -> its name, and the name of several
_KINDS: dict[Any, tuple[str, str]] = {
    str: ("a string", "strings"),
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "truth values"),
    dict: ("an object", "objects"),
    None: ("null", "null"),
}
_SHOWN = 60  # characters of a value in a message
_LARGEST = sys.float_info.max  # unlike isfinite, a comparison also takes whole numbers of 400 digits


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes under a temporary name, then rename: the file is whole, old or new.

    Raises:
        OSError: the file cannot be written, because the disk is full for example; no part of it stays.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def is_system_file(path: Path) -> bool:
    """Return whether a system put the file there on its own: ``.DS_Store``, ``._0.npy``, ``Thumbs.db``, ...

    These files say nothing about the content of a folder. Every hidden file counts as one.

    Example:
        >>> [name for name in ("0.npy", "._0.npy", "Thumbs.db") if is_system_file(Path(name))]
        ['._0.npy', 'Thumbs.db']
    """
    return path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini")


def json_object(text: str | bytes, name: str) -> dict[str, Any]:
    """Return the JSON object that a text holds.

    Raises:
        ValueError: the text holds something else; the message begins with ``name``.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is damaged: it does not hold a JSON object")
    return value


def check_form(value: Any, form: Any, name: str, place: str = "") -> None:
    """Check that a value from a JSON file has the form that its reader needs.

    Args:
        value: the value.
        form: ``str``, ``int``, ``float`` (any finite number), ``bool``, ``dict`` or None (null);
            ``[form]`` for a list; ``{"key": form}`` for an object, in which a key that ends in "?" may be
            missing or null; ``{str: form}`` for an object with any keys; a tuple of forms for one of them.
        name: name of the file, for the message.
        place: place of the value in the file.

    Raises:
        ValueError: the value has another form; the message names the place, the value and the form.

    Example:
        >>> check_form({"score": {"test": "a"}}, {"score": {"test": float}}, "result.json")
        Traceback (most recent call last):
        ValueError: result.json has score.test = "a"; expected a finite number
    """
    if isinstance(form, dict) and isinstance(value, dict):
        for key, inner in form.items():
            if key is str:
                for each, inner_value in value.items():
                    check_form(inner_value, inner, name, f"{place}.{each}".lstrip("."))
                continue
            inner_place = f"{place}.{key}".strip(".?")
            if value.get(key.rstrip("?")) is not None or (key in value and not key.endswith("?")):
                check_form(value[key.rstrip("?")], inner, name, inner_place)
            elif not key.endswith("?"):
                raise ValueError(f"{name} has no {inner_place}")
    elif isinstance(form, list) and isinstance(form[0], dict) and isinstance(value, list):
        for number, inner_value in enumerate(value):
            check_form(inner_value, form[0], name, f"{place}[{number}]")
    elif not _has_form(value, form):
        shown = json.dumps(value, ensure_ascii=False)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        raise ValueError(f"{name} has {place} = {shown}; expected {_words(form)}")


def _has_form(value: Any, form: Any) -> bool:
    if isinstance(form, tuple):
        return any(_has_form(value, inner) for inner in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(_has_form(inner, form[0]) for inner in value)
    if form is None:
        return value is None
    if form in (int, float):
        kinds = (int,) if form is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= _LARGEST
    return isinstance(value, dict if isinstance(form, dict) else form)


def _words(form: Any, number: int = 0) -> str:
    """Return words for a form: for one value (0) or for several (1)."""
    if isinstance(form, tuple):
        return " or ".join(_words(inner, number) for inner in form)
    if isinstance(form, list):
        return f"{('a list', 'lists')[number]} of {_words(form[0], 1)}"
    return _KINDS[dict if isinstance(form, dict) else form][number]


def shipped_folder(name: str) -> Path:
    """Return a folder that ships with the kit: "data" or "notebooks".

    An installed wheel holds it inside the package. In a clone it lies next to the package.

    Raises:
        FileNotFoundError: neither place has the folder.
    """
    package = Path(str(files("flatmtl_lite")))
    places = (package / name, package.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"Got no folder {places[0]}; expected {name}/ inside the installed package or next to it in a clone. "
        "Install flatmtl-lite again."
    )


def _sync_folder(folder: Path) -> None:
    """Make a renaming last even if the power fails; only POSIX systems can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
