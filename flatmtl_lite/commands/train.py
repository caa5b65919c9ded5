"""``flatmtl-lite train``: train one network in a folder of its own."""

import argparse
import sys
from typing import Any

from ..runs.engine.folder import RunFolder
from ..runs.engine.scalars import KINDS
from ..runs.launch import Stopped, launch
from .launcher import is_child, is_first, run_together
from .options import add_experiments, set_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for subparser in add_experiments(parser):
        subparser.add_argument("--out", required=True, help="the folder of the run")
        subparser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
        subparser.add_argument(
            "--processes",
            type=_count,
            default=1,
            help="processes that train together here, each on a GPU of its own where there are any",
        )
        subparser.add_argument(
            "--checkpoint-seconds",
            type=_seconds,
            default=60.0,
            help="seconds between checkpoints (default: 60)",
        )
        subparser.add_argument(
            "--no-measure",
            action="store_false",
            dest="measure",
            help="leave out the final measures; --resume takes them later",
        )
        subparser.add_argument(
            "--log-to",
            nargs="+",
            choices=KINDS,
            default=[],
            help="write losses and metrics of every epoch also for TensorBoard, or as a table in CSV",
        )


def run(out: str, threads: int | None, processes: int, **options: Any) -> int:
    if processes > 1 and not is_child():
        return run_together(sys.argv[1:], processes)
    set_threads(threads)
    try:
        result = launch(out=out, **options)
    except KeyboardInterrupt as stop:
        if isinstance(stop, Stopped) or not RunFolder(out).is_begun:
            raise
        words = "Stopped at once; the last checkpoint stays. Go on with --resume."
        raise KeyboardInterrupt(words) from stop
    if not is_first():
        return 0
    if result.entries("evaluation"):
        score = result.entries("evaluation")[-1]["score"]
        print(f"finished: test {score['test']:.2f} at the last epoch. {out} holds the result.")
    if not result.entries("final"):
        print("The final measures are left out; the same command with --resume takes them.")
    return 0


def _count(word: str) -> int:
    if not (word.isdecimal() and int(word) >= 1):
        raise argparse.ArgumentTypeError(f"Got {word}; expected a whole number >= 1.")
    return int(word)


def _seconds(word: str) -> float:
    seconds = float(word)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"Got {word}; expected a number >= 0.")
    return seconds
