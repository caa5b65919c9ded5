"""The figures that the paper (arXiv 2211.13723) reports, to set our own figures next to them.

To read: ``multimnist`` (its Tables 1 and 6, the rebuttal, the authors' logs), ``nyuv2`` (its Tables 3 and 7),
``radii`` (which ρ its authors took).
"""
