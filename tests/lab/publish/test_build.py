"""Notebooks are executed in order, or left as they were."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from flatmtl_lite.lab.publish import build


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
