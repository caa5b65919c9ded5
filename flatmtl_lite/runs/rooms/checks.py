"""The check of whole numbers that a user gives."""

import math
import numbers


def check_count(name: str, value: int, least: int = 0, most: float = math.inf) -> None:
    """Raise ValueError unless ``value`` is a whole number from ``least`` to ``most``.

    Example:
        >>> check_count("n_train", 0, least=1)
        Traceback (most recent call last):
        ...
        ValueError: n_train=0: give a whole number of at least 1
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r}: give a whole number {limits}")
