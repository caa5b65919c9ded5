"""The long runs that the notebooks quote: one file per record, each with the code that makes and reads it.

Read in this order: ``record_file`` (what every record needs), ``outcome`` (what is kept of a run), ``tuning``
and ``intervals``, then the records: ``teaching`` (notebook 07, and the setting of the others), ``splitting``
(notebook 03), ``flatness`` (notebook 06), ``rooms`` (notebook 08), ``frontier`` and ``cost`` (notebook 09),
``comparison`` and ``knob``.
"""
