"""Write the records of long runs: never half a file, and no hours lost to a misspelt folder."""

import argparse
import datetime
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor


def check_folder(path: Path) -> None:
    """Refuse a file whose folder is missing: to be called before the hours of training.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Got {path}; expected a file in a folder that exists. Make {path.parent} or name another one."
        )


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes under a temporary name, then rename: the file is whole, old or new.

    Raises:
        OSError: it could not be written, for want of space for example; nothing is left of it.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a renaming last even if the power fails; only POSIX systems can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def begun(module: str, path: Path, seeds: Sequence[int]) -> dict[str, str]:
    """What every record says of itself: command, date and machine class."""
    words = " ".join(map(str, seeds))
    threads = f"{torch.get_num_threads()} thread(s)"
    return {
        "command": f"python -m flatmtl_lite.runs.{module} {path.as_posix()} --seeds {words}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()} CPU, {threads}, torch {torch.__version__}",
    }


def rounded(values, digits: int = 4):
    """Numbers, tensors, lists and dicts of them to so many significant digits, as JSON can hold them.

    None stands where a number is not finite: JSON has no word for it.

    Example:
        >>> rounded({"losses": torch.tensor([2 / 3, float("inf")]), "count": 12345})
        {'losses': [0.6667, None], 'count': 12345}
    """
    if isinstance(values, Mapping):
        return {key: rounded(value, digits) for key, value in values.items()}
    values = values.tolist() if isinstance(values, Tensor) else values
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    if isinstance(values, int):
        return values
    return float(f"{values:.{digits}g}") if math.isfinite(values) else None


def main(record: Callable[[Path, list[int]], None]) -> None:
    """The command line of a module that records: a file and seeds, on one thread."""
    parser = argparse.ArgumentParser(description=record.__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the JSON file to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record(arguments.path, arguments.seeds)
