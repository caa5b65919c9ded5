"""Check a name against a list of names, and suggest the nearest one if it is not in the list."""

from collections.abc import Iterable
from difflib import get_close_matches


def check_name(what: str, name: str, names: Iterable[str], expected: str = "") -> None:
    """Raise an error unless the name is allowed.

    Args:
        what: the thing that the name stands for, such as "network".
        name: the name to check.
        names: all names that are allowed.
        expected: words to say in place of the list of names, if the list is long.

    Raises:
        ValueError: the name is unknown. The message suggests the nearest name.

    Example:
        >>> check_name("network", "LeNet5", ["mlp", "lenet"])
        Traceback (most recent call last):
        ValueError: Got network 'LeNet5' (did you mean 'lenet'?); expected one of mlp, lenet.
    """
    names = list(names)
    if name not in names:
        expected = expected or f"one of {', '.join(names)}"
        raise ValueError(f"Got {what} {name!r}{did_you_mean(name, names)}; expected {expected}.")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint for an error message, or an empty string if no name is near.

    Example:
        >>> did_you_mean("LeNet5", ["mlp", "lenet"])
        " (did you mean 'lenet'?)"
        >>> did_you_mean("resnet", ["mlp", "lenet"])
        ''
    """
    near = get_close_matches(str(name).lower(), list(names), n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""
