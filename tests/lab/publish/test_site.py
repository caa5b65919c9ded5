"""The course as pages: every stage opens again by its call, and everything else stays as committed."""

import nbformat
import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.publish.site import course_sources, stage_of

FIGURE = {"data": [{"y": [1, 2]}], "layout": {}, "config": {}}


def output(data: dict, metadata: dict | None = None) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("execute_result", data=data, metadata=metadata or {}, execution_count=1)


@pytest.fixture
def page_data(tmp_path):
    """What a page shows of one output."""

    def convert(*arguments) -> dict:
        folder = tmp_path / "notebooks"
        folder.mkdir(exist_ok=True)
        cells = [nbformat.v4.new_markdown_cell("# 00 · First"), nbformat.v4.new_code_cell("1")]
        cells[1].outputs = [output(*arguments)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "00_first.ipynb")
        (path,) = course_sources(folder, tmp_path / "out")
        return nbformat.read(path, as_version=4).cells[1].outputs[0].data

    return convert


def test_a_stage_opens_with_its_state_and_without_a_kernel(page_data):
    stage = lab.ball_instrument(rho=0.4, point=(-0.5, 1.0), loss="task 2")
    bundle, metadata = stage._repr_mimebundle_()
    html = page_data({"text/plain": bundle["text/plain"]}, metadata)["text/html"]
    assert f'data-text="{stage.state}"' in html
    assert '"live": false' in html


def test_figures_live_and_tables_stay(page_data):
    live = {"application/vnd.plotly.v1+json": FIGURE, "text/plain": "two points", "image/png": "x"}
    html = page_data(live)["text/html"]
    assert 'data-text="two points"' in html
    assert '"y": [1, 2]' in html
    assert "x" not in page_data(live)
    assert page_data({"text/html": "<b>bold</b>", "text/plain": "bold"})["text/html"] == "<b>bold</b>"


def test_the_first_cell_says_what_needs_a_kernel(page_data, tmp_path):
    page_data({"text/plain": "1"})
    cells = nbformat.read(tmp_path / "out" / "00_first.ipynb", as_version=4).cells
    assert cells[0].source.startswith("# 00 · First\n")
    assert "flatmtl-lite lab" in cells[0].source


def test_a_link_to_a_heading_leads_there(tmp_path):
    (tmp_path / "notebooks").mkdir()
    cell = nbformat.v4.new_markdown_cell("# 01\n\n[glossary](00_start_here.ipynb#Word-List)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "01_next.ipynb")
    (path,) = course_sources(tmp_path / "notebooks", tmp_path / "out")
    assert "(00_start_here.ipynb#word-list)" in nbformat.read(path, as_version=4).cells[0].source


def test_a_folder_without_notebooks_changes_nothing(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(ValueError, match="without a notebook"):
        course_sources(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "kept").exists()


@pytest.mark.parametrize(
    "call",
    ["", "1 +", "print('x')", "lab.nothing()", "lab.rho_instrument(rho=open('x'))", "__import__('os')"]
    + ["lab.__setattr__('a', 1)", "lab.rho_instrument(**{'rho': 0.1})", "lab.ball_instrument(radius=1)"],
)
def test_only_calls_of_instruments_are_opened(call):
    with pytest.raises(ValueError, match="expected the call of an instrument"):
        stage_of(call)
