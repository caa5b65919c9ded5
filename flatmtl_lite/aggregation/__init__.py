"""T task gradients -> one direction. One file per method; each is a weighting of the Gramian."""

from .base import Aggregator, GramianAggregator, NonFiniteGradient, gramian
from .cagrad import CAGrad
from .imtl_g import IMTLG
from .mean import Mean
from .mgda import MGDA
from .pcgrad import PCGrad

AGGREGATORS: dict[str, type[Aggregator]] = {
    "mean": Mean,
    "mgda": MGDA,
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "imtl_g": IMTLG,
}


def aggregator(name: str, **options) -> Aggregator:
    """Make an aggregator by its key in ``AGGREGATORS``.

    Raises:
        ValueError: no aggregator has that name.

    Example:
        >>> aggregator("cagrad", c=0.4)
        CAGrad(c=0.4)
    """
    if name not in AGGREGATORS:
        raise ValueError(f"Got aggregator {name!r}; expected one of {', '.join(AGGREGATORS)}.")
    return AGGREGATORS[name](**options)


__all__ = [
    "AGGREGATORS",
    "CAGrad",
    "IMTLG",
    "MGDA",
    "Aggregator",
    "GramianAggregator",
    "Mean",
    "NonFiniteGradient",
    "PCGrad",
    "aggregator",
    "gramian",
]
