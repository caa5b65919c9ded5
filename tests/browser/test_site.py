"""The static site in Chromium without a network: it asks for nothing, and sliders show the right numbers."""

import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest
from sphinx.cmd.build import main as sphinx

from flatmtl_lite.lab.publish import site
from tests.browser import harness

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
DOCS = NOTEBOOKS.parent / "docs"
NAMES = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
TRACES = """stage => [...stage.querySelectorAll('.resting, .moving')].flatMap(plot =>
    plot._fullData.filter(t => t.uid).map(t => [t.uid, [...t.x], [...t.y]]))"""


@pytest.fixture(scope="module")
def website(tmp_path_factory):
    """The site as ``make site`` builds it, and its stages by their calls; a warning is an error."""
    out, stages = tmp_path_factory.mktemp("site") / "site", {}
    stage_of = site.stage_of
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Sphinx and its extensions
        patch.setattr(site, "stage_of", lambda call: stages.setdefault(call, stage_of(call)))
        assert sphinx(["-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(out)]) == 0
    return out, stages


@pytest.fixture(scope="module")
def offline(browser):
    """A page without a network, and the list of errors on it."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    context.set_default_timeout(1000 * harness.LIMIT)
    page = context.new_page()
    errors = []
    page.on("request", lambda r: errors.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.on("requestfailed", lambda request: errors.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page, errors
    context.close()


def calls(name: str) -> list[str]:
    """The calls that open the stages of a notebook."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    marks = [output.get("metadata", {}).get("flatmtl", {}) for output in outputs]
    return [mark["call"] for mark in marks if "call" in mark]


def assert_same_numbers(stage, live) -> None:
    """Wait until plotly draws the points that the stage with a kernel draws.

    The place of a name depends on the arrangement, so it counts only whether there is one.
    """
    traces = [trace for trace in live.drawn().data if trace.uid and trace.visible is not False]
    names = {trace.uid for trace in traces if "things" in (trace.meta or {})}

    def points(uid, x, y):
        both = np.array([x, y], dtype=float)
        return np.isnan(both).astype(float) if uid in names else both

    drawn = {trace.uid: points(trace.uid, trace.x, trace.y) for trace in traces}
    shown = {}

    def same() -> bool:
        shown.update({uid: points(uid, x, y) for uid, x, y in stage.evaluate(TRACES)})
        near = dict(rtol=0, atol=1e-6, equal_nan=True)
        return shown.keys() == drawn.keys() and all(
            np.allclose(shown[uid], drawn[uid], **near) for uid in drawn
        )

    if not harness.eventually(stage.page, same):
        assert shown.keys() == drawn.keys()
        for uid, points in shown.items():
            np.testing.assert_allclose(points, drawn[uid], rtol=0, atol=1e-6, err_msg=uid)


@pytest.mark.parametrize("name", NAMES)
def test_pages_work_without_kernel_and_network(website, offline, name):
    page, errors = offline
    folder, live_stages = website
    page.goto((folder / "course" / f"{name}.html").as_uri())
    page.get_by_role("main").wait_for()
    opens = calls(name)
    stages = page.locator(".flatmtl-stage")
    assert stages.count() == len(opens)
    for k, call in enumerate(opens):
        stage, live = stages.nth(k), live_stages[call]
        stage.scroll_into_view_if_needed()
        stage.locator(".moving .js-plotly-plot, .moving.js-plotly-plot").first.wait_for(state="attached")
        more = stage.get_by_role("button", name="More panels")
        if more.is_visible():
            more.click()  # what is not seen is not drawn
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
            stage.locator(".choice select").select_option(live.choices[-1])
            assert_same_numbers(stage, live)
        assert stage.locator("input[type=number]").count() == 0  # a start asks a kernel
    assert errors == []


def test_the_search_finds_a_method_in_course_guides_and_api(website, offline):
    page, errors = offline
    page.goto((website[0] / "search.html").as_uri() + "?q=CAGrad")
    results = page.locator("#search-results li a")

    def places() -> set[str]:  # the results appear one after another
        return {results.nth(k).get_attribute("href").split("/")[0] for k in range(results.count())}

    assert harness.eventually(page, lambda: places() >= {"api", "course", "guides"})
    assert errors == []


def test_formulas_need_no_script(website):
    text = (website[0] / "course" / "02_sharp_and_flat.html").read_text(encoding="utf-8")
    assert "<math " in text
    assert "MathJax" not in text


def test_api_pages_show_docstrings_with_their_examples(website):
    text = (website[0] / "api" / "core.html").read_text(encoding="utf-8")
    assert 'id="flatmtl_lite.optim.FlatMTL"' in text
    assert "&gt;&gt;&gt;" in text
