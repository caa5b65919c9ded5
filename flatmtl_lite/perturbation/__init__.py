from .sam import DEFAULT_NORM, DEFAULT_RHO, Perturbation, StateGuard, perturbed, worst_case

__all__ = ["DEFAULT_NORM", "DEFAULT_RHO", "Perturbation", "StateGuard", "perturbed", "worst_case"]
