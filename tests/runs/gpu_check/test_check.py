"""The check of a GPU, as far as a CPU goes: what it says, what it finds, and what it survives."""

import json
import math
import sys
import time

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.__main__ import main
from flatmtl_lite.decomposition import Decomposition, combine
from flatmtl_lite.runs import launch
from flatmtl_lite.runs.experiments.registry import read_options
from flatmtl_lite.runs.gpu_check import check, machine, numbers, presets, processes, repeat, steps
from flatmtl_lite.runs.gpu_check.problems import SMALL
from flatmtl_lite.runs.gpu_check.rows import (
    ROOMS,
    Bench,
    Row,
    measured,
    needs_cuda,
    skipped,
    title,
    within,
)
from flatmtl_lite.runs.networks.scenes import encoder_decoder
from flatmtl_lite.runs.rooms import ensure_rooms
from tests.optim.played_device import Device, OnDevice

CPU = torch.device("cpu")
MACHINE = {"machine": "a card", "cuda": "12.9", "cudnn": 91000, "driver": "1.2", "kit": "k", "date": "2026"}


@pytest.fixture
def bench(tmp_path):
    return Bench(CPU, tmp_path)


@pytest.fixture
def small_rooms(bench):
    """The bench, with rooms of a few pixels."""
    bench.__dict__["rooms"] = bench.folder / "small"
    ensure_rooms(bench.rooms, *ROOMS, 32, 48)
    return bench


def passing(bench):
    yield within("small", 1e-12, 1e-9, "fine", extra=[1.23456789])


def failing(bench):
    yield within("large", math.nan, 1e-9)


def breaking(bench):
    yield measured("first", 3.0)
    raise torch.OutOfMemoryError("CUDA out of memory. Tried\nto allocate")


def test_an_error_in_a_check_is_a_row_and_the_next_check_follows(bench):
    rows = check.run_checks(bench, {"a": (breaking, failing), "b": (passing,)})
    assert [(group, row.name, row.verdict) for group, row in rows] == [
        ("a", "first", "measured"),
        ("a", "breaking", "fail"),
        ("a", "large", "fail"),
        ("b", "small", "pass"),
    ]
    assert rows[1][1].why == "OutOfMemoryError: CUDA out of memory. Tried"


def test_after_the_deadline_the_rest_is_skipped(bench):
    bench.deadline = time.monotonic() - 1
    ((_, row),) = check.run_checks(bench, {"a": (failing,)})
    assert (row.name, row.verdict) == ("failing", "skipped")
    assert "time was over" in row.why


def test_a_child_that_outlasts_the_deadline_is_skipped(bench, monkeypatch):
    stand_in(monkeypatch, "import time; time.sleep(60)")
    bench.deadline = time.monotonic() + 0.2
    ((_, row),) = check.run_checks(bench, {"a": repeat.CHECKS})
    assert (row.verdict, row.why) == ("skipped", "the time was over; without --quick there is more of it")


def test_what_needs_cuda_is_skipped_and_says_so(bench):
    assert list(needs_cuda(failing)(bench)) == [skipped("failing", "no CUDA")]


def test_the_table_is_aligned_and_counts_the_verdicts():
    rows = [("a", within("x", 0.5, 1.0)), ("longer", skipped("a check with a name", "no CUDA"))]
    head, _, *lines, _, counts = check.table(rows, MACHINE, 61.4).splitlines()
    assert head == "a card; CUDA 12.9, cuDNN 91000, driver 1.2; k; 2026"
    assert [line.index(word) for line, word in zip(lines, ("verdict", "PASS", "SKIPPED"), strict=True)] == [
        lines[0].index("verdict")
    ] * 3
    assert lines[1].split() == ["a", "x", "0.5", "<=", "1", "PASS"]
    assert counts == "1 pass, 1 skipped; 61 s"


def test_the_file_holds_every_row_and_no_nan():
    rows = [("a", row) for row in (*passing(None), *failing(None), Row("c", "nccl", "gloo", "fail"))]
    content = json.loads(check.as_json(rows, MACHINE, True, 1.5))
    assert (content["quick"], content["seconds"], content["machine"]) == (True, 1.5, "a card")
    assert [(row["value"], row["verdict"]) for row in content["rows"]] == [
        (1e-12, "pass"),
        (None, "fail"),
        ("nccl", "fail"),
    ]
    assert content["rows"][0]["details"] == {"extra": [1.235]}


@pytest.mark.parametrize(("checks", "code"), [((passing,), 0), ((passing, failing), 1)])
def test_the_exit_code_says_whether_something_failed(checks, code, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(check, "GROUPS", {"a": checks})
    out = tmp_path / "gpu.json"
    assert main(["gpu-check", "--quick", "--device", "cpu", "--out", str(out)]) == code
    assert f"{out} holds this table as JSON." in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert {"date", "kit", "machine", "python", "torch", "cuda", "driver", "gpus", "rows"} <= content.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


def test_a_missing_folder_is_refused_before_anything_runs(tmp_path, capsys):
    assert main(["gpu-check", "--out", str(tmp_path / "no" / "gpu.json")]) == 1
    assert "expected a folder that exists" in capsys.readouterr().err


def test_what_hides_cuda_is_said(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["gpu-check", "--device", "cuda"]) == 2
    assert "Got device='cuda', which cannot be used: this torch" in capsys.readouterr().err
    monkeypatch.setattr(check, "GROUPS", {"a": [passing]})
    monkeypatch.setattr(torch.version, "cuda", "12.9")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["gpu-check"]) == 0
    assert "What needs CUDA is skipped: CUDA_VISIBLE_DEVICES='' hides every GPU" in capsys.readouterr().err


def test_the_driver_is_unknown_without_nvidia_smi(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert machine.driver_version() is None


@pytest.mark.parametrize("name", SMALL)
def test_a_device_that_computes_otherwise_is_found(name, bench, monkeypatch):
    compare = numbers.float64_on_both_devices.__wrapped__
    monkeypatch.setattr(numbers, "SMALL", {name: SMALL[name]})
    assert {row.verdict for row in compare(bench)} == {"pass"}
    made = []

    def biased(device, dtype):
        problem = SMALL[name](device, dtype)
        made.append(problem)
        if len(made) == 1:  # the device's
            with torch.no_grad():
                for parameter in problem.net.parameters():
                    parameter.mul_(1 + 1e-5)
        return problem

    monkeypatch.setattr(numbers, "SMALL", {name: biased})
    rows = list(compare(bench))
    assert {row.name.partition(": ")[2] for row in rows} == {
        *("losses", "perturbed losses", "loss parts", "flat parts", "heads")
    }
    assert {row.verdict for row in rows} == {"fail"}


def test_rules_and_aggregators_are_compared_and_one_that_fails_is_named(bench, monkeypatch):
    compare = numbers.rules_and_aggregators.__wrapped__
    rules, methods = compare(bench)
    assert (rules.verdict, methods.verdict) == ("pass", "pass")
    assert {"cagrad, erm", "cagrad, direct", "cagrad, decomposed", "cagrad, second", "cagrad, each"} <= (
        rules.details["distances"].keys()
    )
    assert methods.details["distances"].keys() == fm.AGGREGATORS.keys()

    class Broken(fm.MGDA):
        def solve(self, *arguments):
            raise RuntimeError("no kernel")

    monkeypatch.setitem(fm.AGGREGATORS, "mgda", Broken)
    failed, methods = list(compare(bench))[1:]
    assert (failed.name, failed.verdict, failed.why) == (
        *("mgda on both devices", "fail", "RuntimeError: no kernel"),
    )
    assert "mgda" not in methods.details["distances"]


def test_every_aggregator_gets_its_rows_on_the_device():
    """As ``rules_and_aggregators`` calls it, on a played device."""
    generator = torch.Generator().manual_seed(0)
    loss, flat = torch.randn(2, 3, 40, generator=generator, dtype=torch.float64)
    losses = torch.linspace(0.5, 2.0, 3, dtype=torch.float64)
    for name in fm.AGGREGATORS:
        with Device():
            parts = Decomposition(OnDevice(loss), OnDevice(flat), losses=OnDevice(losses))
            here = combine(parts, numbers.new_aggregator(name, 3), "decomposed").cpu()
        there = combine(
            Decomposition(loss, flat, losses=losses), numbers.new_aggregator(name, 3), "decomposed"
        )
        assert numbers.relative_distance(here, there) < 1e-12


def test_a_device_that_is_gone_ends_no_program(bench, monkeypatch):
    """Its memory cannot be cleared either."""

    def gone(bench):
        raise RuntimeError("CUDA error: device is gone")

    monkeypatch.setattr(Bench, "forget_peak", gone)
    rows = check.run_checks(bench, {"a": (gone, passing)})
    assert [row.verdict for _, row in rows] == ["fail", "pass"]


def test_the_flat_part_is_bounded_in_float32_and_tf32_is_left_out_on_a_cpu(bench):
    rows = list(numbers.flat_part_in_float32(bench))
    assert [row.verdict for row in rows] == ["pass", "skipped"] * 2
    assert all(1e-9 < row.value < 1e-2 for row in rows[::2])


def test_the_arithmetic_of_a_step_is_counted():
    problem = SMALL["LeNet"](CPU, torch.float32)
    flops = [steps.operations(problem.step(method)) for method in ("f-cagrad", "cagrad", "mean")]
    # CAGrad: one forward and two backward passes; LS: one of each; F: two more of each
    backward, forward = flops[1] - flops[2], 2 * flops[2] - flops[1]
    assert flops[0] == pytest.approx(3 * forward + 4 * backward, rel=0.02)


def test_a_preset_s_rows(small_rooms, monkeypatch):
    monkeypatch.setattr(presets, "IMAGES", 8)
    monkeypatch.setattr(presets, "mtan", encoder_decoder)
    options = {"method": "mean", "batch_size": 2, "network": "encoder_decoder"}
    config = read_options("nyuv2", "paper", options).config
    speed, memory, hours = presets.preset_rows("nyuv2", config, small_rooms)
    assert speed.name == "nyuv2 --preset paper, mean: steps a second"
    assert len(speed.details["seconds"]) == 13
    assert memory.verdict == "measured"
    assert hours.value * 3600 > 375 * 200 * 0.9 / speed.value


def test_an_evaluation_ends(small_rooms):
    (row,) = presets.evaluation_at_full_size(small_rooms)
    assert (row.verdict, row.why) == ("pass", "encoder-decoder, 4 scenes")


def stand_in(monkeypatch, code):
    monkeypatch.setattr(repeat, "train_command", lambda words, out: [sys.executable, "-c", code, str(out)])


def test_a_run_that_cannot_start_is_a_row_with_its_last_words(bench, monkeypatch):
    stand_in(monkeypatch, "import sys; sys.exit('first line\\nno such device')")
    row, left_out = repeat.kill_and_resume(bench)
    assert (row.verdict, row.value, row.why) == ("fail", "exit code 1", "no such device")
    assert left_out.verdict == "skipped"


def test_a_run_that_ends_too_early_proves_nothing(bench, monkeypatch):
    stand_in(
        monkeypatch,
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.mkdir(); (p / 'result.json').touch()",
    )
    row, _ = repeat.kill_and_resume(bench)
    assert (row.verdict, row.why) == ("fail", "the run ended before it could be killed")


# in place of train: copies a finished run; without --resume only its checkpoint, and then waits to be killed
COPY = """
import pathlib, shutil, sys, time
source, out = map(pathlib.Path, sys.argv[1:3])
if out.name == "whole" or "--resume" in sys.argv:
    shutil.copytree(source, out, dirs_exist_ok=True)
else:
    shutil.copytree(source / "checkpoints", out / "checkpoints")
    time.sleep(60)
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_that_went_on_to_other_bits_is_found(seed, bench, monkeypatch):
    for name, number in (("whole", 0), ("killed", seed)):
        small = dict(network="mlp", sample=True, n_train=32, n_val=8, n_test=8, batch_size=16, epochs=3)
        launch("multimnist", bench.folder / f"made-{name}", seed=number, progress=False, **small)
    monkeypatch.setattr(
        repeat,
        "train_command",
        lambda words, out: [sys.executable, "-c", COPY, str(bench.folder / f"made-{out.name}"), str(out)],
    )
    weights, log, _ = repeat.kill_and_resume(bench)
    expected = "fail" if seed else "pass"
    assert (weights.verdict, log.verdict) == (expected, expected)
    assert (weights.value > 0) == bool(seed)


@pytest.mark.slow
def test_two_processes_share_a_batch(bench):
    row, left_out = processes.two_processes(bench)
    assert (row.verdict, row.why) == ("pass", "on cpu and cpu")
    assert (left_out.verdict, left_out.why) == ("skipped", "no CUDA")


def test_two_processes_that_fail_are_a_row(bench, monkeypatch):
    monkeypatch.setattr(processes, "environment", dict)
    monkeypatch.setattr(processes.sys, "executable", "false")
    assert next(processes.two_processes(bench)).value == "exit code 1"


def test_a_name_in_words():
    assert title(repeat.kill_and_resume) == "kill and resume"
