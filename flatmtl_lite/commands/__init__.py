"""The command line: one file per command, loaded only when that command is called.

Each file has ``add_arguments(parser)``, and ``run(...)`` that takes the parsed arguments and returns the exit
code. A file with ``REST = "unknown"`` also gets the words that its parser does not know, as ``rest``. With
``REST = "after --"`` it gets the words after two dashes. ``COMMANDS`` is the table of all commands.
``options`` turns the settings of an experiment into options.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """A command: its file in this folder, one line of help, and the pip extra that it needs."""

    module: str
    help: str
    extra: str


COMMANDS = {
    "lab": Command("lab", "open the course in JupyterLab", "lab"),
    "train": Command("train", "train one network; the run can stop and go on at any moment", "runs"),
    "plan": Command("plan", "estimate time and memory of a run from a few measured steps", "runs"),
    "sweep": Command("sweep", "train a grid of runs, here or on a Slurm cluster", "runs"),
    "report": Command("report", "write table and plots of all runs below a folder", "runs"),
    "rooms": Command("rooms", "draw synthetic rooms into a folder, or complete one", "runs"),
    "gpu-check": Command("gpu_check", "check a GPU: one table, and one file that you can send", "runs"),
    "record": Command("record", "make the record of the long runs that a notebook quotes", "runs"),
}
