"""Losses and metrics of every epoch for other programs: TensorBoard, or a table in CSV."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ...files import write_whole
from ...names import check_name
from .errors import explain_write_errors

KINDS = ("csv", "tensorboard")
Write = Callable[[list[dict]], None]  # takes the log up to the epoch that has just ended


def check_kinds(kinds: Sequence[str]) -> None:
    """Check that every kind is known and that its package is installed.

    Raises:
        ValueError: it is not; the message says what to install.
    """
    for kind in kinds:
        check_name("log_to", kind, KINDS)
    if "tensorboard" in kinds:
        _summary_writer()


@contextmanager
def scalar_writers(
    kinds: Sequence[str], folder: Path, task_names: Sequence[str], epochs_done: int
) -> Iterator[Write]:
    """Yield a function that writes the numbers of the last epoch in a log.

    ``scalars.csv`` has one line for each number: epoch, name, value. TensorBoard's files lie in
    ``tensorboard``; epochs that a stopped run repeats replace the earlier ones.

    Args:
        kinds: out of ``KINDS``.
        folder: the folder of the run.
        task_names: names of the tasks.
        epochs_done: number of epochs before the first that will be written.
    """
    with ExitStack() as stack:
        board: Any = None
        if "tensorboard" in kinds:
            board = _summary_writer()(str(folder / "tensorboard"), purge_step=epochs_done + 1)
            stack.callback(board.close)

        def write(log: list[dict]) -> None:
            if "csv" in kinds:
                with explain_write_errors("table of losses and metrics"):
                    write_whole(folder / "scalars.csv", _table(scalars(log, task_names)))
            if board is not None:
                last = max(entry["epoch"] for entry in log if entry["kind"] == "epoch")
                for epoch, name, value in scalars(log, task_names):
                    if epoch == last:
                        board.add_scalar(name, value, epoch)

        yield write


def scalars(log: list[dict], task_names: Sequence[str]) -> Iterator[tuple[int, str, float]]:
    """Yield epoch, name and value of every number in the epochs and evaluations of a log.

    Example:
        >>> log = [{"kind": "epoch", "epoch": 1, "lr": 0.1, "losses": [2.0, 3.0]}]
        >>> list(scalars(log, ["digit", "garment"]))
        [(1, 'lr', 0.1), (1, 'losses/digit', 2.0), (1, 'losses/garment', 3.0)]
    """
    for entry in log:
        if entry["kind"] in ("epoch", "evaluation"):
            for key, value in entry.items():
                if key not in ("kind", "epoch", "step", "histograms"):
                    yield from ((entry["epoch"], *pair) for pair in _numbers(key, value, task_names))


def _numbers(name: str, value: Any, task_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(f"{name}/{key}", inner, task_names)
    elif isinstance(value, list):
        names = task_names if len(value) == len(task_names) else range(1, len(value) + 1)
        for key, inner in zip(names, value, strict=True):
            yield from _numbers(f"{name}/{key}", inner, task_names)
    elif value is not None:
        yield name, value


def _table(rows: Iterator[tuple[int, str, float]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("epoch", "name", "value"), *rows])
    return text.getvalue()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            f'Got log_to "tensorboard" without the package tensorboard ({error}); expected it to be '
            "installed. Install it: pip install tensorboard. Or take csv."
        ) from error
    return SummaryWriter
