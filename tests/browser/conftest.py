"""Fixtures around the harness: one JupyterLab and one Chromium a session."""

import os

import pytest

from tests.browser import harness


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; without one the tests are skipped, in CI they fail."""
    if found := harness.find_chromium():
        return found
    message = "no Chromium or Chrome on the PATH; install one to run the browser tests"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def lab_url(tmp_path_factory, chromium) -> str:
    """Address of a JupyterLab; in it predictions lock the sliders, which in CI they would not."""
    with harness.jupyter_lab(tmp_path_factory.mktemp("jupyter"), FLATMTL_FAST="1", CI="") as url:
        yield url


@pytest.fixture(scope="session")
def browser(chromium):
    """One Chromium for the session."""
    with harness.chromium(chromium) as browser:
        yield browser


@pytest.fixture
def page(browser):
    """A fresh page of a projector's size."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()


@pytest.fixture
def run_notebook(page, lab_url):
    """Open a notebook, run all its cells, and wait until the last one has run."""

    def run(name: str, timeout: float) -> None:
        harness.open_notebook(page, lab_url, name)
        harness.run_all(page)
        harness.wait_until_run(page, timeout)

    return run
