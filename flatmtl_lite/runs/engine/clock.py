"""Times for people."""


def clock(seconds: float) -> str:
    """Return a time in the largest unit in which it is at least two.

    Example:
        >>> clock(3 * 3600), clock(5400), clock(90)
        ('3.0 h', '90.0 min', '90.0 s')
    """
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
