"""Problems with two parameters, and families of descents on them: read problems.py, descent.py, nets.py."""

from .descent import Method, decompose, descend, epsilon
from .nets import ACTIVATIONS, TinyNet
from .problems import LINE, PROBLEMS, Problem

__all__ = [
    "ACTIVATIONS",
    "LINE",
    "PROBLEMS",
    "Method",
    "Problem",
    "TinyNet",
    "decompose",
    "descend",
    "epsilon",
]
