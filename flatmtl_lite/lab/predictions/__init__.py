"""Predictions that learners record before a slider moves or a result appears.

Read ``record`` first (the file of predictions), then ``waiting`` (what waits for a prediction), ``predict``
(asking and recording), ``reveal`` (printed results), ``compare`` (prediction and measurement),
``calibration`` (one learner's record) and ``classroom`` (a whole class in one picture).
"""
