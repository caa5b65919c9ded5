"""Settings as dataclass fields: each field carries its default, its type and its explanation."""

import inspect
from dataclasses import field, fields
from typing import Any, TypeVar

T = TypeVar("T")

TYPES: dict[Any, tuple[Any, str]] = {
    bool: (bool, "True or False"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a string"),
    str | None: (str | None, "a string or None"),
}


def option(default: T, help: str) -> T:
    """Return a dataclass field with a default and an explanation.

    The command line shows the explanation as help, and :func:`explain_fields` puts it into the docstring.
    """
    return field(default=default, metadata={"help": help})


def explain_fields(settings: type[T]) -> type[T]:
    """Append the explanations of the fields to the docstring of a dataclass."""
    lines = (f"    {f.name}: {f.metadata['help']}" for f in fields(settings))  # type: ignore[arg-type]
    settings.__doc__ = "\n".join([inspect.cleandoc(settings.__doc__ or ""), "", "Attributes:", *lines])
    return settings


def check_types(settings: Any) -> None:
    """Check that every field of a dataclass holds a value of its declared type.

    A whole number is accepted where a number is expected.

    Raises:
        ValueError: a value has another type; the message names the field.
    """
    for f in fields(settings):
        value = getattr(settings, f.name)
        allowed, expected = TYPES.get(f.type, (object, ""))
        if not isinstance(value, allowed) or (isinstance(value, bool) and f.type in (int, float)):
            raise ValueError(f"Got {f.name}={value!r}; expected {expected}.")
