"""``flatmtl-lite plan``: estimate time and memory of a run."""

import argparse
from typing import Any

from ..runs.plan import plan
from .options import add_experiments, set_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for subparser in add_experiments(parser):
        subparser.add_argument(
            "--no-measure", action="store_false", dest="measure", help="leave out the final measures"
        )


def run(threads: int | None, **options: Any) -> int:
    set_threads(threads)
    print(plan(**options))
    return 0
