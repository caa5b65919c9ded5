from .sam import Perturbation, StateGuard, perturbed, worst_case

__all__ = ["Perturbation", "StateGuard", "perturbed", "worst_case"]
