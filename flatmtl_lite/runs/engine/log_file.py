"""The log of a run as a file: one JSON object per line."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ...files import json_object, write_whole
from .errors import RunError


class LogFile:
    """The file ``log.jsonl``. Its writing methods raise OSError if the file cannot be written.

    Args:
        path: the file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._written = 0  # number of entries that are in the file

    def append(self, log: list[dict]) -> None:
        """Append the entries that are not in the file yet."""
        with self.path.open("ab") as file:
            file.write(_lines(log[self._written :]))
            file.flush()
            os.fsync(file.fileno())
        self._written = len(log)

    def stamp(self) -> dict[str, Any]:
        """Return the length and the hash of the file, as :meth:`up_to` takes them."""
        content = self.path.read_bytes()
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def up_to(self, checkpoint: str, bytes: int, sha256: str) -> bytes:
        """Return the content up to a checkpoint.

        Raises:
            RunError: it is not what it was when the checkpoint was written.
        """
        content = self.path.read_bytes()[:bytes] if self.path.exists() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RunError(
                f"{self.path} has changed since {checkpoint} was written; expected its first {bytes} bytes "
                "unchanged. Restore the log, or begin in another folder; nothing was changed."
            )
        return content

    def entries(self, content: bytes | None = None) -> list[dict]:
        """Return the entries of the file, or of the content that is given.

        Raises:
            RunError: a line is damaged.
        """
        lines = (self.path.read_bytes() if content is None else content).splitlines()
        try:
            return [json_object(line, f"{self.path}, line {n},") for n, line in enumerate(lines, 1)]
        except ValueError as error:
            raise RunError(f"{error}. Restore the log, or give another folder.") from error

    def cut(self, content: bytes) -> None:
        """Write the content in place of the file."""
        write_whole(self.path, content)
        self._written = content.count(b"\n")

    def replace(self, log: list[dict]) -> None:
        """Write the entries in place of the file, whole or not at all."""
        self.cut(_lines(log))


def _lines(entries: list[dict]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
