"""The report: what is averaged, what is kept apart, what is left out and said so."""

import csv
import json
import math
import statistics

import pytest

from flatmtl_lite.runs import HIGHER_IS_BETTER, RunFolder
from flatmtl_lite.runs.report.read import read_runs, summarize
from flatmtl_lite.runs.report.tables import differences, rows, spread
from flatmtl_lite.runs.report.text import markdown
from flatmtl_lite.runs.report.write import write_report

SETTINGS = {"variant": "fashion+mnist", "network": "lenet", "n_train": 5000, "tasks": None}
CONFIG = {"method": "mean", "rho": 0.05, "epochs": 4, "batch_size": 64, "lr": 0.01, "seed": 0}


def evaluation(epoch, digit, garment=80.0, val=None):
    test = {"accuracy": [digit, garment], "nll": [0.1, 0.5], "ece": [1.0, 3.0], "brier": [0.05, 0.25]}
    score = (digit + garment) / 2
    return {
        "kind": "evaluation",
        "epoch": epoch,
        "val": test,
        "test": test,
        "score": {"val": score if val is None else val, "test": score},
    }


SHARPNESS = {"rho": [0.01, 0.05, 0.5], "sharpness": [[1, 1], [0.02, 0.04], [9, 9]]}
SNAPSHOT = {"kind": "snapshot", "epoch": 4, **SHARPNESS}


@pytest.fixture
def write(tmp_path):
    """``write(name, method, seed, accuracies of the digit)`` writes a run folder in the engine's format."""

    def folder(name, method, seed, digits, finished=True, settings=(), **config):
        run = {
            "experiment": "multimnist",
            "settings": {**SETTINGS, **dict(settings)},
            "config": {**CONFIG, "method": method, "seed": seed, **config},
            "task_names": ["digit", "garment"],
            "parameters": 31910,
            "about": {"command": "...", "date": "2026-11-23"},
        }
        lines = [evaluation(epoch, digit) for epoch, digit in enumerate(digits, 1)]
        place = tmp_path / name
        place.mkdir(parents=True)
        (place / "run.json").write_text(json.dumps(run))
        (place / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, SNAPSHOT]))
        if finished:
            best = max(lines, key=lambda line: line["score"]["test"])
            extra = {"finished": True, "seconds": 60 + seed, "last_snapshot": SNAPSHOT, "measures": {}}
            whole = {**run, **extra, "final": lines[-1], "picked": lines[0], "best_test": best}
            (place / "result.json").write_text(json.dumps(whole))
        return place

    return folder


def table(tmp_path):
    runs, left_out = read_runs(tmp_path)
    found, doubles = rows(runs)
    return found, left_out + doubles


def test_a_row_is_the_mean_over_seeds_at_each_epoch_that_counts(write, tmp_path):
    for seed, digits in enumerate([[90, 96, 94], [91, 99, 95], [92, 98, 99]]):
        write(f"mean/{seed}", "mean", seed, digits)
    (row,), left_out = table(tmp_path)
    assert left_out == []
    assert row["seeds"] == [0, 1, 2]
    accuracy = {at: row["metrics"][at]["accuracy"] for at in ("final", "picked", "best_test")}
    assert accuracy["final"]["tasks"][0] == (96, pytest.approx(statistics.stdev([94, 95, 99])), 3)
    assert accuracy["final"]["tasks"][1] == (80, 0, 3)
    assert accuracy["final"]["average"] == (88, pytest.approx(statistics.stdev([87, 87.5, 89.5])), 3)
    assert accuracy["picked"]["tasks"][0][0] == 91
    assert accuracy["best_test"]["tasks"][0][0] == 98
    assert row["score"]["best_test"][0] == 89
    assert row["picked_epochs"] == [1, 1, 1]
    assert row["sharpness"]["rho"] == 0.05
    assert row["sharpness"]["average"][0] == pytest.approx(0.03)
    assert row["seconds"] == (61, 1, 3)
    assert row["published"]["source"] == "the authors' rebuttal"


def test_the_picked_epoch_is_the_best_on_validation_and_best_test_the_best_on_test():
    log = [evaluation(1, 90, val=70), evaluation(2, 96, val=60), evaluation(3, 94, val=65)]
    summary = summarize(log)
    epochs = {name: summary[name]["epoch"] for name in ("final", "picked", "best_test")}
    assert epochs == {"final": 3, "picked": 1, "best_test": 2}


def test_one_seed_has_no_deviation(write, tmp_path):
    write("a", "mean", 0, [95])
    (row,), _ = table(tmp_path)
    assert row["metrics"]["final"]["accuracy"]["tasks"][0] == (95, None, 1)
    assert "| LS | 1 | 95.00 ± - | 80.00 ± - | 87.50 ± - |" in markdown([row], [], [])


def test_runs_that_differ_in_more_than_the_seed_are_different_rows(write, tmp_path):
    write("small/0", "mean", 0, [90])
    write("small/1", "mean", 1, [90])
    write("large/0", "mean", 0, [95], settings={"n_train": 120_000})
    write("long/0", "mean", 0, [96], epochs=200)
    write("other/0", "mean", 0, [97], settings={"variant": "mnist"})
    found, left_out = table(tmp_path)
    assert left_out == []
    assert sorted(len(row["seeds"]) for row in found) == [1, 1, 1, 2]
    text = markdown(found, [], [])
    assert "| LS, n_train=5000, epochs=4 | 2 | 90.00 ± 0.00" in text
    assert "| LS, n_train=120000, epochs=4 | 1 | 95.00 ± -" in text
    assert "| LS, n_train=5000, epochs=200 | 1 | 96.00 ± -" in text
    assert "The same in every row: network=lenet, tasks=None, batch_size=64, lr=0.01." in text
    assert "## multimnist, mnist\n\nThe same in every row: network=lenet, n_train=5000" in text


def test_a_radius_parts_only_the_methods_that_use_it(write, tmp_path):
    for rho in (0.05, 0.1):
        write(f"mean/{rho}", "mean", int(10 * rho), [90], rho=rho)
        write(f"f-mean/{rho}", "f-mean", 0, [90], rho=rho)
    found, _ = table(tmp_path)
    names = [(row["method"], row["rho"]) for row in found]
    assert names == [("mean", None), ("f-mean", 0.05), ("f-mean", 0.1)]


def test_the_same_seed_twice_counts_once_and_is_said(write, tmp_path):
    write("a", "mean", 0, [90])
    write("b", "mean", 0, [99])
    (row,), left_out = table(tmp_path)
    assert row["metrics"]["final"]["accuracy"]["tasks"][0] == (90, None, 1)
    assert left_out == ["b: seed 0 of the same row is in a"]


def test_an_unfinished_run_is_marked_and_not_averaged_with_finished_ones(write, tmp_path):
    write("0", "mean", 0, [90, 91, 92, 93])
    folder = write("1", "mean", 1, [80, 85], finished=False)
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"kind": "evaluation", "epoch": 3, "te')  # being written
    found, left_out = table(tmp_path)
    assert left_out == []
    assert [(row["unfinished"], row["seeds"]) for row in found] == [(None, [0]), (2, [1])]
    assert found[1]["score"]["final"][0] == 82.5
    assert found[1]["picked_epochs"] == [2]
    assert found[1]["seconds"] is None
    assert "| LS (unfinished, epoch 2 of 4) | 1 | 85.00 ± -" in markdown(found, [], [])
    assert differences(found) == []


def test_an_unfinished_run_is_not_compared_with_a_finished_one(write, tmp_path):
    write("0", "mean", 0, [90, 91, 92, 93])
    write("1", "f-mean", 0, [80, 85], finished=False)
    assert differences(table(tmp_path)[0]) == []
    write("2", "f-mean", 0, [80, 85, 86, 87])
    assert len(differences(table(tmp_path)[0])) == 1


def damage(folder, name, text):
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("finished", "name", "text", "message"),
    [
        (True, "result.json", '{"experiment": "multi', "bad: result.json is damaged"),
        (True, "result.json", "[1]", "bad: result.json is damaged: it does not hold a JSON object"),
        (True, "result.json", '{"experiment": "multimnist"}', "bad: result.json has no task_names"),
        (True, "result.json", "\0\0\0", "bad: result.json is damaged"),
        (False, "run.json", "", "bad: run.json is damaged"),
        (False, "log.jsonl", '{"kind": "eva\n{"kind": "epoch"}\n', "bad: log.jsonl, line 1, is damaged"),
        (False, "log.jsonl", '{"kind": "evaluation", "epoch": 1}\n', "bad: log.jsonl, line 1, has no test"),
        (False, "log.jsonl", '{"kind": "step", "epoch": 0.5}\n', "bad: not evaluated yet"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(write, tmp_path, capsys, finished, name, text, message):
    write("good", "mean", 0, [90])
    damage(write("bad", "mean", 1, [91], finished=finished), name, text)
    write_report(tmp_path)
    assert f"warning: left out {message}" in capsys.readouterr().err
    assert f"* {message}" in (tmp_path / "report.md").read_text()
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["rows"][0]["seeds"] == [0]
    assert written["left_out"][0].startswith(message)


def test_a_report_on_damaged_runs_alone_names_them(write, tmp_path):
    damage(write("bad", "mean", 1, [91]), "result.json", "{")
    drawn = []
    assert "* bad: result.json is damaged" in write_report(
        tmp_path, lambda *arguments: drawn.append(arguments)
    )
    assert drawn == []


def test_a_metric_that_is_no_number_is_named(write, tmp_path):
    folder = write("bad", "mean", 0, [90])
    result = json.loads((folder / "result.json").read_text())
    result["final"]["test"]["accuracy"] = [90, None]
    damage(folder, "result.json", json.dumps(result))
    message = "bad: result.json has final.test.accuracy = [90, null]; expected a finite number or a list of"
    runs, (sentence,) = read_runs(tmp_path)
    assert runs == []
    assert sentence.startswith(message)


NOT_NUMBERS = (math.nan, math.inf, "a", True, [], {}, [[1]])
# file -> place -> values that the report cannot use there
WRONG = {
    "result.json": {
        "experiment": (None, 3, []),
        "task_names": (None, "digit", 3, [1, 2], {}),
        "settings": (None, [], "a"),
        "settings.variant": (3, ["mnist"]),
        "config": (None, [], "a"),
        "config.method": (None, 3, []),
        "config.rho": (None, "a", math.nan),
        "config.seed": (None, "a", 0.5, math.nan, True, []),
        "config.epochs": (None, "a", 0.5),
        "config.weights": (0.7, [0.7, 0.3]),
        "finished": (None, "yes", 1),
        "seconds": (None, "a", math.nan, []),
        "final": (None, [], "a"),
        "final.epoch": (None, "a", 1.5),
        "final.test": (None, [], "a"),
        "final.test.nll": (*NOT_NUMBERS[:5], [0.1, None], [0.1, math.nan], [0.1], [0.1, 0.2, 0.3]),
        "final.score": (None, [], 3),
        "final.score.test": (None, *NOT_NUMBERS),
        "picked.score.test": NOT_NUMBERS,
        "picked.epoch": ("a",),
        "best_test.test.accuracy": NOT_NUMBERS[:5],
        "last_snapshot": ([], "a", 3),
        "last_snapshot.rho": (None, "a", [], [0.1, "a"], [0.1]),
        "last_snapshot.sharpness": (None, "a", [], [[1, 1]], [[1, 1], [1], [1, 1]], [[1, 1], 3, [1, 1]]),
        "about": ([], "a"),
        "about.command": (3, []),
    },
    "run.json": {"config.seed": ("a",), "settings": (None,), "task_names": ("ab",)},
}


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [(name, place, v) for name, places in WRONG.items() for place, values in places.items() for v in values],
)
def test_a_run_with_a_wrong_value_is_named_and_the_others_are_reported(write, tmp_path, name, place, value):
    write("good/0", "mean", 0, [90])
    write("good/2", "mean", 2, [92])
    folder = write("bad", "mean", 1, [91], finished=name == "result.json")
    content = json.loads((folder / name).read_text())
    *outer, last = place.split(".")
    target = content
    for key in outer:
        target = target[key]
    target[last] = value
    damage(folder, name, json.dumps(content))
    write_report(tmp_path, lambda runs, text, folder: None)
    written = json.loads((tmp_path / "report.json").read_text())
    (row,) = written["rows"]
    assert row["seeds"] == [0, 2]
    (sentence,) = written["left_out"]
    assert sentence.startswith(f"bad: {name} ")
    assert place.split(".")[0] in sentence


@pytest.mark.parametrize("place", ["final", "last_snapshot.rho", "config.method", "settings", "finished"])
def test_a_run_without_a_value_is_named_and_the_others_are_reported(write, tmp_path, place):
    write("good", "mean", 0, [90])
    folder = write("bad", "mean", 1, [91])
    content = json.loads((folder / "result.json").read_text())
    *outer, last = place.split(".")
    del (content[outer[0]] if outer else content)[last]
    damage(folder, "result.json", json.dumps(content))
    assert table(tmp_path)[1] == [f"bad: result.json has no {place}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"score": {"val": "a", "test": 1}}, 'log.jsonl, line 1, has score.val = "a"'),
        ({"score": {"val": 1, "test": math.nan}}, "log.jsonl, line 1, has score.test = NaN"),
        ({"score": None}, "log.jsonl, line 1, has score = null"),
        ({"epoch": None}, "log.jsonl, line 1, has epoch = null"),
        ({"test": [1]}, "log.jsonl, line 1, has test = [1]"),
        ({"kind": 3}, "log.jsonl, line 1, has kind = 3"),
        ({"kind": None}, "log.jsonl, line 1, has kind = null"),
        (
            {"test": {"accuracy": [90]}},
            "log.jsonl, line 1, has test.accuracy = [90]; expected one number per task",
        ),
    ],
)
def test_an_unfinished_run_with_a_wrong_line_is_named(write, tmp_path, line, message):
    write("good", "mean", 0, [90])
    folder = write("bad", "mean", 1, [91], finished=False)
    damage(folder, "log.jsonl", json.dumps({**evaluation(1, 91), **line}) + "\n")
    rows_found, (sentence,) = table(tmp_path)
    assert [row["seeds"] for row in rows_found] == [[0]]
    assert sentence.startswith(f"bad: {message}")


def test_an_unfinished_run_whose_run_json_was_edited_is_named(write, tmp_path):
    write("good", "mean", 0, [90])
    folder = write("bad", "mean", 1, [91], finished=False)
    run = RunFolder(folder)
    run.begin(json.loads((folder / "run.json").read_text()))
    run.save({"epoch": 1, "position": 0}, [evaluation(1, 91)])
    assert table(tmp_path)[1] == []
    edited = json.loads((folder / "run.json").read_text())
    edited["config"]["lr"] = 5.0
    damage(folder, "run.json", json.dumps(edited))
    (sentence,) = table(tmp_path)[1]
    assert "bad: " in sentence
    assert "lr is 0.01 in the checkpoint and 5.0 in run.json" in sentence


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_folder_in_place_of_a_file_is_named(write, tmp_path, name):
    write("good", "mean", 0, [90])
    folder = write("bad", "mean", 1, [91], finished=False)
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    (sentence,) = table(tmp_path)[1]
    assert sentence.startswith("bad: ")
    assert name in sentence


def test_metrics_of_another_form_than_in_the_row_are_named(write, tmp_path):
    write("a", "mean", 0, [90])
    folder = write("b", "mean", 1, [91])
    result = json.loads((folder / "result.json").read_text())
    result["final"]["test"]["ece"] = 2.0
    damage(folder, "result.json", json.dumps(result))
    (row,), (sentence,) = table(tmp_path)
    assert row["seeds"] == [0]
    assert sentence == "b: ece has 1 value(s) in final, and 2 in a of the same row"


def test_sharpness_is_compared_at_one_radius(write, tmp_path):
    """A run whose snapshot has other radii, or no number there, has no sharpness in the row."""
    write("0", "mean", 0, [90])
    for seed, snapshot in (
        (1, {"rho": [0.2], "sharpness": [[9, 9]]}),
        (2, {"rho": [0.01, 0.05, 0.5], "sharpness": [[1, 1], [0.02, None], [9, 9]]}),
        (3, {"rho": [0.05], "sharpness": [[0.04, 0.06]]}),
        (4, {"rho": [0.01, 0.05, 0.5], "sharpness": [[1, 1], [0.02, 0.04], [9, None]]}),
    ):
        folder = write(str(seed), "mean", seed, [91])
        result = json.loads((folder / "result.json").read_text())
        damage(folder, "result.json", json.dumps({**result, "last_snapshot": snapshot}))
    (row,), left_out = table(tmp_path)
    assert left_out == []
    assert row["seeds"] == [0, 1, 2, 3, 4]
    assert row["sharpness"]["rho"] == 0.05
    assert row["sharpness"]["average"] == (pytest.approx(0.11 / 3), pytest.approx(0.011547, rel=1e-4), 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"kind": "epoch", "epoch": 1, "conflict": 3}, "has conflict = 3; expected an object"),
        (
            {"kind": "epoch", "epoch": 1, "histograms": {"loss": "a"}},
            'has histograms.loss = "a"; expected a list',
        ),
        (
            {"kind": "step", "epoch": 0.5, "norms": ["a"]},
            'has norms = ["a"]; expected a list of finite numbers',
        ),
        ({"kind": "step", "epoch": "a"}, 'has epoch = "a"; expected a finite number'),
        ({"kind": "snapshot", "epoch": 4, "rho": 3}, "has rho = 3; expected a list"),
        (
            {"kind": "snapshot", "epoch": 4, "rho": [1], "sharpness": [[1, 2, 3]]},
            "has sharpness[0] = [1, 2, 3]",
        ),
        (
            {"kind": "snapshot", "epoch": 4, "rho": [1], "sharpness": []},
            "has sharpness of 0 rows for 1 radii",
        ),
        ({"kind": "epoch", "epoch": 1, "losses": [1]}, "has losses = [1]; expected one number per task, 2"),
        ({"kind": "epoch", "epoch": 1, "histograms": {"flat": [1]}}, "has histograms.flat of 1 counts"),
        ({**evaluation(1, 91), "train": {"accuracy": [1]}}, "has train.accuracy = [1]; expected one number"),
        ({**evaluation(1, 91), "val": 3}, "has val = 3; expected an object"),
        ({"kind": "final", "reliability": [{"count": [0.5]}]}, "has reliability[0].count = [0.5]; expected"),
        ({"kind": "final", "entropy": {"edges": "a"}}, 'has entropy.edges = "a"; expected a list of'),
        ({"kind": "final", "slices": {"line": {"alpha": [0]}}}, "has no slices.line.losses"),
    ],
)
def test_a_run_with_a_wrong_line_is_drawn_without_its_log(write, tmp_path, capsys, line, message):
    damage(write("a", "mean", 0, [90]), "log.jsonl", json.dumps(line) + "\n")
    drawn = []
    write_report(tmp_path, draw=lambda runs, text, folder: drawn.extend(runs))
    assert drawn[0]["log"] == []
    assert f"a is drawn without its log: log.jsonl, line 1, {message}" in capsys.readouterr().err


def test_files_of_the_system_are_no_runs(write, tmp_path):
    folder = write("a", "mean", 0, [90])
    (folder / "._run.json").write_bytes(b"\0")
    (folder / ".DS_Store").write_bytes(b"\0")
    (tmp_path / ".Trash").mkdir()
    (tmp_path / ".Trash" / "run.json").write_text("{}")
    assert table(tmp_path)[1] == []


def test_differences_are_paired_by_seed(write, tmp_path):
    scores = {"cagrad": {0: 90, 1: 92, 2: 97}, "direct-cagrad": {1: 92, 2: 94}, "f-cagrad": {0: 92, 1: 96}}
    for method, seeds in scores.items():
        for seed, digit in seeds.items():
            write(f"{method}/{seed}", method, seed, [digit])
    write("mean/0", "mean", 0, [91])
    write("f-cagrad/5", "f-cagrad", 5, [99])
    found = differences(table(tmp_path)[0])
    by_names = {(pair["one"][0], pair["other"][0]): pair for pair in found}
    assert set(by_names) == {
        ("f-cagrad", "cagrad"),
        ("f-cagrad", "direct-cagrad"),
        ("f-cagrad", "mean"),
        ("cagrad", "mean"),
    }
    pair = by_names["f-cagrad", "cagrad"]
    assert pair["seeds"] == [0, 1]
    assert pair["final"]["each"] == [1, 2]  # of the average of two tasks
    assert pair["final"]["spread"] == (1.5, pytest.approx(0.5**0.5), 2)
    assert by_names["f-cagrad", "direct-cagrad"]["final"] == {"each": [2], "spread": (2, None, 1)}
    text = markdown(table(tmp_path)[0], found, [])
    both = "+1.50 ± 0.71 | +1.00, +2.00"
    assert f"| F-CAGrad ρ=0.05 − CAGrad | 0, 1 | {both} | {both} |" in text
    assert "| F-CAGrad ρ=0.05 − direct CAGrad ρ=0.05 | 1 | +2.00 ± - | +2.00 |" in text


def pairs(found):
    return {(pair["one"][0], pair["other"][0]): pair["final"]["each"] for pair in differences(found)}


def test_fixed_weights_are_paired_with_mean_and_with_the_same_weights(write, tmp_path):
    """Two runs with other weights are two rows, and their pairs name the weights."""
    write("mean", "mean", 0, [91], weights="")
    for weights, digit in (("0.7,0.3", 93), ("0.3,0.7", 87)):
        write(f"{weights}/constant", "constant", 0, [digit], weights=weights)
        write(f"{weights}/f", "f-constant", 0, [digit + 4], weights=weights)
    found, left_out = table(tmp_path)
    assert left_out == []
    assert len(found) == 5
    assert pairs(found) == {
        ("constant 0.7,0.3", "mean"): [1],
        ("constant 0.3,0.7", "mean"): [-2],
        ("f-constant 0.7,0.3", "mean"): [3],
        ("f-constant 0.3,0.7", "mean"): [0],
        ("f-constant 0.7,0.3", "constant 0.7,0.3"): [2],
        ("f-constant 0.3,0.7", "constant 0.3,0.7"): [2],
    }
    text = markdown(found, differences(found), [])
    assert "| Constant 0.7,0.3 − LS | 0 | +1.00 ± - |" in text
    assert "| F-Constant 0.7,0.3 ρ=0.05 − Constant 0.7,0.3 | 0 |" in text
    assert "| Constant 0.7,0.3 | 1 | 93.00 ± - |" in text
    assert "| Constant 0.3,0.7 | 1 | 87.00 ± - |" in text
    assert "| LS | 1 | 91.00 ± - |" in text
    assert "weights=" not in text


@pytest.mark.parametrize("prefix", ["lf", "ff"])
def test_a_part_first_is_paired_with_the_f_method_and_without_perturbation(write, tmp_path, prefix):
    write("plain", "cagrad", 0, [92])
    write("mean", "mean", 0, [91])
    write("first", f"{prefix}-cagrad", 0, [98])
    write("f", "f-cagrad", 0, [96])
    write("wide", "f-cagrad", 0, [90], rho=0.1)
    found = pairs(table(tmp_path)[0])
    first = {other: each for (one, other), each in found.items() if one == f"{prefix}-cagrad"}
    assert first == {"cagrad": [3], "f-cagrad": [1], "mean": [3.5]}


def test_nothing_is_paired_across_radii_or_settings(write, tmp_path):
    write("f", "f-cagrad", 0, [92], rho=0.1)
    write("direct", "direct-cagrad", 0, [92], rho=0.05)
    write("plain", "cagrad", 0, [92], epochs=8)
    assert differences(table(tmp_path)[0]) == []


def test_fewer_seeds_than_the_row_has_are_said(write, tmp_path):
    write("0", "mean", 0, [90])
    folder = write("1", "mean", 1, [91])
    result = json.loads((folder / "result.json").read_text())
    damage(folder, "result.json", json.dumps({**result, "last_snapshot": None}))
    text = markdown(table(tmp_path)[0], [], [])
    assert "| sharpness at ρ=0.05, average | seconds |" in text
    assert "| LS | 2 | 0.3000 ± 0.0000 | 2.000 ± 0.000 | 0.1500 ± 0.0000 | 0.03000 ± - (n=1) |" in text


def test_the_papers_figures_stand_beside_ours_with_their_source_and_setting(write, tmp_path):
    for method in ("f-cagrad", "f-upgrad"):
        write(method, method, 0, [90])
    text = markdown(table(tmp_path)[0], [], [])
    choices = (
        "last epoch | picked on validation: the honest way | best of test: the authors' way on Multi-MNIST"
    )
    assert f"| method | n | {choices} | published |" in text
    assert "| 97.82 / 89.26 / 93.54 ± 0.13 (Table 1) |" in text
    assert "ResNet-18 after 200 epochs" in text
    assert "| F-UPGrad ρ=0.05 | 1 | 85.00 ± - | 85.00 ± - | 85.00 ± - | - |" in text


def test_another_experiment_brings_its_own_metrics(tmp_path):
    test = {"miou": 41.5, "abs_err": 0.05}
    line = {"epoch": 2, "test": test, "score": {"val": 3.0, "test": 2.5}}
    folder = tmp_path / "rooms"
    folder.mkdir()
    result = {
        "experiment": "rooms",
        "settings": {"network": "small"},
        "config": CONFIG,
        "task_names": ["segmentation", "depth", "normals"],
        "finished": True,
        "seconds": 5.0,
        **dict.fromkeys(("final", "picked", "best_test"), line),
    }
    damage(folder, "result.json", json.dumps(result))
    text = markdown(table(tmp_path)[0], [], [])
    assert "## rooms\n" in text
    assert "### At the last epoch\n\n| method | n | miou | abs_err | score |\n" in text
    assert "| LS | 1 | 41.50 ± - | 0.05000 ± - | 2.500 ± - |" in text
    assert "| method | n | miou | abs_err | score | epochs |\n" in text
    assert "ResNet-18" not in text


def test_the_figures_get_every_run_with_its_log(write, tmp_path, capsys):
    write("a", "mean", 0, [90])
    damage(write("b", "mean", 1, [91]), "log.jsonl", "{\n")
    write("c", "mean", 1, [92])  # the seed of b: in no row
    drawn = []
    report = write_report(tmp_path, draw=lambda *arguments: drawn.append(arguments))
    ((runs, text, folder),) = drawn
    assert folder == tmp_path
    assert report == text == (tmp_path / "report.md").read_text()
    assert "b is drawn without its log" in capsys.readouterr().err
    assert [run["result"]["config"]["seed"] for run in runs] == [0, 1]
    assert [line["kind"] for line in runs[0]["log"]] == ["evaluation", "snapshot"]
    assert runs[1]["log"] == []


def test_a_folder_without_runs_is_an_error_that_says_so(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=f"Got {folder}; expected a folder with run folders"):
            write_report(folder)


def test_spread_of_a_single_value_has_no_deviation():
    assert spread([3.0]) == (3.0, None, 1)


def without_validation(line):
    return {**line, "val": None, "score": {"test": line["score"]["test"]}}


def test_a_run_without_validation_picks_nothing(write, tmp_path):
    for method in ("cagrad", "f-cagrad"):
        folder = write(method, method, 0, [90, 96, 94], settings={"n_val": 0}, finished=False)
        lines = [without_validation(evaluation(epoch, digit)) for epoch, digit in enumerate((90, 96, 94), 1)]
        damage(folder, "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        result = json.loads((folder / "run.json").read_text()) | {"finished": True, "seconds": 1.0}
        damage(folder, "result.json", json.dumps(result | summarize(lines)))
    found, left_out = table(tmp_path)
    assert left_out == []
    assert [row["score"].keys() for row in found] == [{"final", "best_test"}] * 2
    text = markdown(found, differences(found), [])
    assert "picked on validation" not in text
    assert "| F-CAGrad ρ=0.05 | 1 | 87.00 ± - | 88.00 ± - |" in text
    assert "| difference | seeds | final | final, each |\n" in text


def test_the_mean_of_the_last_ten_epochs_has_a_column_of_its_own(write, tmp_path):
    digits = [50, *range(81, 91)]
    folder = write("a", "f-mean", 0, digits, finished=False, epochs=11)
    lines = [evaluation(epoch, digit) for epoch, digit in enumerate(digits, 1)]
    outcome = summarize(lines)
    assert outcome["last_ten"] == {
        "epoch": 11,
        "test": {"accuracy": [85.5, 80.0], "nll": [0.1, 0.5], "ece": [1.0, 3.0], "brier": [0.05, 0.25]},
        "score": {"test": 82.75},
    }
    assert summarize(lines[:9])["last_ten"] is None  # too few
    assert summarize(lines[::2] * 2)["last_ten"] is None  # not every epoch
    text = markdown(table(tmp_path)[0], [], [])
    assert "mean of the last ten epochs: the paper's way on scenes" in text
    assert "| F-LS ρ=0.05 (unfinished, epoch 11 of 11) | 1 | 85.50 ± - | 80.00 ± - | 82.75 ± - |" in text
    damage(folder, "result.json", (folder / "run.json").read_text())
    assert table(tmp_path)[1] == ["a: result.json has no finished"]


def test_the_contents_lead_to_every_section(write, tmp_path):
    write("a", "mean", 0, [90])
    write("b", "mean", 0, [90], settings={"variant": "mnist"})
    text = markdown(table(tmp_path)[0], [], ["c: damaged"])
    assert "* [multimnist, fashion+mnist](#multimnist--fashion-mnist)" in text
    anchors = [line.split('"')[1] for line in text.splitlines() if line.startswith("<a id=")]
    assert anchors == ["multimnist--fashion-mnist", "multimnist--mnist", "left-out"]
    assert all(f"](#{anchor})" in text for anchor in anchors)


def test_the_authors_radius_stands_below_the_tables_with_its_source(write, tmp_path):
    for method in ("mean", "f-mean"):
        write(method, method, 0, [90])
    text = markdown(table(tmp_path)[0], [], [])
    assert "The authors' radius for F-LS: adaptive ρ = 2 (multi-mnist/run.sh and the settings of" in text
    assert "radius for LS" not in text


def test_the_latex_report_holds_the_same_cells_and_nothing_that_latex_reads(write, tmp_path):
    write("a_b", "f-cagrad", 0, [90])
    write("c", "cagrad", 0, [91])
    damage(write("d", "mean", 0, [91]), "result.json", "{")
    write_report(tmp_path)
    text = (tmp_path / "report.tex").read_text()
    assert text.startswith("\\documentclass")
    assert text.endswith("\\end{document}\n")
    assert "\\tableofcontents" in text
    assert "\\section{multimnist, fashion+mnist}" in text
    assert "F-CAGrad $\\rho$=0.05 & 1 & 90.00 $\\pm$ - & 80.00 $\\pm$ - & 85.00 $\\pm$ - \\\\" in text
    assert "n\\_train=5000" in text
    begun = text.count("\\begin{tabular}")
    assert begun == text.count("\\end{tabular}") == 5
    for block in text.split("\\begin{tabular}")[1:]:
        columns, lines = block.split("}", 1)[0].strip("{"), block.split("\\end{tabular}")[0].splitlines()
        assert {line.count(" & ") for line in lines if line.endswith("\\\\")} == {len(columns) - 1}


def test_the_csv_report_has_a_line_for_every_value(write, tmp_path):
    write("a", "f-cagrad", 3, [90, 96, 94])
    write_report(tmp_path)
    lines = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert len(lines) == 3 * (1 + 4 * 2)
    digit = {"at": "best_test", "metric": "accuracy", "task": "digit"}
    (line,) = [line for line in lines if digit.items() <= line.items()]
    assert line == digit | dict(
        **dict(experiment="multimnist", variant="fashion+mnist", method="f-cagrad", rho="0.05", weights=""),
        **dict(seed="3", run="a", finished="True", epoch="2", test="96"),
    )
    assert [line["test"] for line in lines if line["metric"] == "score"] == ["87.0", "85.0", "88.0"]


NINE = (0.4093, 0.6668, 0.5285, 0.2162, 25.43, 20.39, 0.2799, 0.5482, 0.6756)  # F-CAGrad's in the paper


def test_tables_3_and_7_stand_next_to_our_runs_on_nyuv2(tmp_path):
    test = dict(zip(HIGHER_IS_BETTER, NINE, strict=True)) | {"loss": [1.0, 1.0, 1.0]}
    line = {"epoch": 200, "test": test, "score": {"test": 3.78}}
    for method, seed in (("f-cagrad", 0), ("f-cagrad", 1), ("upgrad", 0)):
        result = {
            "experiment": "nyuv2",
            "settings": {"network": "mtan", "n_val": 0},
            "config": CONFIG | {"method": method, "seed": seed},
            "task_names": ["label", "depth", "normal"],
            "last_ten": line if method == "f-cagrad" else None,
        } | dict(finished=True, seconds=5.0, final=line, best_test=line, picked=None)
        folder = tmp_path / f"{method}{seed}"
        folder.mkdir()
        damage(folder, "result.json", json.dumps(result))
    text = markdown(table(tmp_path)[0], [], [])
    lines = text.split("### Next to Tables 3 and 7 of the paper")[1].strip().splitlines()
    ours = [place for place, line in enumerate(lines) if "| ours" in line]
    assert lines[0].startswith("| method | source | mIoU % | PixAcc % | AbsErr | RelErr | mean ° |")
    numbers = "40.93 | 66.68 | 0.5285 | 0.2162 | 25.43 | 20.39 | 27.99 | 54.82 | 67.56 | -3.78 |"
    assert lines[ours[0] - 1] == f"| F-CAGrad | Table 3 | {numbers}"
    assert lines[ours[0]] == f"| F-CAGrad | ours, ρ=0.05, mean of the last ten epochs, n=2 | {numbers}"
    assert lines[ours[1]].startswith("| UPGrad | ours, last epoch, n=1 |")
    assert "| F-LS | Table 7 | 40.28" in text
    assert "| STL | published | 38.30 |" in text
    assert "Of NYUv2 only F-PCGrad's is known" in text
    assert "mean of the last 10 of 200 epochs" in text
