"""Exercises that answer at once: missing, keep working, almost (naming the likely mistake), correct."""

from .aggregators import good_for_all, keeps_scale, mgda
from .conflict import angle, mean_step, pcgrad
from .exercise import Exercise, Feedback
from .sharpness import adaptive_epsilon, perturbation, sam_gradient, shared_epsilon
from .splitting import conflicts, flat_part, predicted_flat, unmoved

__all__ = [
    "Exercise",
    "Feedback",
    "adaptive_epsilon",
    "angle",
    "conflicts",
    "flat_part",
    "good_for_all",
    "keeps_scale",
    "mean_step",
    "mgda",
    "pcgrad",
    "perturbation",
    "predicted_flat",
    "sam_gradient",
    "shared_epsilon",
    "unmoved",
]
