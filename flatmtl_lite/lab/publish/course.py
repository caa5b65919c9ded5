"""Copy the course into a folder of the learner's own, and open it there in JupyterLab."""

import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...files import shipped_folder, write_whole
from .editions import INSTRUCTOR

DEFAULT_FOLDER = Path("flatmtl-course")
FIRST_NOTEBOOK = "00_start_here.ipynb"
STAMP = ".flatmtl-course.json"


@dataclass(frozen=True)
class CopyReport:
    """What ``copy_course`` did; ``str(report)`` tells it to the learner.

    Attributes:
        folder: The folder of the course.
        copied: The files that were missing there, as names below the folder.
        newer: The files that changed in the kit since the learner got them, with the name of the new copy.
    """

    folder: Path
    copied: tuple[str, ...]
    newer: dict[str, str]

    def __str__(self) -> str:
        notebooks = sum(name.endswith(".ipynb") for name in self.copied)
        plural = "" if notebooks == 1 else "s"
        lines = [f"Copied {notebooks} notebook{plural} to {self.folder}."] if notebooks else []
        for name, new in self.newer.items():
            lines.append(f"{name} has a new version, {new}; your own file stays as it is.")
        return "\n".join(lines) or f"The course is in {self.folder}."


def copy_course(folder: Path, instructor: bool = False) -> CopyReport:
    """Copy the shipped notebooks and their pictures into a folder, without touching any file that is there.

    A file that is missing is copied. If a shipped file differs from the one that the learner once got, the
    new one is written next to it, once, as ``02_sharp_and_flat.new.ipynb``. A stamp in the folder holds the
    version of the kit and the SHA-256 of each shipped file: an edited notebook is not taken for an old one.

    Args:
        folder: The learner's folder; it may be missing.
        instructor: Copy the instructor's edition too, into ``instructor/``.

    Raises:
        ValueError: The folder lies inside the shipped notebooks.
        OSError: The folder is a file, or it cannot be written. Whatever this call wrote is removed again.
    """
    shipped = shipped_folder("notebooks")
    if shipped.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise ValueError(f"Got {folder}, inside the kit's own notebooks; expected a folder of your own.")
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"Got {folder}, but {path} is a file; expected the name of a folder.")
    hashes = _read_stamp(folder)
    contents: dict[Path, bytes] = {}
    copied: list[str] = []
    newer: dict[str, str] = {}
    for name in _shipped_names(shipped, instructor):
        content = _for_learners(shipped / name)
        shipped_hash = hashlib.sha256(content).hexdigest()
        path = folder / name
        if not path.exists():
            contents[path] = content
            copied.append(name)
        elif shipped_hash != hashes.get(name) and path.read_bytes() != content:
            path = _new_name(path, content)
            newer[name] = path.name
            contents[path] = content
        hashes[name] = shipped_hash
    stamp = (json.dumps({"version": __version__, "sha256": hashes}, indent=1) + "\n").encode()
    if not (folder / STAMP).exists() or (folder / STAMP).read_bytes() != stamp:
        contents[folder / STAMP] = stamp
    _write_all(folder, contents)
    return CopyReport(folder, tuple(copied), newer)


def open_course(
    folder: Path | None,
    browser: bool = True,
    jupyter_arguments: Sequence[str] = (),
    instructor: bool = False,
) -> int:
    """Copy the course with ``copy_course``, say what was copied, and run JupyterLab until it is stopped.

    JupyterLab listens on 127.0.0.1 only and keeps its token.

    Args:
        folder: The learner's folder; None is ``flatmtl-course`` in the current directory.
        browser: Open a browser; otherwise JupyterLab prints the address only.
        jupyter_arguments: More arguments for JupyterLab; they win over ours.
        instructor: Copy the instructor's edition too.

    Returns:
        The exit code, 0.

    Raises:
        ModuleNotFoundError: JupyterLab is not installed. Nothing was copied.
        ValueError, OSError: ``copy_course`` raised them.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        advice = 'JupyterLab is missing; install it with: pip install "flatmtl-lite[lab]"'
        raise ModuleNotFoundError(advice, name="jupyterlab")
    folder = DEFAULT_FOLDER if folder is None else folder
    print(copy_course(folder, instructor), flush=True)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    _run_jupyterlab(
        [
            f"--ServerApp.root_dir={folder.resolve()}",
            "--ServerApp.ip=127.0.0.1",
            f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
            *([] if browser else ["--no-browser"]),
            *(["--allow-root"] if root else []),  # without it JupyterLab refuses to run as root
            *jupyter_arguments,
        ]
    )
    return 0


def _run_jupyterlab(arguments: list[str]) -> None:
    """Run JupyterLab in this process, so that Ctrl-C and other signals reach it."""
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(arguments)


def _shipped_names(shipped: Path, instructor: bool) -> list[str]:
    """Return the names of the shipped files, relative to their folder, with forward slashes."""
    patterns = ["*.ipynb", "images/*", *([f"{INSTRUCTOR}/*.ipynb"] if instructor else [])]
    paths = [path for pattern in patterns for path in sorted(shipped.glob(pattern))]
    return [path.relative_to(shipped).as_posix() for path in paths if path.is_file()]


def _for_learners(path: Path) -> bytes:
    """Return the content of a shipped file; a notebook without the figures that wait for a prediction."""
    content = path.read_bytes()
    if path.suffix != ".ipynb" or b'"after"' not in content:
        return content
    notebook = json.loads(content)
    for cell in notebook["cells"]:
        outputs = cell.get("outputs", [])
        kept = [output for output in outputs if "after" not in output.get("metadata", {}).get("flatmtl", {})]
        if len(kept) < len(outputs):
            cell["outputs"] = kept
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _read_stamp(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file copied by earlier calls; empty if the stamp is missing or damaged."""
    try:
        hashes = json.loads((folder / STAMP).read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(value) for name, value in hashes.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _new_name(path: Path, content: bytes) -> Path:
    """Return the first of ``x.new.ipynb``, ``x.new2.ipynb``, ... that is free or has this content already."""
    number = 1
    while True:
        new = path.with_name(f"{path.stem}.new{number if number > 1 else ''}{path.suffix}")
        if not new.exists() or new.read_bytes() == content:
            return new
        number += 1


def _write_all(folder: Path, contents: dict[Path, bytes]) -> None:
    """Write every file, each whole, or none: if one fails, the others and new folders are removed again."""
    new: list[Path] = []
    try:
        for path, content in contents.items():
            missing = [parent for parent in path.parents if not parent.exists()]
            for parent in reversed(missing):
                parent.mkdir()
                new.append(parent)
            existed = path.exists()
            write_whole(path, content)
            if not existed:
                new.append(path)
    except OSError as error:
        for path in reversed(new):
            path.rmdir() if path.is_dir() else path.unlink()
        megabytes = sum(map(len, contents.values())) / 1e6
        raise OSError(
            f"Could not write the course to {folder}: {error.strerror or error}. It needs {megabytes:.1f} MB "
            "there; free some space, or name a folder that you may write: flatmtl-lite lab FOLDER"
        ) from error
