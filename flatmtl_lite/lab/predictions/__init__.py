"""Predictions that learners record before a slider moves.

Read ``predict`` first (asking and recording), then ``compare`` (prediction and measurement),
``calibration`` (one learner's record) and ``classroom`` (a whole class in one picture).
"""
