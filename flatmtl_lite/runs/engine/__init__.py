"""The training engine: it trains any experiment by any method and can stop and go on at any step.

The engine knows no data set. Read in this order: ``options`` and ``config`` (the settings of a run),
``methods`` (the names of training methods), ``experiment`` and ``model`` (the interface to data and
networks), ``learner``, ``trainer`` and ``epoch_log`` (one step, the loop, the log), ``processes`` (one
process or several), ``folder`` (files on disk: ``owned_folder``, ``description``, ``checkpoints``,
``log_file``, ``errors``), ``loop`` with ``stopping``, ``progress``, ``scalars`` and ``memory`` (train to the
end with checkpoints), ``run`` (the result), ``provenance`` and ``rounding`` (helpers for files that are
written).
"""
