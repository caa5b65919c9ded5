"""flatmtl-lite: sharpness-aware multi-task learning, small enough to read.

The core (this namespace) needs torch alone. ``flatmtl_lite.lab`` and ``.runs`` are imported on their
own.
"""

from . import diagnostics
from .aggregation import (
    AGGREGATORS,
    BMTL,
    DWA,
    IMTLG,
    IMTLL,
    MGDA,
    RLW,
    SI,
    SLAW,
    UW,
    Aggregator,
    AlignedMTL,
    CAGrad,
    ConicGrad,
    FairGrad,
    GradDrop,
    GradVac,
    GramianAggregator,
    LearnedWeighting,
    LossWeighting,
    Mean,
    NashMTL,
    NGDiff,
    NonFiniteGradient,
    PCGrad,
    UPGrad,
    aggregator,
)
from .decomposition import Decomposition, decompose, decomposed, direct, each, erm, second
from .optim import FlatMTL, Report

__version__ = "0.1.0"

__all__ = [
    "AGGREGATORS",
    "BMTL",
    "DWA",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "RLW",
    "SI",
    "SLAW",
    "UW",
    "Aggregator",
    "AlignedMTL",
    "CAGrad",
    "ConicGrad",
    "Decomposition",
    "FairGrad",
    "FlatMTL",
    "GradDrop",
    "GradVac",
    "GramianAggregator",
    "LearnedWeighting",
    "LossWeighting",
    "Mean",
    "NGDiff",
    "NashMTL",
    "NonFiniteGradient",
    "PCGrad",
    "Report",
    "UPGrad",
    "aggregator",
    "decompose",
    "decomposed",
    "diagnostics",
    "direct",
    "each",
    "erm",
    "second",
]
