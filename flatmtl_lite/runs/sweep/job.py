"""One run of a grid: its folder, its command, and how far it is."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..engine.folder import RunError, RunFolder
from .gpus import VISIBLE

PROGRAM = (sys.executable, "-m", "flatmtl_lite")


@dataclass(frozen=True)
class Job:
    """One run of a grid.

    Attributes:
        name: place of the run in the grid, such as "fashion+mnist/f-cagrad/rho0.05/seed0".
        folder: folder of the run.
        words: the arguments of the command line, from "train" on.
        program: the program that takes the arguments.
    """

    name: str
    folder: Path
    words: tuple[str, ...]
    program: tuple[str, ...] = PROGRAM

    @property
    def is_finished(self) -> bool:
        """Whether the result is there; a finished run is never repeated."""
        return RunFolder(self.folder).is_finished

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint to go on from, or a result."""
        return RunFolder(self.folder).is_begun

    def start(self, threads: int, processes: int = 1, gpus: Sequence[str] = ()) -> subprocess.Popen:
        """Start the run, or go on with it; its output is appended to ``output.txt`` in its folder.

        Args:
            threads: number of threads of each process of a new run. A run that goes on keeps its number of
                threads, because another number would give other bits.
            processes: number of processes that train together.
            gpus: the GPUs that the run sees, as ``CUDA_VISIBLE_DEVICES`` names them; (): all.
        """
        command = [*self.program, *self.words, "--threads", str(self._saved_threads() or threads)]
        if processes > 1:
            command += ["--processes", str(processes)]
        environment = os.environ | ({VISIBLE: ",".join(gpus)} if gpus else {})
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._output.open("a", encoding="utf-8") as output:
            print("$", shlex.join(command), file=output, flush=True)
            # In a session of its own: Ctrl-C in the terminal must reach the run once, through the sweep.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    def last_words(self, lines: int = 5) -> str:
        """Return the end of the output."""
        text = self._output.read_text(encoding="utf-8", errors="replace")
        return "\n".join(line for line in text.splitlines()[-lines:] if line.strip())

    def _saved_threads(self) -> int | None:
        with suppress(RunError):  # a damaged run.json: the run itself reports it
            description = RunFolder(self.folder).description()
            threads = description.get("threads") if description else None
            return threads if isinstance(threads, int) else None
        return None

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"
