"""T task gradients -> one direction. One file per method; each is a weighting of the Gramian."""

from .aligned_mtl import AlignedMTL
from .base import (
    Aggregator,
    GramianAggregator,
    NonFiniteGradient,
    gramian,
    relative_accuracy,
    state_kept,
    weighted_sum,
)
from .cagrad import CAGrad
from .conicgrad import ConicGrad
from .fairgrad import FairGrad
from .imtl_g import IMTLG
from .loss_weighting import LearnedWeighting, LossWeighting
from .mean import Mean
from .mgda import MGDA
from .nash_mtl import NashMTL
from .ngdiff import NGDiff
from .pcgrad import PCGrad
from .upgrad import UPGrad

AGGREGATORS: dict[str, type[Aggregator]] = {
    "mean": Mean,
    "mgda": MGDA,
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "imtl_g": IMTLG,
    "nash_mtl": NashMTL,
    "fairgrad": FairGrad,
    "upgrad": UPGrad,
    "aligned_mtl": AlignedMTL,
    "conicgrad": ConicGrad,
    "ngdiff": NGDiff,
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
    "IMTLG",
    "MGDA",
    "Aggregator",
    "AlignedMTL",
    "CAGrad",
    "ConicGrad",
    "FairGrad",
    "GramianAggregator",
    "LearnedWeighting",
    "LossWeighting",
    "Mean",
    "NGDiff",
    "NashMTL",
    "NonFiniteGradient",
    "PCGrad",
    "UPGrad",
    "aggregator",
    "gramian",
    "relative_accuracy",
    "state_kept",
    "weighted_sum",
]
