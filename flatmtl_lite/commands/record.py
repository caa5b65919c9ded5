"""``flatmtl-lite record``: make the record of the long runs that a notebook quotes."""

import argparse
from pathlib import Path
from typing import Any

import torch

from ..runs.claims import table
from ..runs.records import comparison, cost, flatness, frontier, knob, rooms, splitting

TRAINING = {
    "splitting": splitting,
    "flatness": flatness,
    "frontier": frontier,
    "knob": knob,
    "comparison": comparison,
    "cost": cost,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    records = parser.add_subparsers(required=True, metavar="RECORD", dest="record")
    for name, module in TRAINING.items():
        subparser = records.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        subparser.add_argument("file", type=Path, help="the JSON file to write")
        subparser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
        if module in (frontier, knob, comparison):
            subparser.add_argument("--setting", choices=module.SETTINGS, default=next(iter(module.SETTINGS)))
    claims = records.add_parser("claims", help="The table of claims, from the records that ship.")
    claims.add_argument("file", type=Path, help="the Markdown file to write")
    collected = records.add_parser("rooms", help=(rooms.__doc__ or "").splitlines()[0])
    collected.add_argument("sweep", type=Path, help="the folder above all run folders")
    collected.add_argument("file", type=Path, help="the JSON file to write")


def run(
    record: str, file: Path, seeds: list[int] | None = None, sweep: Path | None = None, **options: Any
) -> int:
    if sweep is not None:
        rooms.record(sweep, file)
    elif record == "claims":
        table.record(file)
    else:
        torch.set_num_threads(1)  # as in the records that ship
        TRAINING[record].record(file, seeds or [], **options)
    return 0
