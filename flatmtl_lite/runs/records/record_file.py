"""The file of a record: a heading that says where it comes from, and results that are saved one by one."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...files import write_whole
from ..data.sources import shipped
from ..engine.provenance import machine_class


def load_record(name: str) -> dict[str, Any]:
    """Return the record that ships as ``data/results/<name>.json``.

    Raises:
        ValueError: the file has changed since its hash was taken.
    """
    return json.loads(shipped(f"results/{name}.json"))


def load_unfinished(path: Path) -> dict[str, Any]:
    """Return the record that a run which ended early has written to a file, or {} if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


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
    """A record of long runs that is written again, whole, after every run.

    Args:
        name: name of the record, such as "teaching".
        path: the JSON file to write.
        seeds: the seeds, for the command in the heading.
        content: further entries.

    Attributes:
        content: the record so far: ``command``, ``date``, ``machine`` and the further entries.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """

    def __init__(self, name: str, path: Path, seeds: Sequence[int], **content: Any):
        check_folder(path)
        self.path = path
        self.content: dict[str, Any] = {
            "command": f"flatmtl-lite record {name} {path.as_posix()} --seeds {' '.join(map(str, seeds))}",
            "date": datetime.date.today().isoformat(),
            "machine": machine_class(torch.device("cpu")),
            **content,
        }

    def append(self, key: str, entry: dict[str, Any]) -> None:
        """Append an entry to one of the record's lists, and write the file."""
        self.content[key].append(entry)
        write_whole(self.path, json.dumps(self.content, indent=1))
