"""The errors that stop a run, each with a message for the person who started it."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RunError(Exception):
    """An error that stops a run and whose message explains it to the person who started the run."""

    exit_code = 1


class InUse(RunError):
    """Another process uses the folder of the run, or another sweep the device."""

    exit_code = 3


@contextmanager
def explain_write_errors(what: str, note: Callable[[], str] = str) -> Iterator[None]:
    """Turn a write error of the system, such as a full disk, into a RunError with advice.

    Args:
        what: the thing that is written.
        note: returns a last sentence for the message.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "Free some space" if full else "Repair that"
        message = f"The {what} could not be written: {error}. {remedy} and go on with --resume. {note()}"
        raise RunError(message.rstrip()) from error
