"""What a notebook shows: figures with static twins, live progress."""

from . import figures
from .display import show
from .progress import ProgressTable

__all__ = ["ProgressTable", "figures", "show"]
