"""Run all checks: one table to read, one file to send."""

import dataclasses
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ...files import write_whole
from ..engine.processes import no_cuda, pick_device
from ..engine.rounding import rounded
from . import numbers, presets, processes, repeat, steps
from .machine import describe_machine
from .rows import Bench, Check, Row, skipped, title

GROUPS: Mapping[str, Sequence[Check]] = {
    "numbers": numbers.CHECKS,
    "steps": steps.CHECKS,
    "scenes and presets": presets.CHECKS,
    "processes": processes.CHECKS,
    "resume": repeat.CHECKS,
}
MINUTES = {True: 2, False: 8}  # quick -> minutes after which no further check begins
Rows = list[tuple[str, Row]]


def gpu_check(device: str = "auto", quick: bool = False, out: Path | None = None) -> int:
    """Check a device, print the table, and write the file.

    Args:
        device: "auto" (CUDA if there is any, else the CPU), "cpu", "cuda", "cuda:1", ...
        quick: leave out what takes long: under two minutes in place of eight.
        out: the JSON file to write; None: no file.

    Returns:
        0 if nothing failed, else 1.

    Raises:
        ValueError: this machine has no such device.
        OSError: the folder of ``out`` is missing, or the file cannot be written.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"Got --out {out}; expected a folder that exists. Make it first.")
    picked = pick_device(device)
    if picked.type == "cuda" and picked.index is None:
        picked = torch.device("cuda", torch.cuda.current_device())
    if not torch.cuda.is_available():
        print(f"What needs CUDA is skipped: {no_cuda()}", file=sys.stderr)
    machine = describe_machine(picked)  # first, while the device still answers
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        bench = Bench(picked, Path(folder), quick, start + 60 * MINUTES[quick])
        rows = run_checks(bench, GROUPS, after=lambda rows: _keep(rows, out, machine, quick, start))
    seconds = round(time.monotonic() - start, 1)
    print(table(rows, machine, seconds))
    if out is not None:
        write_whole(out, as_json(rows, machine, quick, seconds))
        print(f"{out} holds this table as JSON.")
    return int(any(row.verdict == "fail" for _, row in rows))


def _keep(rows: Rows, out: Path | None, machine: Mapping[str, Any], quick: bool, start: float) -> None:
    """Write the rows so far, since a fault of a device may end this process at any check."""
    if out is not None:
        write_whole(out, as_json(rows, machine, quick, round(time.monotonic() - start, 1)))


def run_checks(
    bench: Bench,
    groups: Mapping[str, Sequence[Check]] = GROUPS,
    after: Callable[[Rows], None] = lambda rows: None,
) -> Rows:
    """Run the checks one after another; an error in one of them is a row, and the next one follows.

    ``after`` is called with the rows so far after each check.
    """
    rows: Rows = []
    for group, checks in groups.items():
        for check in checks:
            print(f"{group}: {title(check)} ...", file=sys.stderr, flush=True)
            rows += [(group, row) for row in _rows_of(check, bench)]
            gc.collect()
            after(rows)
            with suppress(RuntimeError):  # of a device that a check has broken, which its row says
                bench.forget_peak()
    return rows


def _rows_of(check: Check, bench: Bench) -> Iterator[Row]:
    """Yield the rows of a check; an error becomes the last one."""
    over = skipped(title(check), f"the time was over{'; without --quick there is more of it' * bench.quick}")
    if time.monotonic() > bench.deadline:
        yield over
        return
    try:
        yield from check(bench)
    except subprocess.TimeoutExpired:
        yield over
    except Exception as error:  # whatever goes wrong on a strange machine is a finding
        text = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {text[0] if text else 'no message'}"
        yield Row(title(check), None, "no error", "fail", reason)


def table(rows: Rows, machine: Mapping[str, Any], seconds: float) -> str:
    """Return the table with aligned columns, between the machine and the number of each verdict."""
    cells = [("group", "check", "value", "bound", "verdict", "why")]
    cells += [
        (group, row.name, _shown(row.value), row.bound, row.verdict.upper(), row.why) for group, row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
    verdicts = [row.verdict for _, row in rows]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    head = (
        f"{machine['machine']}; CUDA {machine['cuda']}, cuDNN {machine['cudnn']}, driver {machine['driver']}"
    )
    lines = [f"{head}; {machine['kit']}; {machine['date']}", "", *lines, ""]
    return "\n".join([*lines, f"{counts}; {seconds:.0f} s"])


def as_json(rows: Rows, machine: Mapping[str, Any], quick: bool, seconds: float) -> str:
    """Return the content of the file."""
    entries = [{"group": group, **dataclasses.asdict(row)} for group, row in rows]
    for entry in entries:
        entry["value"] = entry["value"] if isinstance(entry["value"], str | None) else rounded(entry["value"])
        entry["details"] = rounded(entry["details"])
    content = {**machine, "quick": quick, "seconds": seconds, "rows": entries}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.3g}"
