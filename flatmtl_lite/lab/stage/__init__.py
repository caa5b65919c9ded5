"""The live figure and its page without a kernel.

Read ``stage.py`` first, then ``table.py`` (the points of every slider position). In the page, ``stage.js``
ties together ``controls.js``, ``commands.js``, ``plots.js`` (layers, scale), ``pointer.js``,
``tools.js`` and ``solid.js`` (3-D). ``page.py`` and ``static.js`` open stages without a kernel.
"""
