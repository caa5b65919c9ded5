"""Read the description of a run and compare it, before anything in its folder is changed."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...files import check_form, is_system_file, json_object
from .errors import RunError

# what a run that goes on needs of its run.json
DESCRIPTION = {"experiment": str, "settings": dict, "config": dict, "processes": int, "about": dict}

# files that may lie in a folder in which no run has begun
BEFORE_A_RUN = {"lock", "checkpoints", "run.json", "run.json.part", "log.jsonl", "output.txt"}


def check_ours(folder: Path) -> None:
    """Check that a folder holds a run, or nothing but files of a run that could not begin.

    Raises:
        RunError: it holds other files and no ``run.json``.
    """
    files = {file.name for file in folder.glob("*") if not is_system_file(file)}
    strange = sorted(files - BEFORE_A_RUN)
    if strange and not (folder / "run.json").exists():
        raise RunError(
            f"Got the folder {folder}, which holds {strange[0]} and no run.json; expected a new folder, an "
            "empty folder, or the folder of a run. Give another one."
        )


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return json_object(file.read_text(encoding="utf-8"), "it")
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read: {error}. Restore it, or give another folder.") from error


def read_description(file: Path) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Raises:
        RunError: the file is missing or damaged, or has another form.
    """
    description = read_object(file)
    try:
        check_form(description, DESCRIPTION, str(file))
    except ValueError as error:
        raise RunError(f"{error}. Restore it, or give another folder.") from error
    return description


def check_made_with(made_with: Mapping[str, Any], description: Mapping[str, Any], file: Path) -> None:
    """Check that a description is what a checkpoint was made with, except ``about``.

    Raises:
        RunError: the description was changed; the message names each setting that differs.
    """
    there, here = ({**d, **d.get("settings", {}), **d.get("config", {})} for d in (made_with, description))
    names = [name for name in {**there, **here} if name not in ("settings", "config", "about")]
    if differences := [
        f"{name} is {_shown(there, name)} in the checkpoint and {_shown(here, name)} in run.json"
        for name in names
        if name not in there or name not in here or there[name] != here[name]
    ]:
        raise RunError(
            f"{file} was changed after the run began: {'; '.join(differences)}. Put the values of the "
            "checkpoint back to go on. To train with other values give another folder."
        )


def check_folder_exists(folder: Path) -> None:
    """Check that the folder of a run that shall go on is there.

    Raises:
        RunError: there is no such folder; the message names folders of similar names.
    """
    if not folder.exists():
        similar = ", ".join(map(str, _similar_folders(folder.absolute())))
        hint = f" Did you mean {similar}?" if similar else ""
        raise RunError(
            f"Got --resume for the folder {folder}, which does not exist; expected the folder of a "
            f"run.{hint} Leave --resume out to begin a new run."
        )


def _similar_folders(path: Path) -> list[Path]:
    """Return existing folders that differ from a path in the first of its names that does not exist."""
    missing = next(part for part in (*reversed(path.parents), path) if not part.exists())
    names = [folder.name for folder in missing.parent.iterdir() if folder.is_dir()]
    similar = get_close_matches(missing.name, names, n=3, cutoff=0.7)
    rest = path.relative_to(missing)
    return [folder for name in similar if (folder := missing.parent / name / rest).is_dir()]


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "missing"
