"""The static site: pages that need neither a kernel nor a network, with what the notebooks say."""

import json
import re

import nbformat
import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.publish.site import opened, site
from flatmtl_lite.lab.stage.page import data_script
from tests.lab.course import NOTEBOOKS, course

FIGURE = {"data": [{"y": [1, 2]}], "layout": {}, "config": {}}


def cells(*made):
    return nbformat.v4.new_notebook(cells=list(made))


def shows(data: dict, metadata: dict | None = None):
    output = nbformat.v4.new_output("execute_result", data=data, metadata=metadata or {}, execution_count=1)
    return nbformat.v4.new_code_cell("1", outputs=[output])


@pytest.fixture
def made(tmp_path):
    """The text of the page of a small notebook."""
    (tmp_path / "notebooks").mkdir()

    def make(*made) -> str:
        first = nbformat.v4.new_markdown_cell("# 00 · First & last")
        nbformat.write(cells(first, *made), tmp_path / "notebooks" / "00_first.ipynb")
        (path,) = site(tmp_path / "notebooks", tmp_path / "out")
        return path.read_text(encoding="utf-8")

    return make


def test_formulas_become_mathml_and_code_does_not(made):
    text = "It is $a_1 *\nb_1 * c$, in `cost $5` and\n\n$$\\frac{a}{b}$$\n\n```\n$x$\n```"
    page = made(nbformat.v4.new_markdown_cell(text))
    assert page.count("<math ") == 2
    assert "<mfrac>" in page
    assert "<code>cost $5</code>" in page
    assert "<em>" not in page
    assert "formula" not in page


def test_links_lead_to_the_other_pages(made):
    page = made(nbformat.v4.new_markdown_cell("[next](01_next.ipynb), [paper](https://arxiv.org/abs/1)"))
    assert 'href="01_next.html"' in page
    assert 'href="https://arxiv.org/abs/1"' in page
    assert "<title>00 · First &amp; last · flatmtl-lite</title>" in page


def test_a_stage_is_opened_anew_with_its_state(made):
    stage = lab.ball_instrument(rho=0.4, point=(-0.5, 1.0), loss="task 2")
    bundle, metadata = stage._repr_mimebundle_()
    page = made(shows({"text/plain": bundle["text/plain"]}, metadata))
    assert f'data-text="{stage.state}"' in page
    assert '"live": false' in page


def test_figures_live_and_tables_stay(made):
    live = {"application/vnd.plotly.v1+json": FIGURE, "text/plain": "two points", "image/png": "x"}
    page = made(shows(live))
    assert 'data-text="two points"' in page
    assert '"y": [1, 2]' in page
    assert "<img" not in page
    assert "<b>bold</b>" in made(shows({"text/html": "<b>bold</b>", "text/plain": "bold"}))


def test_a_folder_without_notebooks_changes_nothing(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("kept", "stage.js"):
        (out / name).touch()
    with pytest.raises(ValueError, match="without a notebook"):
        site(tmp_path, out)
    assert (out / "kept").exists()


@pytest.mark.parametrize(
    "call",
    ["", "1 +", "print('x')", "lab.nothing()", "lab.rho_instrument(rho=open('x'))", "__import__('os')"]
    + ["lab.__setattr__('a', 1)", "lab.rho_instrument(**{'rho': 0.1})", "lab.ball_instrument(radius=1)"],
)
def test_only_calls_of_instruments_are_opened(call):
    with pytest.raises(ValueError, match="expected the call of an instrument"):
        opened(call)


def test_only_a_site_is_replaced(made, tmp_path):
    made()
    (tmp_path / "out" / "00_old.html").touch()
    made()
    assert not (tmp_path / "out" / "00_old.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks", "out"]
    for mine in (tmp_path / "thesis", tmp_path / "notebooks"):
        mine.mkdir(exist_ok=True)
        (mine / "thesis.txt").touch()
        with pytest.raises(ValueError, match="something other than a site"):
            site(tmp_path / "notebooks", mine)
        assert (mine / "thesis.txt").exists()


def test_nothing_in_the_data_ends_its_script():
    page = data_script({"a": "<!-- <script></script>"}, 'two "points"')
    assert page.count("<") == 2
    assert json.loads(page.split(">", 1)[1].rsplit("<", 1)[0]) == {"a": "<!-- <script></script>"}


def test_every_asset_of_the_course_is_there():
    folder, _ = course()
    pages = sorted(folder.glob("*.html"))
    assert len(pages) == len(list(NOTEBOOKS.glob("*.ipynb"))) + 1
    for page in pages:
        text = re.sub(r"<script class=.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r'src="(?:https?:)?//[^"]*"|<link[^>]*href="(?:https?:)?//', text) == []
        wanted = re.findall(r'(?:src|href)="(?!https?:|data:|#)([^"#]+)', text)
        assert {"plotly.js", "stage.js", "static.js", "site.css"} <= set(wanted)
        assert [name for name in wanted if not (folder / name).exists()] == []


def test_every_formula_of_the_course_is_converted():
    for page in course()[0].glob("[0-9]*.html"):
        text = page.read_text(encoding="utf-8")
        shown = re.sub(r"<(script|pre|code|math)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert "$" not in shown
        assert re.search(r"formula\d", shown) is None


def test_every_instrument_of_the_course_is_live():
    for path in NOTEBOOKS.glob("*.ipynb"):
        code = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        called = len(re.findall(r"^lab\.\w+_instrument\(", "\n".join(code), re.MULTILINE))
        page = (course()[0] / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count('"live": false') == called, path.name
