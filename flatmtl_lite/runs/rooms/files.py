"""Synthetic rooms on disk, in the layout of MTAN's NYUv2: ``train|val/{image,label,depth,normal}/i.npy``."""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ... import __version__
from ...files import check_form, is_system_file, json_object, write_whole
from .checks import check_count
from .sample import LEAST, render

PARTS = ("image", "label", "depth", "normal")
ORIGIN = "origin.json"
REVISION = 1  # raised whenever the same seed gives other pictures
COUNTS = ("train", "val")
SETTINGS = (*COUNTS, "height", "width", "seed")
REMEDY = "Name a new or empty folder, or remove this folder."


def write_rooms(
    folder: str | Path,
    train: int = 200,
    val: int = 100,
    height: int = 96,
    width: int = 128,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, int]:
    """Write synthetic rooms as a data set, or complete a data set that was begun.

    Sample i of a split is ``render(seed + i, height, width, style=split)``, one ``.npy`` file for each part.
    Whole files stay as they are. ``origin.json`` says what the folder holds. Both numbers of rooms may grow
    from call to call; all other settings must stay the same.

    Args:
        folder: A new or empty folder, or a folder that this function wrote.
        train, val: Numbers of rooms.
        height, width: Pixels, at least 16 each.
        seed: Seed of the first room of each split.
        progress: Show a bar.

    Returns:
        The numbers of rooms that were ``written`` and ``kept``.

    Raises:
        ValueError: A number is not as above.
        FileExistsError: The folder holds something else, or rooms of other settings, or more rooms.
    """
    folder = Path(folder)
    settings = {"train": train, "val": val, "height": height, "width": width, "seed": seed}
    for name, value in settings.items():
        check_count(name, value, LEAST if name in ("height", "width") else 0)
    _check_folder(folder, settings)
    for split in COUNTS:
        for part in PARTS:
            (folder / split / part).mkdir(parents=True, exist_ok=True)
    write_whole(folder / ORIGIN, json.dumps(_origin(settings), indent=1) + "\n")

    like = render(seed, height, width)
    counts = {"written": 0, "kept": 0}
    rooms = [(split, i) for split in COUNTS for i in range(settings[split])]
    for split, i in tqdm(rooms, desc="synthetic rooms", disable=not progress):
        missing = [part for part in PARTS if not _is_whole(folder / split / part / f"{i}.npy", like[part])]
        sample = render(seed + i, height, width, split) if missing else {}
        for part in missing:
            write_whole(folder / split / part / f"{i}.npy", _npy(sample[part]))
        counts["written" if missing else "kept"] += 1
    return counts


def ensure_rooms(folder: str | Path, train: int, val: int, height: int, width: int) -> None:
    """Make sure that a folder holds at least these numbers of synthetic rooms, from seed 0 on.

    Several processes may call this at once.

    Raises:
        ValueError, FileExistsError: as :func:`write_rooms`.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        present = _read_settings(folder) if (folder / ORIGIN).exists() else dict.fromkeys(COUNTS, 0)
        counts = {"train": max(train, present["train"]), "val": max(val, present["val"])}
        write_rooms(folder, **counts, height=height, width=width, progress=sys.stderr.isatty())


def _origin(settings: dict[str, int]) -> dict:
    options = " ".join(f"--{name} {value}" for name, value in settings.items())
    return {
        "what": "synthetic rooms, drawn by a program; figures on them say nothing about NYUv2",
        "command": f"python -m flatmtl_lite rooms FOLDER {options}",
        **settings,
        "revision": REVISION,
        "versions": {"flatmtl-lite": __version__, "numpy": np.__version__},
    }


def _check_folder(folder: Path, settings: dict[str, int]) -> None:
    """Raise FileExistsError unless the rooms can be written here without harm to any file."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"Got {folder}; expected a folder, found a file. {REMEDY}")
    paths = folder.iterdir() if folder.exists() else []
    names = sorted(path.name for path in paths if not is_system_file(path))
    if not names:
        return
    foreign = set(names) - {ORIGIN, f"{ORIGIN}.part", *COUNTS}
    if foreign or ORIGIN not in names:
        examples = ", ".join(sorted(foreign)[:3] or names[:3])
        raise FileExistsError(
            f"Got {folder}; it holds {examples}, and is not a folder of synthetic rooms. {REMEDY}"
        )
    present = _read_settings(folder)
    for name, value in {**settings, "revision": REVISION}.items():
        if present[name] != value and not (name in COUNTS and present[name] < value):
            raise FileExistsError(
                f"Got {name}={value} for {folder}, which holds synthetic rooms with {name}={present[name]}. "
                f"Give the same settings to complete them (more rooms are fine). {REMEDY}"
            )


def _read_settings(folder: Path) -> dict[str, int]:
    """Return settings and revision of the rooms in a folder."""
    try:
        origin = json_object((folder / ORIGIN).read_text(encoding="utf-8"), ORIGIN)
        names = (*SETTINGS, "revision")
        check_form(origin, dict.fromkeys(names, int), ORIGIN)
    except (OSError, ValueError) as error:
        raise FileExistsError(
            f"Got {folder}; its {ORIGIN} does not describe synthetic rooms ({error}). {REMEDY}"
        ) from error
    return {name: origin[name] for name in names}


def _is_whole(path: Path, like: np.ndarray) -> bool:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return array.shape == like.shape and array.dtype == like.dtype


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m flatmtl_lite rooms``."""
    parser.add_argument("folder", type=Path, help="a new folder, or a folder to complete")
    for name, default, meaning in (
        ("train", 200, "rooms to train on"),
        ("val", 100, "rooms of the held-out style"),
        ("height", 96, "pixels"),
        ("width", 128, "pixels"),
        ("seed", 0, "seed of the first room of each split"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{meaning} (default: {default})")


def main(arguments: argparse.Namespace) -> None:
    """Write the rooms that the command line asks for, and print how many."""
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    counts = write_rooms(arguments.folder, **settings, progress=True)
    print(f"synthetic rooms in {arguments.folder}: {counts['written']} written, {counts['kept']} kept")
