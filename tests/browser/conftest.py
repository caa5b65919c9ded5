"""Fixtures around the harness: one JupyterLab and one Chromium per session."""

import os

import pytest

from tests.browser import harness

PROJECTOR = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Without one the tests are skipped; in CI they fail."""
    if path := harness.find_chromium():
        return path
    message = "no Chromium or Chrome on the PATH; install one to run the browser tests"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def lab_url(tmp_path_factory, chromium) -> str:
    """Address of a JupyterLab outside of CI, so that predictions lock its sliders."""
    with harness.jupyter_lab(tmp_path_factory.mktemp("jupyter"), FLATMTL_FAST="1", CI="") as url:
        yield url


@pytest.fixture(scope="session")
def browser(chromium):
    """One Chromium for the session."""
    with harness.chromium(chromium) as browser:
        yield browser


@pytest.fixture(scope="session")
def window(browser):
    """One window for the session: its pages share what JupyterLab has loaded."""
    context = browser.new_context(viewport=PROJECTOR)
    context.set_default_timeout(1000 * harness.LIMIT)
    yield context
    context.close()


@pytest.fixture
def page(window):
    """A fresh page of the window."""
    page = window.new_page()
    yield page
    page.close()


@pytest.fixture
def run_notebook(page, lab_url):
    """Open a notebook, run all its cells, and wait until the last one has run."""

    def run(name: str) -> None:
        harness.open_notebook(page, lab_url, name)
        harness.run_all(page)
        harness.wait_until_run(page)

    return run
