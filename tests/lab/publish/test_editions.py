"""Deriving the learner's edition: solutions and notes go, nothing else changes."""

import nbformat
import pytest

from flatmtl_lite.lab.publish import build
from flatmtl_lite.lab.publish.editions import learners_edition

EXERCISE = """\
def double(x):
    ...  # your code: twice x
    return 2 * x"""


def cell(source: str, *tags: str, kind: str = "code"):
    made = getattr(nbformat.v4, f"new_{kind}_cell")(source)
    return made | {"metadata": {"tags": list(tags)} if tags else {}}


def source(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.from_dict(one) for one in cells])


def test_solutions_and_notes_are_left_out():
    notebook = source(
        cell("# Title", kind="markdown"),
        cell("> **For teachers.** Wait.", "instructor", kind="markdown"),
        cell(EXERCISE, "exercise"),
        cell("double(2)", "nbval-check-output"),
        cell("double(3)", "instructor"),
    )
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="4")]
    learners = learners_edition(notebook)
    sources = ["# Title", "def double(x):\n    ...  # your code: twice x", "double(2)"]
    assert [one.source for one in learners.cells] == sources
    assert [one.id for one in learners.cells] == [notebook.cells[k].id for k in (0, 2, 3)]
    assert learners.cells[2].metadata.tags == ["nbval-check-output"]
    assert learners.cells[2].outputs == []
    assert notebook.cells[2].source == EXERCISE


@pytest.mark.parametrize("text", ["def f():\n    return 1", "def f():\n    ...  # your code\n", ""])
def test_an_exercise_without_stub_or_solution_is_refused(text):
    with pytest.raises(ValueError, match=r'expected a line with "...  # your code" and the solution'):
        learners_edition(source(cell(text, "exercise")))


def test_build_writes_both_editions(tmp_path):
    (tmp_path / "instructor").mkdir()
    path = tmp_path / "instructor" / "one.ipynb"
    nbformat.write(source(cell(EXERCISE, "exercise"), cell("print(double(2))")), path)
    build.main([str(tmp_path)])
    editions = [nbformat.read(file, as_version=4) for file in (path, tmp_path / "one.ipynb")]
    assert [edition.cells[1].outputs[0].text for edition in editions] == ["4\n", "None\n"]
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["one.ipynb", "one.ipynb"]


def test_a_learners_edition_that_fails_leaves_both_as_they_were(tmp_path):
    (tmp_path / "instructor").mkdir()
    path = tmp_path / "instructor" / "one.ipynb"
    nbformat.write(source(cell(EXERCISE, "exercise"), cell("print(double(2) + 1)")), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="NoneType"):
        build.main([str(tmp_path)])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.rglob("*.ipynb")] == ["one.ipynb"]
