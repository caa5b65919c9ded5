"""Where a result comes from: the command, the date and the machine."""

import datetime
import platform
import shlex
import sys
from pathlib import Path

import torch

from .processes import Processes

PACKAGE = Path(__file__).parents[2]
SCRIPT = "flatmtl-lite"


def provenance(processes: Processes, data: str) -> dict[str, str]:
    """Return ``command``, ``date``, ``machine`` and ``data`` for the description of a run.

    Args:
        processes: the processes of the run.
        data: one line on where the data came from.
    """
    return {
        "command": command_line(processes),
        "date": datetime.date.today().isoformat(),
        "machine": machine_class(processes.device),
        "data": data,
    }


def command_line(processes: Processes) -> str:
    """Return the command that started this process; a call from a script is written as ``launch(...)``.

    The command line can be started as ``flatmtl-lite``, as ``python -m flatmtl_lite``, and by torchrun.
    """
    torchrun = ["torchrun", "--nproc-per-node", str(processes.count)] if processes.group else []
    program = Path(sys.argv[0])
    if program.stem == SCRIPT:
        words = [*torchrun, "--no-python", SCRIPT] if torchrun else [SCRIPT]
    elif program.resolve() == PACKAGE / "__main__.py":
        words = [*(torchrun or ["python"]), "-m", "flatmtl_lite"]
    else:
        return "flatmtl_lite.runs.launch(...)"
    return shlex.join([*words, *sys.argv[1:]])


def machine_class(device: torch.device) -> str:
    """Return the kind of machine: processor, number of threads, version of torch.

    A run that goes on compares this line with the line in its ``run.json``.
    """
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{processor} {device.type}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
