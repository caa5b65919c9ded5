"""What nbval does not see: that the committed notebooks are whole, and that their checks can fail."""

import base64
import copy
import functools
import importlib
import re
from pathlib import Path

import nbformat
import pytest

import flatmtl_lite as fm
from flatmtl_lite.lab.publish.build import MOST_BYTES
from flatmtl_lite.lab.publish.editions import EXERCISE, INSTRUCTOR, learners_edition, tags

FOLDER = Path(__file__).parents[2] / "notebooks"
LEARNERS, INSTRUCTORS = sorted(FOLDER.glob("*.ipynb")), sorted(FOLDER.glob("instructor/*.ipynb"))
NOTEBOOKS = LEARNERS + INSTRUCTORS
PLOTLY = "application/vnd.plotly.v1+json"
MOST_PICTURE_BYTES = 60_000
PLUMBING, FOLDED_ON_THE_SITE = "plumbing", "hide-input"


def edition(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def problems(notebook: nbformat.NotebookNode) -> list[str]:
    """Everything that would let nbval pass without checking, or a page show nothing."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    found = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("not executed in order")
    if "widgets" in notebook.metadata:
        found.append("widget state is saved")
    for number, cell in enumerate(code, 1):
        outputs = [output.get("data", {}) for output in cell.outputs]
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"cell {number} failed")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            found.append(f"cell {number} wrote to stderr")
        if "nbval-check-output" in cell.metadata.get("tags", []) and not cell.outputs:
            found.append(f"cell {number} is checked but has no output")
        for data in outputs:
            if PLOTLY in data and not ("image/png" in data and data.get("text/plain", "").strip("'")):
                found.append(f"cell {number} has a figure without a static picture and a line of text")
            if len(base64.b64decode(data.get("image/png", ""))) > MOST_PICTURE_BYTES:
                found.append(f"cell {number} has a picture of more than 60 kB")
            if "application/vnd.jupyter.widget-view+json" in data:
                found.append(f"cell {number} shows a widget that is gone after a reload")
    return found


@functools.cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks_with_checked_cells():
    assert [path.name[:2] for path in NOTEBOOKS][:1] == ["00"]
    for path in NOTEBOOKS:
        tags = [tag for cell in read(path).cells for tag in cell.metadata.get("tags", [])]
        assert "nbval-check-output" in tags, path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=edition)
def test_committed_notebook_is_whole(path):
    nbformat.validate(read(path))
    assert problems(read(path)) == []
    assert path.stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=edition)
def test_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    without_code = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", without_code):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", INSTRUCTORS, ids=edition)
def test_the_learners_edition_is_what_the_source_says(path):
    derived, committed = learners_edition(read(path)), read(FOLDER / path.name)
    assert [dict(c, outputs=0, execution_count=0) for c in committed.cells] == [
        dict(c, outputs=0, execution_count=0) for c in derived.cells
    ]


def test_every_notebook_has_two_editions():
    assert [path.name for path in LEARNERS] == [path.name for path in INSTRUCTORS]


def checks(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if re.search(r"^lab\.checks\.", cell.source, re.MULTILINE)]


@pytest.mark.parametrize("path", INSTRUCTORS, ids=edition)
def test_every_exercise_is_solved_and_answers(path):
    """nbval compares the answers of the checks, which are tagged, so they are those of the present code."""
    solved, missing = checks(read(path)), checks(read(FOLDER / path.name))
    exercises = [cell for cell in read(path).cells if EXERCISE in tags(cell)]
    assert len(solved) == len(missing) == len(exercises)
    for cells, state in ((solved, "✓ correct: "), (missing, "… missing: ")):
        for cell in cells:
            assert "nbval-check-output" in tags(cell), cell.source
            assert cell.outputs[0].data["text/plain"].startswith(state), cell.source


@pytest.mark.parametrize("path", INSTRUCTORS, ids=edition)
def test_teachers_find_notes(path):
    notes = "\n".join(cell.source for cell in read(path).cells if INSTRUCTOR in tags(cell)).lower()
    for part in ("**for teachers.**", "minutes", "take home", "project", "misconceptions", "discuss"):
        assert part in notes


def wrongly_folded(notebook: nbformat.NotebookNode) -> list[str]:
    """Cells that are folded in one place only, and folded cells that a learner must see."""
    found = []
    for cell in notebook.cells:
        signs = (
            PLUMBING in tags(cell),
            FOLDED_ON_THE_SITE in tags(cell),
            cell.metadata.get("jupyter", {}).get("source_hidden", False),
        )
        needed = EXERCISE in tags(cell) or re.search(r"^lab\.(?!show)", cell.source, re.MULTILINE)
        if any(signs) and (needed or not all(signs)):
            found.append(cell.source)
    return found


@pytest.mark.parametrize("path", INSTRUCTORS, ids=edition)
def test_plumbing_is_folded_in_jupyterlab_and_on_the_site(path):
    assert wrongly_folded(read(path)) == []


@pytest.mark.parametrize(
    ("source", "cell_tags", "hidden"),
    [("x = 1", ["plumbing"], True), ("x = 1", ["hide-input", "plumbing"], False), ("x = 1", [], True)]
    + [("lab.compare({})", ["hide-input", "plumbing"], True)],
)
def test_a_wrong_fold_is_found(source, cell_tags, hidden):
    cell = nbformat.v4.new_code_cell(
        source, metadata={"tags": cell_tags, "jupyter": {"source_hidden": hidden}}
    )
    assert wrongly_folded(nbformat.v4.new_notebook(cells=[cell])) == [source]


def spoil_order(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].execution_count, code[1].execution_count = code[1].execution_count, code[0].execution_count


def spoil_count(notebook):
    next(cell for cell in notebook.cells if cell.cell_type == "code").execution_count = None


def spoil_checked(notebook):
    next(c for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])).outputs = []


def spoil_picture(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)


def spoil_state(notebook):
    notebook.metadata["widgets"] = {}


@pytest.mark.parametrize("spoil", [spoil_order, spoil_count, spoil_checked, spoil_picture, spoil_state])
def test_the_guard_can_fail(spoil):
    notebook = copy.deepcopy(read(NOTEBOOKS[0]))
    spoil(notebook)
    assert problems(notebook)


def rows_of_equations() -> list[str]:
    cells = read(FOLDER / "90_reference.ipynb").cells
    text = next(cell.source for cell in cells if cell.source.startswith("## From equation to code"))
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def resolve(name: str):
    """The object that a dotted name stands for; ``fm`` is flatmtl_lite."""
    first, *rest = name.split(".")
    found = fm if first == "fm" else importlib.import_module(first)
    for part in rest:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("row", rows_of_equations())
def test_equation_table_names_code_that_exists(row):
    names = re.findall(r"`([\w.]+)`", row.rstrip("|").rsplit("|", 1)[1])
    assert names
    assert all(callable(resolve(name)) for name in names)


def test_resolve_can_fail():
    with pytest.raises(AttributeError):
        resolve("fm.no_such_thing")
