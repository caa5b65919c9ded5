"""The worst-case step ε, one file per way to choose it: read sam.py, then weights.py."""

from ..state import StateGuard
from .sam import DEFAULT_NORM, DEFAULT_RHO, Perturbation, worst_case
from .weights import perturbed

__all__ = ["DEFAULT_NORM", "DEFAULT_RHO", "Perturbation", "StateGuard", "perturbed", "worst_case"]
