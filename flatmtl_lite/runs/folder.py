"""The folder of a run: what it is, its log, its checkpoints and its result. Never half a file."""

import errno
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from .records import write_whole

KEPT = 2  # checkpoints: the newest, and the one before in case that is damaged


class RunError(Exception):
    """Something that stops a run and that the message explains to who started it."""


class InUse(RunError):
    """Another process has the folder of the run."""


class RunFolder:
    """Where one run is kept, by one process at a time.

    * ``run.json``: experiment, settings, configuration; written first, and compared when a run goes on;
    * ``log.jsonl``: one JSON object a line;
    * ``checkpoints/epoch-<epochs done>.step-<steps of the next>.<start of its sha256>.pt``, to be read by
      ``torch.load(weights_only=True)``;
    * ``result.json``: written last; where it is, the run is finished.

    Args:
        path: the folder; made by :meth:`open` if it is not there.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._lock = FileLock(self.path / "lock")  # the system lets go of it however a process ends
        self._logged = 0  # entries of the log that are in the file

    @property
    def is_finished(self) -> bool:
        """Whether the run here has ended."""
        return (self.path / "result.json").exists()

    @property
    def is_begun(self) -> bool:
        """Whether there is work here that could be lost."""
        return self.is_finished or any(self.checkpoints.glob("epoch-*"))

    def known(self) -> dict[str, Any] | None:
        """What ``run.json`` says, or None if there is nothing here that could be lost.

        Raises:
            RunError: files that are no run's.
        """
        described = self.path / "run.json"
        if described.exists():
            try:
                return json.loads(described.read_text(encoding="utf-8"))
            except ValueError as error:
                raise RunError(f"{described} is damaged: {error}. Move the folder away.") from error
        ours = {"lock", "run.json.part", "output.txt"}
        strange = sorted({file.name for file in self.path.glob("*")} - ours)
        if strange:
            raise RunError(
                f"Got the folder {self.path}, which holds {strange[0]} and no run.json; expected a new "
                "folder, an empty one, or that of a run. Give another one."
            )
        return None

    def open(self, about: Mapping[str, Any]) -> None:
        """Take the folder for this process, and say in ``run.json`` what the run is, if that is not said yet.

        Raises:
            InUse: another process has the folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InUse(
                f"The folder {self.path} is used by a run that is going on; expected one that is free. Wait "
                "for it, or give another folder."
            ) from None
        self.checkpoints.mkdir(exist_ok=True)
        for part in self.checkpoints.glob("*.part"):  # of a process that was killed while it wrote
            part.unlink()
        if not self.is_begun:
            write_whole(self.path / "run.json", json.dumps(about, indent=1))

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.release()

    def write_log(self, log: list[dict]) -> None:
        """Append the entries that are not in the file yet.

        Raises:
            RunError: it could not be written.
        """
        with self._explained("log"), (self.path / "log.jsonl").open("ab") as file:
            for entry in log[self._logged :]:
                file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._logged = len(log)

    def save(self, state: dict[str, Any], log: list[dict]) -> None:
        """Write a checkpoint, with the log up to then; keep it and the one before.

        Raises:
            RunError: it could not be written; the checkpoints that were there still are.
        """
        self.write_log(log)
        written = (self.path / "log.jsonl").read_bytes()
        log_then = {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}
        content = io.BytesIO()
        torch.save({**state, "log": log_then}, content)
        place = f"epoch-{state['epoch']:05d}.step-{state['position']:06d}"
        with self._explained(f"checkpoint {place}"):
            name = f"{place}.{_short_hash(content.getvalue())}.pt"
            write_whole(self.checkpoints / name, content.getvalue())
        for old in self._saved()[KEPT:]:
            old.unlink()

    def newest(self) -> tuple[dict[str, Any], list[dict]] | None:
        """The newest whole checkpoint and the log up to then, or None.

        To go on from there, the file of the log is cut to it; that of a finished run is left whole.

        A damaged checkpoint is renamed, and named on the error output.
        """
        for path in self._saved():
            content = path.read_bytes()
            log = b""
            if _short_hash(content) == path.name.split(".")[-2]:
                state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                log = self._log_up_to(**state.pop("log"))
                if log is not None and self.is_finished:
                    log = (self.path / "log.jsonl").read_bytes()
                elif log is not None:
                    self._cut_log(log)
                if log is not None:
                    return state, [json.loads(line) for line in log.splitlines()]
            why = "the log before it is not what it was" if log is None else "its content is damaged"
            print(f"{path.name} cannot be used: {why}. Trying the one before.", file=sys.stderr)
            path.rename(path.with_name(path.name + ".damaged"))
        if (self.path / "log.jsonl").exists():
            print(f"No checkpoint in {self.path}: starting from the beginning.", file=sys.stderr)
            self._cut_log(b"")
        return None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: the run has ended."""
        write_whole(self.path / "result.json", json.dumps(result, indent=1))

    def _saved(self) -> list[Path]:
        """Checkpoints, newest first."""
        return sorted(self.checkpoints.glob("epoch-*.pt"), reverse=True)

    @property
    def last_good(self) -> str:
        """A sentence that names the newest checkpoint."""
        saved = self._saved()
        return f"The last good checkpoint is {saved[0]}." if saved else "There is no checkpoint yet."

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            remedy = "Free some space" if full else "Mend that"
            raise RunError(
                f"The {what} could not be written: {error}. {remedy} and go on with --resume. "
                f"{self.last_good}"
            ) from error

    def _log_up_to(self, bytes: int, sha256: str) -> bytes | None:
        path = self.path / "log.jsonl"
        content = path.read_bytes()[:bytes] if path.exists() else b""
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def _cut_log(self, content: bytes) -> None:
        write_whole(self.path / "log.jsonl", content)
        self._logged = content.count(b"\n")


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
