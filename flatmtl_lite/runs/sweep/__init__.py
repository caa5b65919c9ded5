"""A sweep: a grid of runs on this machine or on a Slurm cluster; finished runs are not repeated.

Read in this order: ``jobs`` (the runs of a grid), ``gpus``, ``local`` (this machine), ``slurm`` (a cluster),
``status`` (how far it is).
"""
