"""Instruments: one slider and several linked views, computed by the core that trains networks."""

from .ball import ball_instrument
from .descent import descent_instrument
from .rho import rho_instrument

__all__ = ["ball_instrument", "descent_instrument", "rho_instrument"]
