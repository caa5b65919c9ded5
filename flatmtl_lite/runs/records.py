"""Write the records of long runs: never half a file, and no hours lost to a misspelt folder."""

import os
from pathlib import Path


def check_folder(path: Path) -> None:
    """Refuse a file whose folder is missing: to be called before the hours of training.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Got {path}; expected a file in a folder that exists. Make {path.parent} or name another one."
        )


def write_whole(path: Path, text: str) -> None:
    """Write text (UTF-8) under a temporary name beside ``path``, then rename: the file is old or new."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
