"""Means over seeds with 95 % intervals, and the verdict that several of them give together."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# nineteen in twenty values of Student's t lie within ± this, by degrees of freedom
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
HOLDS, FAILS, OPEN = "holds here", "does not hold here", "open"


class Interval(NamedTuple):
    """A mean over seeds and its 95 % interval, from Student's t.

    Example:
        >>> Interval(1.25, 0.5, 2.0).words("{:.1f}")
        '1.2 (0.5..2.0)'
    """

    mean: float
    low: float
    high: float

    def words(self, form: str = "{:+.1f}") -> str:
        """Write the mean, and the interval in brackets."""
        mean, low, high = (form.format(value) for value in self)
        return f"{mean} ({low}..{high})"

    def opposite(self) -> "Interval":
        """Return the interval of the opposite: a fall instead of a rise.

        Example:
            >>> Interval(1.0, 0.5, 2.0).opposite()
            Interval(mean=-1.0, low=-2.0, high=-0.5)
        """
        return Interval(-self.mean, -self.high, -self.low)


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of 2 to 10 values and its interval.

    Raises:
        ValueError: there are fewer or more values.

    Example:
        >>> interval([1.0, 1.0, 1.0])
        Interval(mean=1.0, low=1.0, high=1.0)
    """
    if not 2 <= len(values) <= 1 + max(STUDENT):
        raise ValueError(f"Got {len(values)} seeds; expected 2 to {1 + max(STUDENT)}.")
    half = STUDENT[len(values) - 1] * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.mean(values)
    return Interval(mean, mean - half, mean + half)


def paired(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Return the interval of the differences ``one`` - ``other``, seed by seed."""
    return interval([a - b for a, b in zip(one, other, strict=True)])


def verdict(intervals: Iterable[Interval], matters: float = 0.5) -> str:
    """Return what the intervals of several effects say of "the effect is there, in every case".

    It holds if every interval lies above 0. It does not hold if one interval leaves no room for an effect
    that matters. Otherwise it is open.

    Args:
        intervals: of the effects.
        matters: the smallest effect that matters.

    Raises:
        ValueError: there is no interval.

    Example:
        >>> verdict([Interval(1, 0.5, 2), Interval(1, -0.5, 3)])
        'open'
        >>> verdict([Interval(1, 0.5, 2), Interval(0.1, -0.1, 0.3)])
        'does not hold here'
    """
    intervals = list(intervals)
    if not intervals:
        raise ValueError("Got no interval; expected at least one.")
    if all(part.low > 0 for part in intervals):
        return HOLDS
    return FAILS if any(part.low <= 0 and part.high < matters for part in intervals) else OPEN


def joined(verdicts: Mapping[str, str]) -> str:
    """Join the verdicts of several settings: one word if they agree, otherwise each with its settings.

    Example:
        >>> joined({"noisy": "holds here", "clean": "open", "LeNet": "open"})
        'holds here (noisy); open (clean, LeNet)'
    """
    places: dict[str, list[str]] = {}
    for place, word in verdicts.items():
        places.setdefault(word, []).append(place)
    if len(places) == 1:
        return next(iter(places))
    return "; ".join(f"{word} ({', '.join(names)})" for word, names in places.items())
