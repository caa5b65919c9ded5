"""Claims of the papers, the evidence of our records, and a verdict that a rule computes.

Read ``claim`` first, then ``accuracy``, ``training`` and ``costs`` (one function per claim), then ``table``.
"""
