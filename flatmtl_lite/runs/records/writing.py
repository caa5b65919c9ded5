"""What every record of long runs needs: a folder that exists, a heading, a command line."""

import argparse
import datetime
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import torch


def check_folder(path: Path) -> None:
    """Refuse a file whose folder is missing: to be called before the hours of training.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Got {path}; expected a file in a folder that exists. Make {path.parent} or name another one."
        )


def begun(module: str, path: Path, seeds: Sequence[int]) -> dict[str, str]:
    """What every record says of itself: command, date and machine class."""
    words = " ".join(map(str, seeds))
    threads = f"{torch.get_num_threads()} thread(s)"
    return {
        "command": f"python -m flatmtl_lite.runs.{module} {path.as_posix()} --seeds {words}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()} CPU, {threads}, torch {torch.__version__}",
    }


def main(record: Callable[[Path, list[int]], None]) -> None:
    """The command line of a module that records: a file and seeds, on one thread."""
    parser = argparse.ArgumentParser(description=record.__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the JSON file to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record(arguments.path, arguments.seeds)
