"""Exercises that answer at once: missing, keep working, almost (with the likely mistake), correct.

Read ``exercise`` first, then one file per notebook: ``conflict`` (01), ``sharpness`` (02), ``splitting``
(03), ``aggregators`` and ``scale`` (04), ``rules``, ``weights`` and ``whole_method`` (05),
``generalising`` (06), ``multimnist`` (07), ``scenes`` (08), ``cheaper`` (09).
"""

from .aggregators import good_for_all, mgda, pcgrad_in_order
from .cheaper import polar, reused_flat, samo_direction, samo_passes
from .conflict import angle, mean_step, pcgrad
from .exercise import Exercise, Feedback
from .generalising import expected_calibration_error, rayleigh, rescale, union_bound
from .multimnist import judge, noisy_accuracy, paired_difference
from .rules import additive, decomposed_rule
from .scale import keeps_scale
from .scenes import delta_m, depth_error, pulls
from .sharpness import adaptive_epsilon, perturbation, sam_gradient, shared_epsilon
from .splitting import conflicts, flat_part, predicted_flat, unmoved
from .weights import rule_weights
from .whole_method import f_method

__all__ = [
    "Exercise",
    "Feedback",
    "adaptive_epsilon",
    "additive",
    "angle",
    "conflicts",
    "decomposed_rule",
    "delta_m",
    "depth_error",
    "expected_calibration_error",
    "f_method",
    "flat_part",
    "good_for_all",
    "judge",
    "keeps_scale",
    "mean_step",
    "mgda",
    "noisy_accuracy",
    "paired_difference",
    "pcgrad",
    "pcgrad_in_order",
    "perturbation",
    "polar",
    "predicted_flat",
    "pulls",
    "rayleigh",
    "rescale",
    "reused_flat",
    "rule_weights",
    "sam_gradient",
    "samo_direction",
    "samo_passes",
    "shared_epsilon",
    "union_bound",
    "unmoved",
]
