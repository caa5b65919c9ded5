"""Figures, their static twins, the progress table, and the building of notebooks."""

from types import SimpleNamespace

import nbformat
import pytest
import torch
from nbclient.exceptions import CellExecutionError

from flatmtl_lite.lab import ProgressTable, show
from flatmtl_lite.lab.figures import basic as figures
from flatmtl_lite.lab.publish import build

EPOCHS = {"LS": [{"epoch": e, "test": [50.0, 60.0], "train": [70.0, 80.0]} for e in (1, 4)]}
STEPS = {"F-LS": [{"epoch": k / 10, "loss": [0.1 - k / 50], "flat": [-0.2], "same": 0.99} for k in range(10)]}


def test_figures_hold_their_values():
    curves = figures.accuracy_curves(EPOCHS, ("digit", "garment"))
    assert [list(trace.y) for trace in curves.data] == [[50, 50], [60, 60], [70, 70], [80, 80]]
    angles = figures.angle_curves(STEPS, bins=2)
    assert list(angles.data[0].y) == [0.06, -0.04]
    assert list(angles.data[1].y) == [0.0, 0.8]  # of 0, -.02, -.04, ... the first is no conflict
    assert list(angles.data[2].y) == [1.0, 1.0]
    bars = figures.sharpness_bars({"LS": [0.06, 0.07], "direct CAGrad": [0.01, 0.02]}, ("digit", "garment"))
    assert [list(trace.y) for trace in bars.data] == [[0.06, 0.01], [0.07, 0.02]]
    assert bars.data[0].x == ("LS", "direct<br>CAGrad")
    dots = figures.spread_dots({"noisy": {"LS": [1.0, 3.0]}}, "accuracy")
    assert [list(trace.y) for trace in dots.data] == [[2.0], [1.0, 3.0]]
    arrows = figures.arrows({"task 1": {"loss": torch.tensor([1.0, 2.0]), "flat": (0.5, 0.0)}}, reach=3)
    assert [(trace.name, trace.x[1], trace.y[1]) for trace in arrows.data] == [
        ("loss", 1, 2),
        ("flat", 0.5, 0),
    ]
    row = figures.image_row(torch.arange(8, dtype=torch.uint8).reshape(2, 2, 2), ["a", "b"])
    assert row.data[1].z.tolist() == [[6, 7], [4, 5]]  # the first line of an image is drawn on top


def test_figures_draw_a_run_without_flat_parts():
    steps = {"LS": [{"epoch": 0.5, "loss": [0.2]}]}
    assert [len(trace.x or ()) for trace in figures.angle_curves(steps).data] == [1, 1, 0]


def test_methods_differ_in_more_than_colour():
    from flatmtl_lite.lab.figures.style import METHODS

    for key in ("color", "symbol"):
        assert len({look[key] for look in METHODS.values()}) == len(METHODS)


def test_show_stores_text_and_picture_only_on_demand(monkeypatch):
    shown = []
    monkeypatch.setattr("flatmtl_lite.lab.figures.display.display", lambda data, raw: shown.append(data))
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", lambda figure, **size: PNG)
    monkeypatch.delenv("FLATMTL_STATIC", raising=False)
    show(figures.angle_curves(STEPS), "in words")
    monkeypatch.setenv("FLATMTL_STATIC", "1")
    show(figures.angle_curves(STEPS), "in words")
    assert [sorted(data) for data in shown] == [
        ["application/vnd.plotly.v1+json", "text/plain"],
        ["application/vnd.plotly.v1+json", "image/png", "text/plain"],
    ]
    assert shown[0]["text/plain"] == "in words"


PNG = bytes.fromhex(  # one white pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)


def test_progress_table_follows_runs(monkeypatch):
    updates = []
    handle = SimpleNamespace(update=lambda table: updates.append(repr(table)))
    monkeypatch.setattr("flatmtl_lite.lab.tables.progress.display", lambda table, display_id: handle)
    table = ProgressTable(["LS", "<b>"], tasks=("digit", "garment"))
    table.show()
    run = SimpleNamespace(seconds=3.2, accuracies=[{"test": [50.0, 61.25]}])
    table.follow("LS")(run, 0.5)
    assert updates == [repr(table)]
    assert "LS" in updates[0]
    assert "50% in 3 s  digit 50.0 %, garment 61.2 %" in updates[0]
    page = table._repr_html_()
    assert "&lt;b&gt;" in page
    assert "value='0.500'" in page


def notebook(tmp_path, *cells: str):
    path = tmp_path / "one.ipynb"
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nb.metadata["widgets"] = {"state": {}}
    nbformat.write(nb, path)
    return path


def test_build_executes_in_order_and_strips(tmp_path, capsys):
    path = notebook(tmp_path, "import sys; print('noise', file=sys.stderr)", "print(6 * 7)")
    build.main([str(tmp_path)])
    built = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in built.cells] == [1, 2]
    assert built.cells[0].outputs == []
    assert "left out: noise" in capsys.readouterr().err
    assert built.cells[1].outputs[0].text == "42\n"
    assert "widgets" not in built.metadata
    assert [file.name for file in tmp_path.iterdir()] == ["one.ipynb"]


@pytest.mark.parametrize(
    ("cell", "error"), [("1 / 0", CellExecutionError), ("print('x' * 600_000)", ValueError)]
)
def test_a_build_that_fails_leaves_the_file_as_it_was(tmp_path, cell, error):
    path = notebook(tmp_path, cell)
    before = path.read_bytes()
    with pytest.raises(error):
        build.build(path)
    assert path.read_bytes() == before
