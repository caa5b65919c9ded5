"""What a notebook shows: live stages, figures with static twins, checks, predictions, progress, the zoo."""

from . import checks, figures
from .classroom import calibration, class_view, export_predictions
from .display import show
from .instruments import ball_instrument, descent_instrument, rho_instrument
from .landscape import where_starts_end
from .offline import page
from .predictions import compare, predict, unlock
from .progress import ProgressTable
from .stage import Stage, Table
from .zoo import zoo

__all__ = [
    "ProgressTable",
    "Stage",
    "Table",
    "ball_instrument",
    "calibration",
    "checks",
    "class_view",
    "compare",
    "descent_instrument",
    "export_predictions",
    "figures",
    "page",
    "predict",
    "rho_instrument",
    "show",
    "unlock",
    "where_starts_end",
    "zoo",
]
