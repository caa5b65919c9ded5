"""Plain figures that a notebook shows.

Read ``style``, ``drawing`` (the widget that follows the page's theme) and ``display`` first, then ``basic``
(any numbers), ``landscape``, ``parting`` and ``chance``, ``short_runs`` (runs of a notebook), ``logs``,
``training``, ``trained`` and ``calibration`` (logs of full runs), ``measures``, ``scenes``,
``frontier`` and ``error_plane``.
"""

from .basic import arrows, curves, image_row, spread_dots
from .calibration import reliability_diagram, reliability_diagrams
from .error_plane import error_plane
from .frontier import frontier
from .measures import measure_dots, radius_curves
from .scenes import metric_changes, rule_dots, scene_panels
from .short_runs import accuracy_curves, agreement_histogram, angle_curves, conflict_thirds, sharpness_bars
from .trained import entropy_histograms, seed_dots, sharpness_curves, slice_curves, slice_planes
from .training import agreement_curves, conflict_curves, cosine_ridges, norm_curves, progress_curves

__all__ = [
    "accuracy_curves",
    "agreement_curves",
    "agreement_histogram",
    "angle_curves",
    "arrows",
    "conflict_curves",
    "conflict_thirds",
    "cosine_ridges",
    "curves",
    "entropy_histograms",
    "error_plane",
    "frontier",
    "image_row",
    "measure_dots",
    "metric_changes",
    "norm_curves",
    "progress_curves",
    "radius_curves",
    "reliability_diagram",
    "reliability_diagrams",
    "rule_dots",
    "scene_panels",
    "seed_dots",
    "sharpness_bars",
    "sharpness_curves",
    "slice_curves",
    "slice_planes",
    "spread_dots",
]
