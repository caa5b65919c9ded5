"""The report on a folder of runs: means over seeds, paired differences, the paper's figures for comparison.

Read in this order: ``forms`` (what a run must hold), ``read`` (run folders), ``tables`` (rows and
differences), ``cells`` and ``sections`` (what the tables show; ``scenes`` for NYUv2 next to the paper), then
``text`` (Markdown), ``latex``, ``values`` (CSV) and ``write`` (files).
"""
