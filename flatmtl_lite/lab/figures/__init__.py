"""Plain figures. Read ``style`` first, then ``basic``; ``training`` and ``trained`` draw the logs of runs."""

from .basic import (
    accuracy_curves,
    agreement_histogram,
    angle_curves,
    arrows,
    conflict_thirds,
    curves,
    image_row,
    sharpness_bars,
    spread_dots,
)
from .measures import measure_dots, radius_curves, reliability_diagram
from .scenes import metric_changes, rule_dots, scene_panels
from .trained import (
    entropy_histograms,
    reliability_diagrams,
    seed_dots,
    sharpness_curves,
    slice_curves,
    slice_planes,
)
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
