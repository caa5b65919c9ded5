"""The static site in Chromium without a network: nothing is asked for, sliders show the kernel's numbers."""

import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from flatmtl_lite.lab.publish.site import stage_of

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
DOCS = NOTEBOOKS.parent / "docs"
NAMES = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
TRACES = """stage => [...stage.querySelectorAll('.resting, .moving')].flatMap(plot =>
    plot._fullData.filter(t => t.uid).map(t => [t.uid, [...t.x], [...t.y]]))"""


@pytest.fixture(scope="module")
def website(tmp_path_factory) -> Path:
    """The whole site, built as ``make site`` builds it: a warning is an error."""
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(out)]
    build = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    return out


@pytest.fixture
def offline(browser):
    """A page of a projector's size that has no network, and what went wrong on it."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    wrong = []
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page, wrong
    context.close()


def calls(name: str) -> list[str]:
    """The calls that open the stages of a notebook."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.metadata.flatmtl.call for output in outputs if "flatmtl" in output.get("metadata", {})]


def assert_same_numbers(stage, live) -> None:
    """What plotly has of each trace is what the stage with a kernel draws, some frames later at most."""
    drawn = {trace.uid: np.array([trace.x, trace.y], dtype=float) for trace in live.drawn().data if trace.uid}
    for _ in range(200):
        shown = {uid: np.array([x, y], dtype=float) for uid, x, y in stage.evaluate(TRACES)}
        assert shown.keys() == drawn.keys()
        if all(np.allclose(shown[uid], drawn[uid], rtol=0, atol=1e-6, equal_nan=True) for uid in drawn):
            return
        stage.page.wait_for_timeout(60)
    for uid, points in shown.items():
        np.testing.assert_allclose(points, drawn[uid], rtol=0, atol=1e-6, err_msg=uid)


@pytest.mark.parametrize("name", NAMES)
def test_pages_work_without_kernel_and_network(website, offline, name):
    page, wrong = offline
    page.goto((website / "course" / f"{name}.html").as_uri())
    page.get_by_role("main").wait_for()
    opens = calls(name)
    stages = page.locator(".flatmtl-stage")
    assert stages.count() == len(opens)
    for k, call in enumerate(opens):
        stage, live = stages.nth(k), stage_of(call)
        stage.scroll_into_view_if_needed()
        stage.locator(".moving .js-plotly-plot, .moving.js-plotly-plot").first.wait_for(state="attached")
        slider = stage.get_by_role("slider")
        for key, index in ((None, live.index), ("Home", 0), ("ArrowRight", 1), ("End", len(live.values) - 1)):
            if key:
                slider.focus()
                page.keyboard.press(key)
            live.index = index
            assert stage.locator(".state").text_content() == live.state
            assert_same_numbers(stage, live)
        if len(live.choices) > 1:
            live.choice = len(live.choices) - 1
            stage.locator("select").select_option(live.choices[-1])
            assert_same_numbers(stage, live)
        assert stage.locator("input[type=number]").count() == 0  # a start asks a kernel
    assert wrong == []


def test_the_search_finds_a_method_a_guide_and_the_course(website, offline):
    page, wrong = offline
    page.goto((website / "search.html").as_uri() + "?q=CAGrad")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    places = {results.nth(k).get_attribute("href").split("/")[0] for k in range(results.count())}
    assert places >= {"api", "course", "guides"}
    assert wrong == []


def test_formulas_are_mathml(website):
    text = (website / "course" / "02_sharp_and_flat.html").read_text(encoding="utf-8")
    assert "<math " in text
    assert "MathJax" not in text


def test_api_pages_show_docstrings_with_their_examples(website):
    text = (website / "api" / "core.html").read_text(encoding="utf-8")
    assert "flatmtl_lite.optim.FlatMTL" in text
    assert "Algorithm" in text or "Alg. 1" in text
    assert "&gt;&gt;&gt;" in text
