"""What the field claims, our evidence, and a verdict that the records give, never a hand.

Read ``claim`` first, then ``accuracy``, ``training`` and ``costs`` (one function per claim), then ``table``.
"""
