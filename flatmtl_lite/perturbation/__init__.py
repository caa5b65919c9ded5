"""The worst-case step ε, one file per way to choose it.

Read sam.py first, then weights.py, which moves the weights by ε. samo.py and polar.py are other ways.
"""

from .polar import Polar
from .sam import DEFAULT_NORM, DEFAULT_RHO, Perturbation, worst_case
from .samo import SAMO
from .weights import perturbed

__all__ = ["DEFAULT_NORM", "DEFAULT_RHO", "SAMO", "Perturbation", "Polar", "perturbed", "worst_case"]
