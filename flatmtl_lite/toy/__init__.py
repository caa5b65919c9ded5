"""Problems with two parameters, and whole families of descents on them at once."""

from .descent import Method, decompose, descend, epsilon
from .problems import PROBLEMS, Problem

__all__ = ["PROBLEMS", "Method", "Problem", "decompose", "descend", "epsilon"]
