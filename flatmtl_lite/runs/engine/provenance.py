"""Where a result comes from: the command, the date and the machine."""

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from .processes import Processes

PACKAGE = Path(__file__).parents[2]
SCRIPT = "flatmtl-lite"


def provenance(processes: Processes, data: str, data_hash: str | None) -> dict[str, Any]:
    """Return the entry ``about`` in the description of a run: what a repetition needs next to the settings.

    Args:
        processes: the processes of the run.
        data: one line on where the data came from.
        data_hash: hash of the data, or None if it is unknown.
    """
    return {
        "command": command_line(processes),
        "date": datetime.date.today().isoformat(),
        "machine": machine_class(processes.device),
        "data": data,
        "data_hash": data_hash,
        "versions": versions(processes.device),
    }


def resumption(processes: Processes, epoch: int, step: int) -> dict[str, Any]:
    """Return an entry of the list ``about.resumed``: when and where a run goes on, and from which point.

    Args:
        processes: the processes of the run.
        epoch: epochs that are done.
        step: steps that are done of the next epoch.
    """
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command_line(processes),
        "machine": machine_class(processes.device),
        "epoch": epoch,
        "step": step,
        "versions": versions(processes.device),
    }


def versions(device: torch.device) -> dict[str, str]:
    """Return the versions of the kit, Python and torch, and of CUDA, cuDNN and the driver if present."""
    found = {
        "code": code_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(device),
    }
    if torch.version.cuda:
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    if device.type == "cuda" and (driver := driver_version()):
        found["driver"] = driver
    return found


def command_line(processes: Processes) -> str:
    """Return the command that started this process; a call from a script is written as ``launch(...)``.

    The command line can be started as ``flatmtl-lite``, as ``python -m flatmtl_lite``, and by torchrun.
    """
    by_torchrun = processes.group and "--processes" not in sys.argv
    torchrun = ["torchrun", "--nproc-per-node", str(processes.count)] if by_torchrun else []
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


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver, or None if its tool cannot be asked."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = _output(command).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[0] if lines else None
