"""The experiments that can be started by name: one file each, with its settings and presets, and their table.

Read in this order: ``definition`` (the parts of an experiment), ``images`` and ``scenes`` (data and tasks as
the engine needs them), ``multimnist``, ``rooms`` and ``nyuv2`` (settings, presets), ``registry`` (the table,
and how options are read).
"""
