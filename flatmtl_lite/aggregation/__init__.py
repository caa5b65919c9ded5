"""Turn T task gradients into one direction: read base.py, then mean.py, mgda.py and any other method's file.

base.py states the contract, gramians.py and products.py compute G Gᵀ, unit_rows.py, cone.py, simplex.py,
active_set.py and fairness.py serve the exact solvers, and loss_weighting.py the methods that read losses.
memory.py and row_memory.py serve the methods that remember, and present.py knows which tasks are present in
a step.
"""

from typing import Any

from .aligned_mtl import AlignedMTL
from .base import Aggregator, GramianAggregator, state_kept
from .bmtl import BMTL
from .cagrad import CAGrad
from .checks import NonFiniteGradient
from .config import ConFIG
from .conicgrad import ConicGrad
from .constant import Constant
from .db_mtl import DBMTL
from .dual_proj import DualProj
from .dwa import DWA
from .excess_mtl import ExcessMTL
from .fairgrad import FairGrad
from .famo import FAMO
from .gls import GLS
from .graddrop import GradDrop
from .gradnorm import GradNorm
from .gradvac import GradVac
from .gramians import gramian, relative_accuracy, weighted_sum
from .imtl_g import IMTLG
from .imtl_l import IMTLL
from .loss_weighting import LearnedWeighting, LossWeighting
from .mean import Mean
from .mgda import MGDA
from .moco import MoCo
from .nash_mtl import NashMTL
from .ngdiff import NGDiff
from .pcgrad import PCGrad
from .rlw import RLW
from .si import SI
from .slaw import SLAW
from .stch import STCH
from .upgrad import UPGrad
from .uw import UW

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
    "gradvac": GradVac,
    "ngdiff": NGDiff,
    "config": ConFIG,
    "dual_proj": DualProj,
    "graddrop": GradDrop,
    "gradnorm": GradNorm,
    "db_mtl": DBMTL,
    "moco": MoCo,
    "excess_mtl": ExcessMTL,
    "rlw": RLW,
    "dwa": DWA,
    "uw": UW,
    "si": SI,
    "gls": GLS,
    "slaw": SLAW,
    "imtl_l": IMTLL,
    "bmtl": BMTL,
    "famo": FAMO,
    "stch": STCH,
    "constant": Constant,
}


def aggregator(name: str, **options: Any) -> Aggregator:
    """Make the aggregator with that key in ``AGGREGATORS``; ``options`` are its arguments.

    Raises:
        ValueError: no aggregator has that name, or an option is out of range.

    Example:
        >>> aggregator("cagrad", c=0.4)
        CAGrad(c=0.4)
    """
    if name not in AGGREGATORS:
        raise ValueError(f"Got aggregator {name!r}; expected one of {', '.join(AGGREGATORS)}.")
    return AGGREGATORS[name](**options)


__all__ = [
    "AGGREGATORS",
    "Aggregator",
    "AlignedMTL",
    "BMTL",
    "CAGrad",
    "ConFIG",
    "ConicGrad",
    "Constant",
    "DBMTL",
    "DWA",
    "DualProj",
    "ExcessMTL",
    "FAMO",
    "FairGrad",
    "GLS",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GramianAggregator",
    "IMTLG",
    "IMTLL",
    "LearnedWeighting",
    "LossWeighting",
    "MGDA",
    "Mean",
    "MoCo",
    "NGDiff",
    "NashMTL",
    "NonFiniteGradient",
    "PCGrad",
    "RLW",
    "SI",
    "SLAW",
    "STCH",
    "UPGrad",
    "UW",
    "aggregator",
    "gramian",
    "relative_accuracy",
    "state_kept",
    "weighted_sum",
]
