"""The long runs that the notebooks quote: one file per record, each with the code that makes and reads it.

Read in this order: ``record_file`` (what every record needs), ``teaching`` (notebook 07, and the setting of
the others), ``splitting`` (notebook 03), ``flatness`` (notebook 06), ``rooms`` (notebook 08),
``frontier`` (notebook 09).
"""
