"""What the instruments are built from.

Read ``panels`` first (the figure and its axes), then ``points`` (the numbers that move), ``marks`` and
``dial`` (the drawing), ``angles`` and ``opening``. ``weighing``, ``rows`` and ``space`` serve the instruments
of aggregators; ``recorded`` serves the snapshots of runs.
"""
