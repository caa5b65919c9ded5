"""Whether a run that is killed and goes on ends with the same bits as a run that nothing stopped."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..engine.folder import RunFolder
from .rows import Bench, Row, skipped, within

PACKAGE = Path(__file__).parents[2]
EPOCHS = 3
# name -> words of train: together they have max pooling, bilinear resizing and the loss of every pixel
RUNS = {
    "LeNet": (
        *("multimnist", "--sample", "--network", "lenet", "--n-train", "320", "--n-val", "40"),
        *("--n-test", "40", "--batch-size", "32", "--method", "f-cagrad"),
    ),
    "MTAN on rooms": (
        *("rooms", "--network", "mtan", "--n-train", "8", "--n-val", "2", "--n-test", "2"),
        *("--height", "48", "--width", "64", "--batch-size", "2", "--method", "f-cagrad"),
        *("--optimizer", "sgd", "--momentum", "0", "--lr", "0.001"),  # small checkpoints
    ),
}


def kill_and_resume(bench: Bench) -> Iterator[Row]:
    """Train a run without a stop, and another one that is killed and goes on; compare weights and logs."""
    for name, words in RUNS.items():
        label = f"{name}: killed and resumed"
        if name != "LeNet" and (bench.quick or not bench.on_cuda):
            yield skipped(
                label, "left out by --quick" if bench.quick else "no CUDA; on a CPU it takes minutes"
            )
        else:
            folder = bench.folder / name.replace(" ", "-").lower()
            yield from _rows(label, [*words, *_options(bench)], folder, bench)


def train_command(words: Sequence[str], out: Path) -> list[str]:
    """Return the command that trains in a folder."""
    return [sys.executable, "-m", "flatmtl_lite", "train", *words, "--out", str(out)]


def environment() -> dict[str, str]:
    """Return the environment of a child that imports this very package."""
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path}


def _options(bench: Bench) -> list[str]:
    rooms = ["--data", str(bench.folder)]
    common = ["--epochs", str(EPOCHS), "--snapshot-every", "0", "--no-measure", "--deterministic"]
    return [*common, "--device", str(bench.device), *rooms]


def _rows(label: str, words: list[str], folder: Path, bench: Bench) -> Iterator[Row]:
    whole, killed = folder / "whole", folder / "killed"
    folder.mkdir(parents=True)
    with _started(train_command(words, whole)) as undisturbed:  # at the same time as the other run
        try:
            often = ["--checkpoint-seconds", "0"]
            with _started(train_command([*words, *often], killed)) as disturbed:
                try:
                    _wait_for_checkpoint(killed, disturbed, bench)
                finally:
                    disturbed.kill()
            if (killed / "result.json").exists():
                yield Row(label, None, "", "fail", "the run ended before it could be killed")
                return
            with _started([*train_command(words, killed), "--resume"]) as resumed:
                try:
                    failures = [_failure(label, child, bench) for child in (undisturbed, resumed)]
                finally:
                    resumed.kill()
        finally:
            undisturbed.kill()
    yield from [failure for failure in failures if failure][:1] or _compared(label, whole, killed)


def _started(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    )


def _failure(label: str, child: subprocess.Popen, bench: Bench) -> Row | None:
    """Wait for a child; return a row with its last words if it failed."""
    _, words = child.communicate(timeout=bench.seconds_left)
    if not child.returncode:
        return None
    return Row(label, f"exit code {child.returncode}", "0", "fail", "".join(words.strip().splitlines()[-1:]))


def _compared(label: str, whole: Path, killed: Path) -> Iterator[Row]:
    states = [RunFolder(place).final_checkpoint(EPOCHS)[0]["model"] for place in (whole, killed)]
    difference = max(_largest(states[0][name], value) for name, value in states[1].items())
    yield within(f"{label}: largest difference of a weight", difference, 0.0)
    same = _log(whole) == _log(killed)
    yield Row(f"{label}: log", "equal" if same else "different", "equal", "pass" if same else "fail")


def _wait_for_checkpoint(folder: Path, process: subprocess.Popen, bench: Bench) -> None:
    while not any(folder.glob("checkpoints/*.pt")) and process.poll() is None:
        if time.monotonic() > bench.deadline:
            raise subprocess.TimeoutExpired("train", 0)
        time.sleep(0.01)


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one.double() - other.double()).abs().max().item()


def _log(folder: Path) -> list[dict]:
    lines = map(json.loads, (folder / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


CHECKS: Sequence = (kill_and_resume,)
