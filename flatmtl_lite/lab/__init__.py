"""What a notebook shows: live stages, figures with static twins, checks, predictions, progress, the zoo."""

from . import checks, figures, measures, scenes, trained, training
from .algorithm import algorithm
from .chance import angles_beside_chance
from .classroom import calibration, class_view, export_predictions
from .display import show
from .instruments import (
    ball_instrument,
    bound_instrument,
    chance_instrument,
    cone_instrument,
    descent_instrument,
    gradients_instrument,
    pole_instrument,
    portrait_instrument,
    rho_instrument,
    rules_instrument,
    scale_instrument,
    snapshot_instrument,
    split_instrument,
)
from .landscape import where_starts_end
from .offline import page
from .parting import parting, parting_map
from .predictions import compare, predict, unlock
from .progress import ProgressTable
from .report_page import write_report_page
from .stage import Stage, Table
from .theorem import bound_terms
from .zoo import zoo

__all__ = [
    "ProgressTable",
    "Stage",
    "Table",
    "algorithm",
    "angles_beside_chance",
    "ball_instrument",
    "bound_instrument",
    "bound_terms",
    "calibration",
    "chance_instrument",
    "checks",
    "class_view",
    "compare",
    "cone_instrument",
    "descent_instrument",
    "export_predictions",
    "figures",
    "gradients_instrument",
    "measures",
    "page",
    "parting",
    "parting_map",
    "pole_instrument",
    "portrait_instrument",
    "predict",
    "rho_instrument",
    "rules_instrument",
    "scale_instrument",
    "scenes",
    "show",
    "snapshot_instrument",
    "split_instrument",
    "trained",
    "training",
    "unlock",
    "where_starts_end",
    "write_report_page",
    "zoo",
]
