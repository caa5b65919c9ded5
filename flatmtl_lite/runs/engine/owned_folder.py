"""A folder that one process at a time may use."""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from .description import check_ours
from .errors import InUse, explain_write_errors


class OwnedFolder:
    """The folder of a run as one process reserves it.

    Args:
        path: the folder; :meth:`take` makes it if necessary.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = FileLock(self.path / "lock")  # the system releases it however a process ends
        self._is_new = False

    @property
    def is_taken(self) -> bool:
        """Whether a process uses the folder now."""
        if not (self.path / "lock").exists():
            return False
        try:
            with self._lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def take(self) -> None:
        """Reserve the folder for this process. Call it before you look at anything in the folder.

        Raises:
            InUse: another process uses the folder.
            RunError: the folder cannot be made, or it holds files that do not belong to a run.
        """
        with explain_write_errors("folder"):
            self._is_new = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            check_ours(self.path)
            try:
                self._lock.acquire(timeout=1)  # seconds: another process may look whether it is free
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
