"""Write the report on a folder of runs: as Markdown, LaTeX, CSV, JSON and, if wanted, with figures."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from ...files import write_whole
from .latex import latex
from .read import RecordedRun, read_runs
from .tables import differences, rows
from .text import markdown
from .values import csv_text

Draw = Callable[[list[dict], str, Path], None]


def write_report(folder: Path, draw: Draw | None = None) -> str:
    """Write ``report.md``, ``.tex``, ``.csv`` and ``.json`` on all runs below a folder; return the Markdown.

    A run that cannot be read is left out; a warning on the error output and the report itself name it.

    Args:
        folder: the folder above the run folders.
        draw: called last, with ``{"result": ..., "log": [...]}`` for each run in a row, the report in
            Markdown and the folder; not called if every run is left out.

    Raises:
        FileNotFoundError: there is no such folder, or no run below it.
    """
    runs, unreadable = read_runs(folder)
    table, duplicates = rows(runs)
    left_out = unreadable + duplicates
    for sentence in left_out:
        print(f"warning: left out {sentence}", file=sys.stderr)
    pairs = differences(table)
    text = markdown(table, pairs, left_out)
    content = {"rows": table, "differences": pairs, "left_out": left_out}
    shown = {name for row in table for name in row["runs"]}
    in_rows = [run for run in runs if run.name in shown]
    write_whole(folder / "report.md", text)
    write_whole(folder / "report.tex", latex(table, pairs, left_out))
    write_whole(folder / "report.csv", csv_text(in_rows))
    write_whole(folder / "report.json", json.dumps(content, indent=1, ensure_ascii=False))
    if draw and table:
        draw([{"result": run.result, "log": _log(run)} for run in in_rows], text, folder)
    return text


def _log(run: RecordedRun) -> list[dict]:
    try:
        return run.log()
    except (OSError, ValueError) as error:
        print(f"warning: {run.name} is drawn without its log: {error}", file=sys.stderr)
        return []
