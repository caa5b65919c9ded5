"""``flatmtl-lite plan``: estimate time and memory of a run."""

import argparse
from typing import Any

from ..runs.plan import plan
from .options import add_experiments, set_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for _ in add_experiments(parser):
        pass


def run(threads: int | None, **options: Any) -> int:
    set_threads(threads)
    print(plan(**options))
    return 0
