"""The file of a record: a heading that says where it comes from, and results that are saved one by one."""

import datetime
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...files import write_whole
from ..data.sources import shipped
from ..engine.provenance import code_version, machine_class


def load_record(name: str) -> dict[str, Any]:
    """Return the record that ships as ``data/results/<name>.json``.

    Raises:
        FileNotFoundError: the file is missing. Not all records have been made.
        ValueError: the file has changed since its hash was taken.
    """
    try:
        return json.loads(shipped(f"results/{name}.json"))
    except FileNotFoundError as error:
        remedy = f"`flatmtl-lite record {name.partition('_')[0]}` makes a record that does not ship yet."
        raise FileNotFoundError(f"{error} {remedy}") from error


def check_folder(path: Path) -> None:
    """Check that the folder of a file exists; call it before hours of training.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Got {path}; expected a file in a folder that exists. Make {path.parent} or name another one."
        )


class RecordFile:
    """A record of long runs: a file that is written again, whole, after every run, one line for each.

    Entries that the file holds already are kept, so a record that ended early goes on where it stopped.

    Args:
        name: name of the record, such as "splitting".
        path: the JSON file to write.
        seeds: the seeds, for the command in the heading.
        lists: names of the lists of entries that are kept.
        content: further entries of the heading.

    Attributes:
        content: the record so far: ``command``, ``date``, ``machine``, ``code`` and the rest. ``code`` lists
            the versions that made the entries, since a record may go on with a newer one.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """

    def __init__(
        self, name: str, path: Path, seeds: Sequence[int], lists: Sequence[str] = ("runs",), **content: Any
    ):
        check_folder(path)
        done = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        options = f" --seeds {' '.join(map(str, seeds))}" if seeds else ""
        options += f" --setting {content['setting']}" if "setting" in content else ""
        self.path, self.version = path, code_version()
        self.content: dict[str, Any] = {
            "command": f"flatmtl-lite record {name} {path.as_posix()}{options}",
            "date": datetime.date.today().isoformat(),
            "machine": machine_class(torch.device("cpu")),
            "code": done.get("code", []),
            **content,
            **{key: done.get(key, []) for key in lists},
        }

    def entry(self, key: str, place: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the entry of one of the lists that has these values; make and append it if there is none.

        Args:
            key: name of the list.
            place: what tells the entry from others, such as its label and its seed.
            make: returns the rest of the entry.
        """
        for entry in self.content[key]:
            if place.items() <= entry.items():
                return entry
        self.append(key, entry := {**place, **make()})
        return entry

    def drop(self, key: str, label: str, value: float | None) -> None:
        """Drop the entries of a method that were made with another value, chosen from a shorter ladder."""
        self.content[key] = [e for e in self.content[key] if e["label"] != label or e["value"] == value]

    def append(self, key: str, entry: dict[str, Any]) -> None:
        """Append an entry to one of the lists, and write the file."""
        self.content[key].append(entry)
        if self.version not in self.content["code"]:
            self.content["code"].append(self.version)
        print(
            key,
            *(f"{name}={value}" for name, value in entry.items() if not isinstance(value, list | dict)),
            file=sys.stderr,
        )
        self.write()

    def write(self) -> None:
        """Write the file, with every entry of a list on a line of its own."""
        parts = []
        for key, value in self.content.items():
            text = json.dumps(value)
            if value and isinstance(value, list) and isinstance(value[0], dict):
                text = "[\n" + ",\n".join(json.dumps(entry) for entry in value) + "\n]"
            parts.append(f"{json.dumps(key)}: {text}")
        write_whole(self.path, "{\n" + ",\n".join(parts) + "\n}\n")
