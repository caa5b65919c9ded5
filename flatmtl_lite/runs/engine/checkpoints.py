"""The checkpoints of a run, to go on from; of a finished run the weights stay."""

import hashlib
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...files import write_whole

KEPT_CHECKPOINTS = 2  # the newest, and the one before in case the newest is damaged
# the entries of a checkpoint that stay when the run is finished: the rest is for going on
KEPT_ENTRIES = ("model", "epoch", "position", "seconds", "log", "made_with")


class Checkpoints:
    """The checkpoints of one run: ``epoch-<done>.step-<of the next>.<start of its sha256>.pt``.

    ``torch.load(weights_only=True)`` reads them.

    Args:
        folder: the folder of the checkpoints, which :meth:`write` makes if necessary.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def epochs(self) -> list[int]:
        """Return the number of finished epochs of each file, newest first."""
        return [int(re.findall(r"\d+", path.name)[0]) for path in self.paths()]

    def paths(self) -> list[Path]:
        """Return the files, newest first."""

        def place(path: Path) -> list[int]:
            return [int(number) for number in re.findall(r"\d+", path.name)[:2]]

        paths = self.folder.glob("epoch-*.step-*.pt")
        ours = [path for path in paths if re.match(r"epoch-\d+\.step-\d+\.", path.name)]
        return sorted(ours, key=place, reverse=True)

    def note(self) -> str:
        """Return a sentence that names the newest checkpoint."""
        paths = self.paths()
        return f"The last good checkpoint is {paths[0]}." if paths else "There is no checkpoint yet."

    @staticmethod
    def read(path: Path) -> dict[str, Any] | None:
        """Return the content of a checkpoint, or None if it is damaged."""
        content = path.read_bytes()
        if short_hash(content) != path.name.split(".")[-2]:
            return None
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    def newest_whole(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest undamaged checkpoint and its content, or None.

        A damaged checkpoint is renamed and reported on the error output.
        """
        for path in self.paths():
            state = self.read(path)
            if state is not None:
                return path, state
            print(f"{path.name} is damaged and cannot be used: trying the one before.", file=sys.stderr)
            path.rename(path.with_name(path.name + ".damaged"))
        return None

    def write(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, and remove all but this one and the one before.

        Raises:
            OSError: the file cannot be written; the earlier checkpoints are still there.
        """
        self.folder.mkdir(exist_ok=True)
        self._write(state)
        for old in self.paths()[KEPT_CHECKPOINTS:]:
            old.unlink()

    def keep_weights_only(self) -> None:
        """Replace all checkpoints of a finished run by the weights in the last one.

        Raises:
            OSError: the file cannot be written; the checkpoints are still there.
        """
        before = self.paths()
        state = self.read(before[0]) if before else None
        if state is not None:
            kept = self._write({name: state[name] for name in KEPT_ENTRIES if name in state})
            for old in before:
                if old != kept:
                    old.unlink()

    def _write(self, state: Mapping[str, Any]) -> Path:
        content = saved(state)
        place = f"epoch-{state['epoch']:05d}.step-{state['position']:06d}"
        path = self.folder / f"{place}.{short_hash(content)}.pt"
        write_whole(path, content)
        return path


def saved(content: Mapping[str, Any]) -> bytes:
    """Return what ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(dict(content), file)
    return file.getvalue()


def short_hash(content: bytes) -> str:
    """Return the start of the sha256 of a file's content."""
    return hashlib.sha256(content).hexdigest()[:16]
