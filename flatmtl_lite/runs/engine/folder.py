"""The folder of a run: what it is, its log, its checkpoints and its result. Never half a file."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ...files import write_whole

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
        path: the folder; made by :meth:`take` if it is not there.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._lock = FileLock(self.path / "lock")  # the system lets go of it however a process ends
        self._made = False
        self._logged = 0  # entries of the log that are in the file

    @property
    def is_finished(self) -> bool:
        """Whether the run here has ended."""
        return (self.path / "result.json").exists()

    @property
    def is_begun(self) -> bool:
        """Whether there is work here that could be lost."""
        return self.is_finished or bool(self._saved())

    def take(self) -> None:
        """Keep the folder for this process; to be called before anything in it is looked at.

        Raises:
            InUse: another process has the folder.
            RunError: there cannot be such a folder, or it holds files that are no run's.
        """
        with self._explained("folder"):
            self._made = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            ours = {"lock", "checkpoints", "run.json", "run.json.part", "log.jsonl", "output.txt"}
            strange = sorted({file.name for file in self.path.glob("*")} - ours)
            if strange and not (self.path / "run.json").exists():
                raise RunError(
                    f"Got the folder {self.path}, which holds {strange[0]} and no run.json; expected a new "
                    "folder, an empty one, or that of a run. Give another one."
                )
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise InUse(
                    f"The folder {self.path} is used by a run that is going on; expected one that is free. "
                    "Wait for it, or give another folder."
                ) from None

    def release(self) -> None:
        """Let go of the folder; one that was made for a run that could not begin is removed."""
        self._lock.release()
        if self._made and not (self.path / "run.json").exists():
            shutil.rmtree(self.path)

    def known(self) -> dict[str, Any] | None:
        """What ``run.json`` says of the run, or None if there is no work here that could be lost.

        Raises:
            RunError: it is damaged, or missing beside such work.
        """
        if not self.is_begun:
            return None
        described = self.path / "run.json"
        try:
            known = json.loads(described.read_text(encoding="utf-8"))
            missing = {"experiment", "settings", "config", "processes", "about"} - set(known)
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{described} cannot be read: {error}. Bring it back, or give another folder."
            ) from error
        if missing:
            raise RunError(f"{described} lacks {', '.join(sorted(missing))}. Give another folder.")
        return known

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say in ``run.json`` what the run is.

        Raises:
            RunError: it could not be written.
        """
        with self._explained("description of the run"):
            write_whole(self.path / "run.json", json.dumps(about, indent=1))
            (self.path / "log.jsonl").unlink(missing_ok=True)

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
        self.checkpoints.mkdir(exist_ok=True)
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
        """The newest whole checkpoint and the log up to then, to which its file is cut; None: from the start.

        A checkpoint that is damaged is renamed, and named on the error output.

        Raises:
            RunError: the log before the checkpoint is not what it was.
        """
        for part in self.path.rglob("*.part"):  # of a process that was killed while it wrote
            part.unlink()
        for path in self._saved():
            state = self._whole(path)
            if state is not None:
                log = self._log_up_to(path, **state.pop("log"))
                self._cut_log(log)
                return state, [json.loads(line) for line in log.splitlines()]
            print(f"{path.name} is damaged and cannot be used: trying the one before.", file=sys.stderr)
            path.rename(path.with_name(path.name + ".damaged"))
        if (self.path / "log.jsonl").exists():
            print(f"No checkpoint in {self.path}: starting from the beginning.", file=sys.stderr)
            self._cut_log(b"")
        return None

    def last(self, epochs: int) -> tuple[dict[str, Any], list[dict]]:
        """The state at the end of a finished run of so many epochs, and its whole log; nothing is changed.

        Raises:
            RunError: its last checkpoint is not there any more, or damaged.
        """
        newest = self._saved()[:1]
        state = self._whole(newest[0]) if newest else None
        if state is None or state["epoch"] != epochs:
            raise RunError(
                f"The run in {self.path} is finished, and result.json says how; but its last checkpoint is "
                "gone or damaged, so there are no weights to load. To train it again give another folder."
            )
        del state["log"]
        lines = (self.path / "log.jsonl").read_bytes().splitlines()
        return state, [json.loads(line) for line in lines]

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: the run has ended.

        Raises:
            RunError: it could not be written.
        """
        with self._explained("result"):
            write_whole(self.path / "result.json", json.dumps(result, indent=1))

    def _saved(self) -> list[Path]:
        """Checkpoints, newest first."""

        def place(path: Path) -> list[int]:
            return [int(number) for number in re.findall(r"epoch-(\d+)\.step-(\d+)", path.name)[0]]

        return sorted(self.checkpoints.glob("epoch-*.step-*.pt"), key=place, reverse=True)

    @staticmethod
    def _whole(path: Path) -> dict[str, Any] | None:
        """What a checkpoint holds, if it is what was written."""
        content = path.read_bytes()
        if _short_hash(content) != path.name.split(".")[-2]:
            return None
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

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

    def _log_up_to(self, checkpoint: Path, bytes: int, sha256: str) -> bytes:
        path = self.path / "log.jsonl"
        content = path.read_bytes()[:bytes] if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RunError(
                f"{path} is not what it was when {checkpoint.name} was written; expected its first {bytes} "
                "bytes unchanged. Bring it back, or begin in another folder; nothing was changed."
            )
        return content

    def _cut_log(self, content: bytes) -> None:
        with self._explained("log"):
            write_whole(self.path / "log.jsonl", content)
        self._logged = content.count(b"\n")


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
