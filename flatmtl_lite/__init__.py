"""flatmtl-lite: sharpness-aware multi-task learning, small enough to read.

This namespace is the core, which needs torch alone. Import ``flatmtl_lite.lab`` and ``flatmtl_lite.runs``
separately. Read gradients.py, perturbation/, passes.py, decomposition.py and optim.py in this order, then
aggregation/. What they stand on and a first reader may skip: trunk_and_heads.py sorts and checks parameters,
micro_batch.py runs the closures, state.py brings buffers and generators back, report.py has a step's figures,
needs.py says which passes a step needs, one_pass.py runs those that serve all tasks, assembly.py checks what
they yield, cheaper.py computes a part of the flat parts, noise.py adds noise.
"""

from . import diagnostics
from .aggregation import (
    AGGREGATORS,
    BMTL,
    DBMTL,
    DWA,
    FAMO,
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
    ExcessMTL,
    FairGrad,
    GradDrop,
    GradNorm,
    GradVac,
    GramianAggregator,
    LearnedWeighting,
    LossWeighting,
    Mean,
    MoCo,
    NashMTL,
    NGDiff,
    NonFiniteGradient,
    PCGrad,
    UPGrad,
    aggregator,
)
from .decomposition import Decomposition, decomposed, direct, each, erm, flat_first, loss_first, second
from .optim import FlatMTL
from .passes import decompose
from .perturbation import SAMO, Polar
from .report import Report

__version__ = "0.1.0"

__all__ = [
    "AGGREGATORS",
    "BMTL",
    "DBMTL",
    "DWA",
    "FAMO",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "RLW",
    "SAMO",
    "SI",
    "SLAW",
    "UW",
    "Aggregator",
    "AlignedMTL",
    "CAGrad",
    "ConicGrad",
    "Decomposition",
    "ExcessMTL",
    "FairGrad",
    "FlatMTL",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GramianAggregator",
    "LearnedWeighting",
    "LossWeighting",
    "Mean",
    "MoCo",
    "NGDiff",
    "NashMTL",
    "NonFiniteGradient",
    "PCGrad",
    "Polar",
    "Report",
    "UPGrad",
    "aggregator",
    "decompose",
    "decomposed",
    "diagnostics",
    "direct",
    "each",
    "erm",
    "flat_first",
    "loss_first",
    "second",
]
