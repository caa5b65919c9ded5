"""flatmtl-lite: sharpness-aware multi-task learning, small enough to read.

The core (this namespace) needs torch alone. ``flatmtl_lite.lab`` and ``.runs`` are imported on their
own.
"""

from . import diagnostics
from .aggregation import (
    AGGREGATORS,
    IMTLG,
    MGDA,
    Aggregator,
    CAGrad,
    GramianAggregator,
    Mean,
    NonFiniteGradient,
    PCGrad,
    aggregator,
)
from .decomposition import Decomposition, decompose, decomposed, direct, each, erm, second
from .optim import FlatMTL, Report

__version__ = "0.1.0"

__all__ = [
    "AGGREGATORS",
    "IMTLG",
    "MGDA",
    "Aggregator",
    "CAGrad",
    "Decomposition",
    "FlatMTL",
    "GramianAggregator",
    "Mean",
    "NonFiniteGradient",
    "PCGrad",
    "Report",
    "aggregator",
    "decompose",
    "decomposed",
    "diagnostics",
    "direct",
    "each",
    "erm",
    "second",
]
