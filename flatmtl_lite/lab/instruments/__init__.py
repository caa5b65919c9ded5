"""Instruments: one slider and several linked views, computed by the core that trains networks.

Read ``chance`` first, the shortest, and ``parts/panel``. Each file has the instrument at its head. Its
function ``_draw`` computes the numbers of all slider positions and draws them. A panel such as ``Curves``
takes its numbers when it is made. A function ``draw_...`` of ``parts`` draws things in a panel.
"""

from .ball import ball_instrument
from .bound import bound_instrument
from .chance import chance_instrument
from .cone import cone_instrument
from .cost import cost_instrument
from .descent import descent_instrument
from .gradients import gradients_instrument
from .knob import knob_instrument
from .pole import pole_instrument
from .portrait import portrait_instrument
from .rho import rho_instrument
from .rules import rules_instrument
from .scale import scale_instrument
from .snapshots import snapshot_instrument
from .split import split_instrument
from .sweep import sweep_instrument
from .valley import valley_instrument

__all__ = [
    "ball_instrument",
    "bound_instrument",
    "chance_instrument",
    "cone_instrument",
    "cost_instrument",
    "descent_instrument",
    "gradients_instrument",
    "knob_instrument",
    "pole_instrument",
    "portrait_instrument",
    "rho_instrument",
    "rules_instrument",
    "scale_instrument",
    "snapshot_instrument",
    "split_instrument",
    "sweep_instrument",
    "valley_instrument",
]
