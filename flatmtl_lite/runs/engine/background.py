"""Do one thing in the background while training goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any


class Background:
    """A thread that runs one call at a time. Its block ends after the last call has ended.

    An error in a call is raised in the caller's thread, by whichever method is called next. If the block
    itself raises, that error wins.

    Example:
        >>> with Background() as background:
        ...     background.start(print, "in the background")
        in the background
    """

    def __init__(self) -> None:
        self._call: Future[Any] | None = None

    def __enter__(self) -> "Background":
        self._thread = ThreadPoolExecutor(1)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self._thread:
            if error is None:
                self.wait()
            else:
                with suppress(Exception):
                    self.wait()

    def start(self, function: Callable[..., object], *arguments: Any) -> None:
        """Start a call as soon as the last one has ended."""
        self.wait()
        self._call = self._thread.submit(function, *arguments)

    def wait(self) -> None:
        """Wait for the end of the last call, and raise its error."""
        call, self._call = self._call, None
        if call is not None:
            call.result()

    def raise_failure(self) -> None:
        """Raise the error of the last call if it has ended; do not wait."""
        if self._call is not None and self._call.done():
            self.wait()
