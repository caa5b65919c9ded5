"""Checks of what a stage is asked to show."""

from collections.abc import Iterable, Sequence


def check_place(place: int, among: Sequence[str], name: str) -> None:
    """Raise ValueError unless there is an entry at this place."""
    if not 0 <= place < len(among):
        raise ValueError(f"Got {name}={place}; expected 0 to {len(among) - 1}.")


def check_choice(choice: str, choices: Iterable[str], label: str) -> None:
    """Raise ValueError unless the choice is one of the choices of the menu ``label``."""
    if choice not in (names := list(choices)):
        raise ValueError(f"Got {label}={choice!r}; expected one of {', '.join(names)}.")


def check_point(point: Sequence[float], bounds: Sequence[Sequence[float]], label: str) -> None:
    """Raise ValueError unless the point is two numbers (x, y) within ``bounds``, of x and of y."""
    try:
        x, y = (float(v) for v in point)
        inside = all(low <= v <= high for v, (low, high) in zip((x, y), bounds, strict=True))
    except (TypeError, ValueError):
        inside = False
    if not inside:
        raise ValueError(
            f"Got {label}={point!r}; expected two numbers (x, y), x from {bounds[0][0]:g} to "
            f"{bounds[0][1]:g} and y from {bounds[1][0]:g} to {bounds[1][1]:g}."
        )
