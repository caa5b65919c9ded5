"""``flatmtl-lite lab``: open the course in JupyterLab."""

import argparse
from pathlib import Path

REST = "after --"  # these words are arguments of JupyterLab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Words after -- are handed on to JupyterLab, such as: flatmtl-lite lab -- --port=8890"
    parser.add_argument("folder", type=Path, nargs="?", help="folder for your own copy of the course")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")


def run(folder: Path | None, no_browser: bool, rest: list[str]) -> int:
    from ..lab.publish.course import open_course

    return open_course(folder, not no_browser, rest)
