"""The report on a folder of runs: means over seeds, paired differences, the paper's figures for comparison.

Read in this order: ``forms`` (what a run must hold), ``read`` (run folders), ``tables`` (rows and
differences), ``text`` (Markdown), ``write`` (files).
"""
