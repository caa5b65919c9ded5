"""The real JupyterLab in a real Chromium, for the tests and for `benchmarks/stage.py`.

A wait ends when the page shows what it waits for. Its limit is for hangs: a slow machine is slow, not red.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 120  # seconds of a wait
REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NO_NEWS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


def find_chromium() -> str | None:
    """Return the path of the browser."""
    paths = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, paths), None)


@contextmanager
def chromium(path: str) -> Iterator:
    """Open a Chromium that draws no window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@contextmanager
def jupyter_lab(home: Path, **environment: str) -> Iterator[str]:
    """Start a JupyterLab with its own settings. It serves a copy of the notebooks from ``home``."""
    shutil.copytree(REPOSITORY / "notebooks", home / "work" / "notebooks")
    shutil.copytree(REPOSITORY / "data", home / "work" / "data")
    folders = ("CONFIG_DIR", "RUNTIME_DIR", "DATA_DIR")
    env = os.environ | {f"JUPYTER_{name}": str(home / name.lower()) for name in folders}
    env |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(REPOSITORY)} | environment
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    for key, folder in (("SETTINGS", "settings"), ("WORKSPACES", "workspaces")):
        env[f"JUPYTERLAB_{key}_DIR"] = str(home / folder)
    for name, values in NO_NEWS.items():
        plugin, setting = name.split(":")
        file = home / "settings" / plugin / f"{setting}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *("--ServerApp.port=0", f"--ServerApp.root_dir={home / 'work'}", "--IdentityProvider.token="),
        *("--ServerApp.password=", "--ServerApp.disable_check_xsrf=True"),
        "--LabApp.extension_manager=readonly",
    ]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            yield _address(server, home)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(LIMIT)


def open_notebook(page, lab_url: str, name: str) -> None:
    """Open a notebook and wait until its kernel is idle."""
    page.goto(f"{lab_url}lab/tree/notebooks/{name}?reset")
    page.wait_for_selector(".jp-Notebook")
    page.wait_for_selector("text=| Idle")


def run_all(page) -> None:
    """Ask for all cells of the open notebook."""
    page.click("li.lm-MenuBar-item:has-text('Run')")
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def wait_until_run(page, limit: float = 5 * LIMIT) -> None:
    """Wait until the last cell has run, at most ``limit`` seconds."""
    # the document holds the prompts of cells out of sight too; a folded cell shows an empty one
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                .filter(p => !p.closest('.jp-Placeholder'))
                .map(p => p.textContent.trim());
            return prompts.length && prompts.every(p => /^\\[\\d+\\]:$/.test(p));
        }""",
        timeout=1000 * limit,
        polling=200,
    )


def eventually(page, holds: Callable[[], bool]) -> bool:
    """Wait until the function holds: plotly draws some frames later, and a busy machine later still."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if holds():
            return True
        page.wait_for_timeout(30)
    return False


def _address(server: subprocess.Popen, home: Path) -> str:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        for file in (home / "runtime_dir").glob("jpserver-*.json"):
            try:
                return json.loads(file.read_text())["url"]
            except json.JSONDecodeError:
                break  # half-written
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{(home / 'log').read_text()[-3000:]}")
