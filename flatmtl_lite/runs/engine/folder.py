"""The folder of a run: its description, log, checkpoints and result. No file in it is ever half written."""

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

from ...files import check_form, is_system_file, json_object, write_whole

KEPT_CHECKPOINTS = 2  # the newest, and the one before in case the newest is damaged
# what a run that goes on needs of its run.json
DESCRIPTION = {"experiment": str, "settings": dict, "config": dict, "processes": int, "about": dict}
Checkpoint = tuple[dict[str, Any], list[dict]]  # the trainer's state, and the log up to then


class RunError(Exception):
    """An error that stops a run and whose message explains it to the person who started the run."""

    exit_code = 1


class InUse(RunError):
    """Another process uses the folder of the run."""

    exit_code = 3


class RunFolder:
    """The files of one run. One process at a time may use them.

    * ``run.json``: experiment, settings, configuration. It is written first, and compared when a run goes on.
    * ``log.jsonl``: one JSON object per line.
    * ``checkpoints/epoch-<epochs done>.step-<steps of the next>.<start of its sha256>.pt``, to be read by
      ``torch.load(weights_only=True)``. Each holds the settings of ``run.json`` as ``made_with``.
    * ``result.json``: written last. If it is there, the run is finished.

    Args:
        path: the folder; :meth:`take` makes it if necessary.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._lock = FileLock(self.path / "lock")  # the system releases it however a process ends
        self._is_new = False
        self._logged = 0  # number of log entries that are in the file
        self._description: dict[str, Any] = {}

    @property
    def is_finished(self) -> bool:
        """Whether the run in the folder has ended."""
        return (self.path / "result.json").exists()

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds work that could be lost."""
        return self.is_finished or bool(self._checkpoint_paths())

    def take(self) -> None:
        """Reserve the folder for this process. Call it before you look at anything in the folder.

        Raises:
            InUse: another process uses the folder.
            RunError: the folder cannot be made, or it holds files that do not belong to a run.
        """
        with self._explain_errors("folder"):
            self._is_new = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            ours = {"lock", "checkpoints", "run.json", "run.json.part", "log.jsonl", "output.txt"}
            files = {file.name for file in self.path.glob("*") if not is_system_file(file)}
            strange = sorted(files - ours)
            if strange and not (self.path / "run.json").exists():
                raise RunError(
                    f"Got the folder {self.path}, which holds {strange[0]} and no run.json; expected a new "
                    "folder, an empty folder, or the folder of a run. Give another one."
                )
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise InUse(
                    f"The folder {self.path} is used by a run that is going on; expected a free folder. "
                    "Wait for that run, or give another folder."
                ) from None

    def release(self) -> None:
        """Let other processes use the folder; remove it if it is new and the run could not begin."""
        self._lock.release()
        if self._is_new and not (self.path / "run.json").exists():
            shutil.rmtree(self.path)

    def description(self) -> dict[str, Any] | None:
        """Return the content of ``run.json``, or None if the folder holds no work that could be lost.

        Raises:
            RunError: the file is damaged or missing although there is such work.
        """
        if not self.is_begun:
            return None
        file = self.path / "run.json"
        try:
            description = json_object(file.read_text(encoding="utf-8"), "it")
        except (OSError, ValueError) as error:
            raise RunError(f"{file} cannot be read: {error}. Restore it, or give another folder.") from error
        try:
            check_form(description, DESCRIPTION, str(file))
        except ValueError as error:
            raise RunError(f"{error}. Restore it, or give another folder.") from error
        self._description = description
        return description

    def check_unchanged(self, description: Mapping[str, Any]) -> None:
        """Check that a description is what the newest undamaged checkpoint was made with, except ``about``.

        A checkpoint of an earlier version does not say what it was made with, and is not compared.

        Raises:
            RunError: ``run.json`` was changed; the message names each setting that differs.
        """
        states = filter(None, map(self._read_checkpoint, self._checkpoint_paths()))
        made_with = next(states, {}).get("made_with")
        if made_with is None:
            return
        there, here = (
            {**d, **d.get("settings", {}), **d.get("config", {})} for d in (made_with, description)
        )
        names = [name for name in {**there, **here} if name not in ("settings", "config", "about")]
        if differences := [
            f"{name} is {_shown(there, name)} in the checkpoint and {_shown(here, name)} in run.json"
            for name in names
            if name not in there or name not in here or there[name] != here[name]
        ]:
            raise RunError(
                f"{self.path / 'run.json'} was changed after the run began: {'; '.join(differences)}. Put "
                "the values of the checkpoint back to go on. To train with other values give another folder."
            )

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write ``run.json``, and remove a log without a checkpoint.

        Raises:
            RunError: the file could not be written.
        """
        text = json.dumps(description, indent=1)
        self._description = json.loads(text)
        with self._explain_errors("description of the run"):
            write_whole(self.path / "run.json", text)
            (self.path / "log.jsonl").unlink(missing_ok=True)

    def write_log(self, log: list[dict]) -> None:
        """Append the entries that are not in the file yet.

        Raises:
            RunError: the file could not be written.
        """
        with self._explain_errors("log"), (self.path / "log.jsonl").open("ab") as file:
            for entry in log[self._logged :]:
                file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._logged = len(log)

    def save(self, state: dict[str, Any], log: list[dict]) -> None:
        """Write a checkpoint and the log up to then; keep this checkpoint and the one before.

        Raises:
            RunError: a file could not be written; the earlier checkpoints are still there.
        """
        self.checkpoints.mkdir(exist_ok=True)
        self.write_log(log)
        log_bytes = (self.path / "log.jsonl").read_bytes()
        log_then = {"bytes": len(log_bytes), "sha256": hashlib.sha256(log_bytes).hexdigest()}
        made_with = {name: value for name, value in self._description.items() if name != "about"}
        content = io.BytesIO()
        torch.save({**state, "log": log_then, "made_with": made_with}, content)
        place = f"epoch-{state['epoch']:05d}.step-{state['position']:06d}"
        with self._explain_errors(f"checkpoint {place}"):
            name = f"{place}.{_short_hash(content.getvalue())}.pt"
            write_whole(self.checkpoints / name, content.getvalue())
        for old in self._checkpoint_paths()[KEPT_CHECKPOINTS:]:
            old.unlink()

    def newest_checkpoint(self) -> Checkpoint | None:
        """Return the newest undamaged checkpoint, and cut the log file to it; None: start from the beginning.

        A damaged checkpoint is renamed and reported on the error output.

        Raises:
            RunError: the log before the checkpoint has changed.
        """
        for part in self.path.rglob("*.part"):  # of a process that was killed while it wrote
            part.unlink()
        for path in self._checkpoint_paths():
            state = self._read_checkpoint(path)
            if state is not None:
                state.pop("made_with", None)
                log = self._log_up_to(path, **state.pop("log"))
                self._cut_log(log)
                return state, self._entries(log)
            print(f"{path.name} is damaged and cannot be used: trying the one before.", file=sys.stderr)
            path.rename(path.with_name(path.name + ".damaged"))
        if (self.path / "log.jsonl").exists():
            print(f"No checkpoint in {self.path}: starting from the beginning.", file=sys.stderr)
            self._cut_log(b"")
        return None

    def final_checkpoint(self, epochs: int) -> Checkpoint:
        """Return the state and the whole log of a finished run of that many epochs; change nothing.

        Raises:
            RunError: the last checkpoint is missing or damaged, or the log is.
        """
        newest = self._checkpoint_paths()[:1]
        state = self._read_checkpoint(newest[0]) if newest else None
        if state is None or state["epoch"] != epochs:
            raise RunError(
                f"The run in {self.path} is finished, and result.json tells its result; but its last "
                "checkpoint is gone or damaged, so there are no weights to load. To train it again give "
                "another folder."
            )
        state.pop("made_with", None)
        self._log_up_to(newest[0], **state.pop("log"))
        return state, self._entries((self.path / "log.jsonl").read_bytes())

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: the run has ended.

        Raises:
            RunError: the file could not be written.
        """
        with self._explain_errors("result"):
            write_whole(self.path / "result.json", json.dumps(result, indent=1))

    def checkpoint_note(self) -> str:
        """Return a sentence that names the newest checkpoint."""
        paths = self._checkpoint_paths()
        return f"The last good checkpoint is {paths[0]}." if paths else "There is no checkpoint yet."

    def _checkpoint_paths(self) -> list[Path]:
        """Return the files of the checkpoints, newest first."""

        def place(path: Path) -> list[int]:
            return [int(number) for number in re.findall(r"\d+", path.name)[:2]]

        paths = self.checkpoints.glob("epoch-*.step-*.pt")
        ours = [path for path in paths if re.match(r"epoch-\d+\.step-\d+\.", path.name)]
        return sorted(ours, key=place, reverse=True)

    @staticmethod
    def _read_checkpoint(path: Path) -> dict[str, Any] | None:
        """Return the content of a checkpoint, or None if it is damaged."""
        content = path.read_bytes()
        if _short_hash(content) != path.name.split(".")[-2]:
            return None
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    @contextmanager
    def _explain_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            remedy = "Free some space" if full else "Repair that"
            raise RunError(
                f"The {what} could not be written: {error}. {remedy} and go on with --resume. "
                f"{self.checkpoint_note()}"
            ) from error

    def _log_up_to(self, checkpoint: Path, bytes: int, sha256: str) -> bytes:
        path = self.path / "log.jsonl"
        content = path.read_bytes()[:bytes] if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RunError(
                f"{path} has changed since {checkpoint.name} was written; expected its first {bytes} bytes "
                "unchanged. Restore the log, or begin in another folder; nothing was changed."
            )
        return content

    def _entries(self, log: bytes) -> list[dict]:
        file = self.path / "log.jsonl"
        try:
            return [json_object(line, f"{file}, line {n},") for n, line in enumerate(log.splitlines(), 1)]
        except ValueError as error:
            raise RunError(f"{error}. Restore the log, or give another folder.") from error

    def _cut_log(self, content: bytes) -> None:
        with self._explain_errors("log"):
            write_whole(self.path / "log.jsonl", content)
        self._logged = content.count(b"\n")


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "missing"
