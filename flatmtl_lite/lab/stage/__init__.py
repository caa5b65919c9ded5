"""The live figure and its page without a kernel.

Read ``stage.py`` first, then ``table.py`` (the points of every slider position) and ``stage.js``, which moves
the traces in the page. ``page.py`` and ``static.js`` open stages without a kernel.
"""
