"""The folder of a run: its description, log, checkpoints and result. No file in it is ever half written."""

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from ...files import write_whole
from .checkpoints import Checkpoints
from .description import check_made_with, read_description, read_object
from .errors import InUse, RunError, explain_write_errors
from .log_file import LogFile
from .owned_folder import OwnedFolder
from .picked import PICKED, PickedWeights

__all__ = ["Checkpoint", "InUse", "RunError", "RunFolder"]

Checkpoint = tuple[dict[str, Any], list[dict]]  # the trainer's state, and the log up to then


class RunFolder(OwnedFolder):
    """The files of one run. One process at a time may use them.

    * ``run.json``: experiment, settings, configuration. It is written first, and compared when a run goes on.
    * ``log.jsonl``: one JSON object per line.
    * ``checkpoints``: see :class:`~flatmtl_lite.runs.engine.checkpoints.Checkpoints`. Each holds the settings
      of ``run.json`` as ``made_with``. A finished run has the weights of its end there, and nothing else.
    * ``picked.pt``: see :class:`~flatmtl_lite.runs.engine.picked.PickedWeights`.
    * ``result.json``: written after the last step. If it is there, the run is finished. The final measures
      come later, or never.

    Args:
        path: the folder; :meth:`take` makes it if necessary.
    """

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.checkpoints, self._log = Checkpoints(self.path / "checkpoints"), LogFile(self.path / "log.jsonl")
        self._picked = PickedWeights(self.path)
        self._description: dict[str, Any] = {}

    @property
    def is_finished(self) -> bool:
        """Whether the run in the folder has ended."""
        return (self.path / "result.json").exists()

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds work that could be lost."""
        return self.is_finished or bool(self.checkpoints.paths())

    def description(self) -> dict[str, Any] | None:
        """Return the content of ``run.json``, or None if no run has begun in the folder.

        Raises:
            RunError: the file is damaged, or it is missing although there is work that could be lost.
        """
        file = self.path / "run.json"
        if not file.exists() and not self.is_begun:
            return None
        self._description = read_description(file)
        return self._description

    def check_unchanged(self, description: Mapping[str, Any]) -> None:
        """Check that a description is what the newest undamaged checkpoint was made with, except ``about``.

        A checkpoint of an earlier version does not say what it was made with, and is not compared.

        Raises:
            RunError: ``run.json`` was changed; the message names each setting that differs.
        """
        states = filter(None, map(self.checkpoints.read, self.checkpoints.paths()))
        made_with = next(states, {}).get("made_with")
        if made_with is not None:
            check_made_with(made_with, description, self.path / "run.json")

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write ``run.json``, and remove a log without a checkpoint.

        Raises:
            RunError: the file could not be written.
        """
        self._describe(description)
        self._log.path.unlink(missing_ok=True)

    def note_resumption(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Add an entry to the list ``about.resumed`` of ``run.json``; return the new content.

        Raises:
            RunError: the file could not be written.
        """
        about = self._description["about"]
        resumed = [*about.get("resumed", []), dict(entry)]
        return self._describe(self._description | {"about": about | {"resumed": resumed}})

    def write_log(self, log: list[dict]) -> None:
        """Append the entries that are not in the file yet.

        Raises:
            RunError: the file could not be written.
        """
        with self._explain_errors("log"):
            self._log.append(log)

    def save(self, state: dict[str, Any], log: list[dict]) -> None:
        """Write a checkpoint and the log up to then; keep this checkpoint and the one before.

        Raises:
            RunError: a file could not be written; the earlier checkpoints are still there.
        """
        self.write_log(log)
        made_with = {name: value for name, value in self._description.items() if name != "about"}
        with self._explain_errors(f"checkpoint of epoch {state['epoch']}, step {state['position']}"):
            self.checkpoints.write({**state, "log": self._log.stamp(), "made_with": made_with})
            self._picked.tidy(log, self.checkpoints.epochs())

    def keep_picked(self, weights: Mapping[str, Tensor], log: list[dict]) -> None:
        """Keep the weights if the epoch that has just ended has the best validation score so far.

        Call it before any later checkpoint is written: a run that goes on must find these weights.

        Raises:
            RunError: the file could not be written.
        """
        with self._explain_errors("weights of the picked epoch"):
            self._picked.keep(weights, log)

    def newest_checkpoint(self) -> Checkpoint | None:
        """Return the newest undamaged checkpoint, and cut the log file to it; None: start from the beginning.

        A damaged checkpoint is renamed and reported on the error output.

        Raises:
            RunError: the log before the checkpoint has changed, or the run was finished.
        """
        for part in self.path.rglob("*.part"):  # of a process that was killed while it wrote
            part.unlink()
        if newest := self.checkpoints.newest_whole():
            path, state = newest
            if "learners" not in state:
                raise RunError(
                    f"{path} holds the weights of a finished run, but {self.path / 'result.json'} is gone. "
                    "Restore that file, or give another folder."
                )
            state.pop("made_with", None)
            log = self._log.up_to(path.name, **state.pop("log"))
            self._cut_log(log)
            return state, self._log.entries(log)
        if self._log.path.exists():
            print(f"No checkpoint in {self.path}: starting from the beginning.", file=sys.stderr)
            self._cut_log(b"")
        return None

    def final_checkpoint(self, epochs: int) -> Checkpoint:
        """Return the state and the whole log of a finished run of that many epochs; change nothing.

        Raises:
            RunError: the last checkpoint is missing or damaged, or the log is.
        """
        newest = self.checkpoints.paths()[:1]
        state = self.checkpoints.read(newest[0]) if newest else None
        if state is None or state["epoch"] != epochs:
            raise RunError(
                f"The run in {self.path} is finished, and result.json tells its result; but its last "
                "checkpoint is gone or damaged, so there are no weights to load. To train it again give "
                "another folder."
            )
        state.pop("made_with", None)
        self._log.up_to(newest[0].name, **state.pop("log"))
        return state, self._log.entries()

    def picked_weights(self) -> dict[str, Any]:
        """Return ``model``, the weights of the picked epoch, and ``epoch`` of a finished run.

        Raises:
            RunError: the file is missing or damaged, or the run is of a version that did not keep it.
        """
        hashes = self.result().get("weights")
        if hashes is None:
            raise RunError(
                f"The run in {self.path} is of a version that did not keep the weights of the picked epoch. "
                'Take the weights of the last epoch (which="final").'
            )
        if hashes[PICKED] is None:
            raise RunError(
                f"The run in {self.path} has no validation data, so no epoch was picked; expected a run with "
                'some. Take the weights of the last epoch (which="final").'
            )
        return self._picked.read(hashes[PICKED])

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: the run has ended. Of its checkpoints only the last weights stay.

        Raises:
            RunError: a file could not be written.
        """
        weights = {PICKED: self._picked.hash_of(_picked_epoch(result))}
        with self._explain_errors("result"):
            write_whole(self.path / "result.json", _json({**result, "weights": weights}))
        self.tidy_up()

    def tidy_up(self) -> None:
        """Keep the last and the picked weights of a finished run, and nothing that it needed to go on.

        Raises:
            RunError: a file could not be written.
        """
        with self._explain_errors("last weights"):
            self._picked.settle(_picked_epoch(self.result()))
            self.checkpoints.keep_weights_only()

    def result(self) -> dict[str, Any]:
        """Return the content of ``result.json``.

        Raises:
            RunError: the file is missing or damaged.
        """
        return read_object(self.path / "result.json")

    def add_measures(self, log: list[dict]) -> None:
        """Add the last entry of the log, the final measures, to the files of a finished run.

        Raises:
            RunError: a file could not be written.
        """
        result = self.result() | {"about": self._description["about"], "measures": log[-1]}
        with self._explain_errors("final measures"):
            self._log.replace(log)
            write_whole(self.path / "result.json", _json(result))

    def checkpoint_note(self) -> str:
        """Return a sentence that names the newest checkpoint."""
        return self.checkpoints.note()

    def _describe(self, description: Mapping[str, Any]) -> dict[str, Any]:
        text = _json(description)
        self._description = json.loads(text)
        with self._explain_errors("description of the run"):
            write_whole(self.path / "run.json", text)
        return self._description

    def _cut_log(self, content: bytes) -> None:
        with self._explain_errors("log"):
            self._log.cut(content)

    def _explain_errors(self, what: str) -> AbstractContextManager[None]:
        return explain_write_errors(what, self.checkpoint_note)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1)


def _picked_epoch(result: Mapping[str, Any]) -> int | None:
    return (result.get("picked") or {}).get("epoch")
