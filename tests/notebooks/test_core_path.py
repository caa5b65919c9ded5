"""The core path takes two hours, and everything that speaks about it agrees."""

import itertools
import re
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest

from flatmtl_lite.lab.publish.editions import learners_edition

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks" / "instructor").glob("0*.ipynb"))
PAGES = {path.stem[:2]: learners_edition(nbformat.read(path, as_version=4)) for path in SOURCES}
FILES = {path.stem[:2]: path.name for path in SOURCES}
CORE = ("00", "01", "02", "04", "05")
MINUTES, WORDS_A_MINUTE = 120, 70
MARK = re.compile(r"\*\*(Core path|Deeper) · (\d+) minutes\.\*\*")
HIDDEN = r"\$\$.*?\$\$|\$[^$]*\$|```.*?```|`[^`]*`|<[^>]*>|(?<=\])\([^)]*\)"  # formulas, code, addresses


def mark(page: str) -> tuple[str, int]:
    """Return "core" or "deeper", and the minutes that the first cell of a page states."""
    marks = MARK.findall(PAGES[page].cells[0].source)
    assert len(marks) == 1, f"{FILES[page]}: expected a mark such as **Core path · 30 minutes.**; got {marks}"
    path, minutes = marks[0]
    return path.split()[0].lower(), int(minutes)


def core_text(notebook: nbformat.NotebookNode) -> str:
    """Return the text of a page down to its heading "Deeper"."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.split(r"^## Deeper$", text, flags=re.MULTILINE)[0]


def words(text: str) -> int:
    """Count the words of a text. Formulas, code and the addresses of links are not words."""
    return len(re.findall(r"\w[\w'’.,-]*", re.sub(HIDDEN, " ", text, flags=re.DOTALL)))


@pytest.mark.parametrize("page", PAGES)
def test_the_first_cell_marks_the_page(page):
    path, minutes = mark(page)
    assert path == ("core" if page in CORE else "deeper")
    assert 5 <= minutes <= 45
    assert "**Minutes:**" not in PAGES[page].cells[0].source


def test_the_core_path_takes_two_hours():
    assert sum(mark(page)[1] for page in CORE) <= MINUTES


def test_the_table_of_the_course_agrees():
    text = "\n".join(cell.source for cell in PAGES["00"].cells)
    rows = re.findall(r"^\| (\d\d) \| \[.*?\]\((\S+)\) \| (\w*) ?\| (\d*) ?\|", text, flags=re.MULTILINE)
    table = {page: (name, path, int(minutes)) for page, name, path, minutes in rows if path}
    assert table == {page: (FILES[page], *mark(page)) for page in PAGES}
    unmarked = {page: name for page, name, path, _ in rows if not path}
    assert unmarked.pop("90") == "90_reference.ipynb"
    assert all(page > "90" for page in unmarked)


def test_the_lesson_plan_agrees():
    text = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
    plan = text.split("## Two hours: the core path\n")[1].split("\n## ")[0]
    minutes: dict[str, int] = defaultdict(int)
    for page, part in re.findall(r"^\| (\d\d) \| (\d+) \|", plan, flags=re.MULTILINE):
        minutes[page] += int(part)
    assert minutes == {page: mark(page)[1] for page in CORE}


@pytest.mark.parametrize("page", CORE)
def test_a_core_page_can_be_read_in_its_minutes(page):
    assert words(core_text(PAGES[page])) <= WORDS_A_MINUTE * mark(page)[1]


@pytest.mark.parametrize(("page", "after"), [*itertools.pairwise(CORE)])
def test_the_core_part_leads_to_the_next_core_page(page, after):
    _, found, link = core_text(PAGES[page]).rpartition("**Next:** ")
    assert found
    assert FILES[after] in link.split("\n\n")[0]


def test_words_are_counted_down_to_the_heading():
    cells = ["# A page\n\nOne *two* `code` $x$ [three](far/away.md).", "$$a\nb$$\n\n## Deeper\n\nfour five"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells])
    assert words(core_text(notebook)) == 5  # A page one two three
