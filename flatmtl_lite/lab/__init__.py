"""The tools of the notebooks: live figures, plain figures, exercise checks, predictions, tables.

Read ``stage`` first (the live figure), then ``instruments`` (built on it), ``figures``, ``checks``,
``predictions`` and ``tables``; ``publish`` turns notebooks and runs into pages, ``theorem`` computes a bound
and ``cost`` the passes of a step.
"""

from . import checks, figures
from .cost import relative_costs, step_costs
from .figures.chance import angles_beside_chance
from .figures.display import show
from .figures.landscape import where_starts_end
from .figures.parting import parting, parting_map
from .instruments import (
    ball_instrument,
    bound_instrument,
    chance_instrument,
    cone_instrument,
    cost_instrument,
    descent_instrument,
    gradients_instrument,
    knob_instrument,
    pole_instrument,
    portrait_instrument,
    rho_instrument,
    rules_instrument,
    scale_instrument,
    snapshot_instrument,
    split_instrument,
    sweep_instrument,
    valley_instrument,
)
from .instruments.parts.weighing import METHODS as SHOWN_METHODS
from .predictions.calibration import calibration
from .predictions.classroom import class_view, export_predictions
from .predictions.compare import compare
from .predictions.predict import predict
from .predictions.reveal import reveal
from .predictions.waiting import unlock
from .publish.report_page import write_report_page
from .stage.page import page
from .stage.stage import Stage
from .stage.table import Table
from .tables.algorithm import algorithm
from .tables.progress import ProgressTable
from .tables.zoo import zoo
from .theorem import bound_terms

__all__ = [
    "SHOWN_METHODS",
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
    "cost_instrument",
    "descent_instrument",
    "export_predictions",
    "figures",
    "gradients_instrument",
    "knob_instrument",
    "page",
    "parting",
    "parting_map",
    "pole_instrument",
    "portrait_instrument",
    "predict",
    "relative_costs",
    "reveal",
    "rho_instrument",
    "rules_instrument",
    "scale_instrument",
    "show",
    "snapshot_instrument",
    "split_instrument",
    "sweep_instrument",
    "step_costs",
    "unlock",
    "valley_instrument",
    "where_starts_end",
    "write_report_page",
    "zoo",
]
