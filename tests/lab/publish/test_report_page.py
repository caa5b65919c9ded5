"""The page of runs: everything in it or next to it, each run where it belongs, nothing half-written."""

import copy
import json
import re

import plotly.io as pio
import pytest
from plotly.offline import get_plotlyjs

from flatmtl_lite.lab.publish.report_page import by_method, draw_figures, write_report_page
from flatmtl_lite.titles import method_title
from tests.lab.run_lines import TASKS, finished_run

TABLE = "# Two tasks\n\n| method | digit |\n|---|---|\n| LS | **61.2** |\n"


@pytest.fixture(scope="module")
def runs() -> list[dict]:
    return [finished_run(method, seed) for method in ("mean", "f-cagrad") for seed in (0, 1)]


@pytest.fixture
def no_pictures(monkeypatch):
    def write_images(*args, **kwargs):
        raise RuntimeError("no browser")

    monkeypatch.setattr(pio, "write_images", write_images)


def changed(run: dict, **config) -> dict:
    run = copy.deepcopy(run)
    run["result"]["config"] |= config
    return run


def figures_in(page: str) -> list[dict]:
    held = re.findall(r'<script class="flatmtl-data"[^>]*>(.*?)</script>', page)
    return [json.loads(data) for data in held]


def captions_in(page: str) -> list[str]:
    return re.findall(r"<figcaption>(.*?)</figcaption>", page)


@pytest.mark.usefixtures("no_pictures")
def test_the_page_needs_nothing_from_elsewhere(runs, tmp_path):
    path = write_report_page(runs, TABLE, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["plotly.js", "report.html"]
    assert (tmp_path / "plotly.js").read_text(encoding="utf-8") == get_plotlyjs()
    page = path.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', page) == ["plotly.js"]
    assert "<strong>61.2</strong>" in page
    assert '<a id="figures-0"></a><h2>multimnist fashion+mnist</h2>' in page
    assert '<a href="#figures-0">multimnist fashion+mnist</a>' in page
    assert page.count("<code>train multimnist --method f-cagrad</code>: a test") == 2


@pytest.mark.usefixtures("no_pictures")
def test_each_figure_has_its_caption(runs, tmp_path):
    page = write_report_page(runs, TABLE, tmp_path).read_text(encoding="utf-8")
    figures = figures_in(page)
    assert len(figures) == len(captions_in(page)) == 20
    for figure in figures:
        assert any(trace.get("x") for trace in figure["data"])
        assert figure["layout"]["dragmode"] is False


@pytest.mark.usefixtures("no_pictures")
def test_what_was_not_measured_is_left_out(runs, tmp_path):
    kept = [line for line in runs[0]["log"] if line["kind"] == "epoch"]
    result = {key: value for key, value in runs[0]["result"].items() if key not in ("picked", "best_test")}
    page = write_report_page([{"result": result, "log": kept}], TABLE, tmp_path).read_text(encoding="utf-8")
    assert [caption.split()[0] for caption in captions_in(page)] == ["How", "Cosines"]


def test_results_are_shown_by_both_choices_of_the_epoch(runs):
    best = dict(runs[0]["result"]["final"], test=dict(accuracy=[99.0, 98.0]))
    run = copy.deepcopy(runs[0])
    run["result"]["best_test"] = best
    figures = draw_figures({"LS": [run]}, {"MGDA": [97.0, 96.0]})
    points = {
        name: {(trace.name, trace.x[0]) for trace in figures[name][1].data}
        for name in ("accuracy-picked", "accuracy-best_test")
    }
    assert ("one seed", 99.0) in points["accuracy-best_test"]
    assert ("published", 97.0) in points["accuracy-best_test"]
    assert ("one seed", run["result"]["picked"]["test"]["accuracy"][0]) in points["accuracy-picked"]
    assert "published" not in {name for name, _ in points["accuracy-picked"]}
    assert "ece-best_test" not in figures  # this run's has no ECE
    (score,) = {t.x[0] for t in figures["score-picked"][1].data if t.name == "mean" and t.x[0]}
    assert score == pytest.approx(run["result"]["picked"]["score"]["test"], abs=1e-4)


def test_seeds_are_one_method_and_settings_are_not(runs):
    wider = changed(runs[2], rho=0.2)
    (methods,) = by_method([*runs, wider]).values()
    assert {name: len(members) for name, members in methods.items()} == {
        "LS": 2,
        "F-CAGrad, rho = 0.1": 2,
        "F-CAGrad, rho = 0.2": 1,
    }
    weighted = [changed(runs[0], method="constant", weights=text) for text in ("0.7,0.3", "0.3,0.7")]
    (methods,) = by_method(weighted).values()
    assert list(methods) == ["Constant, weights = 0.7,0.3", "Constant, weights = 0.3,0.7"]
    other = copy.deepcopy(runs[0])
    other["result"]["settings"]["variant"] = "mnist"
    assert list(by_method([runs[0], other])) == ["multimnist fashion+mnist", "multimnist mnist"]
    dense = copy.deepcopy(runs[0])
    del dense["result"]["settings"]["variant"]
    dense["result"]["experiment"] = "rooms"
    assert list(by_method([dense])) == ["rooms"]


@pytest.mark.parametrize(
    ("method", "title"),
    [("stl", "STL"), ("second-upgrad", "second UPGrad"), ("sam-cagrad", "SAM CAGrad"), ("new", "new")],
)
def test_methods_have_titles(method, title):
    assert method_title(method) == title


def test_pictures_are_written_where_a_browser_is(runs, tmp_path, monkeypatch):
    def write_images(figures, files, width, height):
        assert len(figures) == len(files) == len(height)
        for file in files:
            file.write_bytes(file.suffix.encode())

    monkeypatch.setattr(pio, "write_images", write_images)
    write_report_page(runs, TABLE, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["plotly.js", "plots", "report.html"]
    names = {file.name for file in (tmp_path / "plots").iterdir()}
    assert len(names) == 40
    assert {f"multimnist-fashion+mnist-accuracy-picked.{kind}" for kind in ("png", "svg")} <= names


def test_bad_input_changes_nothing(runs, tmp_path):
    with pytest.raises(ValueError, match="Got no runs"):
        write_report_page([], TABLE, tmp_path)
    with pytest.raises(FileNotFoundError, match="expected one that exists"):
        write_report_page(runs, TABLE, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_tasks_are_named(runs):
    _, figure = draw_figures({"LS": runs[:1]}, {})["accuracy-picked"]
    assert [note.text for note in figure.layout.annotations] == TASKS
