"""The check of a GPU: what a CPU cannot prove about the kit, as one table and one file that can be sent.

Read in this order: ``rows`` (a row of the table, and what a check is given), ``problems`` (networks and
batches), then the checks, one file per group: ``numbers``, ``steps``, ``presets``, ``repeat``, ``processes``
(with ``rank``, the child that it starts); then ``machine`` (device and versions) and ``check`` (all of it).
"""
