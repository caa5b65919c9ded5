"""``flatmtl-lite gpu-check``: check a GPU, and what the kit does on it."""

import argparse
from pathlib import Path

from ..runs.gpu_check.check import gpu_check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code: 0 if nothing failed, else 1. The file names no person and no computer."
    parser.add_argument("--quick", action="store_true", help="under two minutes in place of eight")
    parser.add_argument("--out", type=Path, help="a JSON file for the table, which you can send")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")


def run(device: str, quick: bool, out: Path | None) -> int:
    return gpu_check(device, quick, out)
