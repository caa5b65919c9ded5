"""Where a result comes from: the command, the date and the machine."""

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
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


def code_version() -> str:
    """Return the package's version; in a clone also the commit, and whether files changed."""
    version = f"flatmtl-lite {importlib.metadata.version('flatmtl-lite')}"
    git = ["git", "-C", str(PACKAGE.parent)]
    try:
        commit = _output([*git, "rev-parse", "--short=12", "HEAD"])
        is_ours = _output([*git, "ls-files", "--", str(PACKAGE / "__init__.py")])
        changed = _output([*git, "status", "--porcelain", "--", str(PACKAGE)])
    except (OSError, subprocess.CalledProcessError):
        return version
    return f"{version}, commit {commit}{' with changes' if changed else ''}" if is_ours else version


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
