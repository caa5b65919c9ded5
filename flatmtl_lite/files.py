"""Write a file whole or not at all, and find the folders that ship."""

import os
from importlib.resources import files
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes under a temporary name, then rename: the file is whole, old or new.

    Raises:
        OSError: the file cannot be written, because the disk is full for example; no part of it stays.
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


def shipped_folder(name: str) -> Path:
    """Return a folder that ships with the kit: "data" or "notebooks".

    An installed wheel holds it inside the package. In a clone it lies next to the package.

    Raises:
        FileNotFoundError: neither place has the folder.
    """
    package = Path(str(files("flatmtl_lite")))
    places = (package / name, package.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"Got no folder {places[0]}; expected {name}/ inside the installed package or next to it in a clone. "
        "Install flatmtl-lite again."
    )


def _sync_folder(folder: Path) -> None:
    """Make a renaming last even if the power fails; only POSIX systems can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
