"""Guess the known name that an unknown one means."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an error message: ``" (did you mean 'lenet'?)"``, or "" if no name is near.

    Example:
        >>> did_you_mean("LeNet5", ["mlp", "lenet"])
        " (did you mean 'lenet'?)"
        >>> did_you_mean("resnet", ["mlp", "lenet"])
        ''
    """
    near = get_close_matches(str(name).lower(), known, n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""
