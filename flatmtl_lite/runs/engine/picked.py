"""The weights of the picked epoch, the one with the best validation score."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files import write_whole
from .checkpoints import saved, short_hash
from .errors import RunError

PICKED = "picked.pt"


def picked_evaluation(log: list[dict]) -> dict | None:
    """Return the evaluation with the best validation score so far, the first of equals.

    Without an evaluation, or without validation data, return None.
    """
    evaluations = [e for e in log if e["kind"] == "evaluation" and "val" in e["score"]]
    return max(evaluations, key=lambda entry: entry["score"]["val"], default=None)


class PickedWeights:
    """The weights of the picked epoch: ``picked-<epoch>.pt`` while the run trains, ``picked.pt`` afterwards.

    A run that goes on from a checkpoint, and not to the same bits, may pick another epoch than before. So the
    weights that a kept checkpoint would still pick stay, until that checkpoint goes.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def keep(self, weights: Mapping[str, Tensor], log: list[dict]) -> None:
        """Write the weights if the epoch that has just ended has the best validation score so far.

        Raises:
            OSError: the file cannot be written.
        """
        picked = picked_evaluation(log)
        epoch = next(entry["epoch"] for entry in reversed(log) if entry["kind"] == "epoch")
        if picked is not None and picked["epoch"] == epoch:
            write_whole(self._path(epoch), saved({"model": dict(weights), "epoch": epoch}))

    def tidy(self, log: list[dict], epochs: Iterable[int]) -> None:
        """Remove the weights that no log up to one of these epochs, and not the whole log, picks."""
        logs = [log, *([e for e in log if e.get("epoch", 0) <= end] for end in epochs)]
        needed = {self._path(picked["epoch"]) for picked in map(picked_evaluation, logs) if picked}
        for path in self.folder.glob("picked-*.pt"):
            if path not in needed:
                path.unlink()

    def hash_of(self, epoch: int | None) -> str | None:
        """Return the start of the hash of an epoch's weights; None without an epoch or without weights."""
        if epoch is None or not self._path(epoch).exists():
            return None
        return short_hash(self._path(epoch).read_bytes())

    def settle(self, epoch: int | None) -> None:
        """Name the weights of a finished run's picked epoch ``picked.pt``, and remove all others."""
        if epoch is not None and self._path(epoch).exists():
            self._path(epoch).replace(self.folder / PICKED)
        for path in self.folder.glob("picked-*.pt"):
            path.unlink()

    def read(self, sha256: str) -> dict[str, Any]:
        """Return ``model`` and ``epoch`` of a finished run.

        Args:
            sha256: the start of the file's hash.

        Raises:
            RunError: the file is missing, or its hash is another one.
        """
        path = self.folder / PICKED
        content = path.read_bytes() if path.exists() else None
        if content is None or short_hash(content) != sha256:
            state = "is missing" if content is None else "is damaged or belongs to another run"
            raise RunError(f"{path} {state}; expected the weights of the picked epoch. Restore that file.")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"picked-{epoch:05d}.pt"
