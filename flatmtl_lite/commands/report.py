"""``flatmtl-lite report``: write table and plots of all runs below a folder."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ..runs.paper.multimnist import published_row
from ..runs.report.write import Draw, write_report
from ..titles import method_title


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the folder above the run folders")


def run(folder: Path) -> int:
    print(write_report(folder, _drawing()))
    return 0


def _drawing() -> Draw | None:
    """Return the function that draws the page with the plots, or None if the lab is not installed."""
    try:
        from ..lab.publish.report_page import write_report_page
    except ModuleNotFoundError as error:
        print(f'No plots: {error.name} is not installed: pip install "flatmtl-lite[lab]"', file=sys.stderr)
        return None

    def draw(runs: list[dict], text: str, folder: Path) -> None:
        paper: dict[str, dict[str, Any]] = {}
        for result in (run["result"] for run in runs):
            method, settings = result["config"]["method"], result["settings"]
            row = published_row(result["experiment"], settings, method)
            if row and all(row.tasks):
                accuracy = [figure.mean for figure in row.tasks if figure]
                paper.setdefault(settings["variant"], {})[method_title(method)] = accuracy
        write_report_page(runs, text, folder, paper)

    return draw
