"""Problems with two parameters, and whole families of descents on them at once."""

from .descent import Method, decompose, descend, epsilon
from .nets import ACTIVATIONS, TinyNet
from .problems import PROBLEMS, Problem

__all__ = ["ACTIVATIONS", "PROBLEMS", "Method", "Problem", "TinyNet", "decompose", "descend", "epsilon"]
