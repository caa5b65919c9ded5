"""From a key press to the finished redraw, in the real JupyterLab. ``python -m benchmarks.stage``.

Thirty presses each: in notebook 02 the start (the kernel answers) and the method, then the slider of every
instrument of the course (the table lies in the page), in a window of 1280x720, in full screen at 1920x1080,
and where there is a 3-D view, in that view too. A redraw is finished when the frame that shows it has been
painted. Then the pictures per second of "play", and what the kernel needs for a new start.
"""

import datetime
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from flatmtl_lite import MGDA, CAGrad, Mean, PCGrad, lab
from flatmtl_lite.lab.instruments.rho import FLAT_DESCENTS
from flatmtl_lite.toy import PROBLEMS, Method, descend
from tests.browser import harness

PRESSES = 30
WINDOW, SCREEN = {"width": 1280, "height": 720}, {"width": 1920, "height": 1080}
# until the line of text says something else: it changes in the same turn as the figure
WATCH = """stage => {
    const state = stage.querySelector('.state');
    window.waits = [];
    let pressed = 0, said = state.textContent;
    for (const event of ['keydown', 'input'])
        stage.addEventListener(event, () => { pressed ||= performance.now(); }, {capture: true});
    new MutationObserver(() => {
        if (!pressed || state.textContent === said || state.textContent === 'computing …') return;
        said = state.textContent;
        const start = pressed;
        pressed = 0;
        requestAnimationFrame(() => setTimeout(() => window.waits.push(performance.now() - start)));
    }).observe(state, {childList: true, characterData: true, subtree: true});
}"""


def milliseconds(waits: list[float]) -> str:
    quantiles = statistics.quantiles(waits, n=20)
    return f"median {statistics.median(waits):4.0f}, p95 {quantiles[-1]:4.0f}, least {min(waits):4.0f} ms"


def presses(page, press) -> list[float]:
    """Milliseconds of each of the presses, one after the other, after six that load every method."""
    for k in range(PRESSES + 6):
        before = page.evaluate("() => window.waits.length")
        press(k)
        page.wait_for_function("n => window.waits.length > n", arg=before, timeout=20_000)
        page.wait_for_timeout(120)
    return page.evaluate("() => window.waits")[-PRESSES:]


def in_the_browser() -> None:
    """Print the waits of a learner."""
    path = harness.find_chromium()
    if path is None:
        raise SystemExit("no Chromium or Chrome on the PATH; install one to measure the stage")
    with (
        tempfile.TemporaryDirectory() as home,
        harness.jupyter_lab(Path(home), CI="true", FLATMTL_FAST="1") as url,
        harness.chromium(path) as browser,
    ):
        page = browser.new_page(viewport=WINDOW)
        harness.open_notebook(page, url, "02_sharp_and_flat.ipynb")
        start = time.perf_counter()
        harness.run_all(page)
        page.wait_for_selector(".flatmtl-stage", state="attached", timeout=60_000)
        page.locator(".flatmtl-stage").first.scroll_into_view_if_needed()
        page.wait_for_selector(".flatmtl-stage .moving .js-line", state="attached", timeout=60_000)
        print(f"Run All to first plot: {time.perf_counter() - start:.1f} s")
        harness.wait_until_run(page, 120)
        stage = page.locator(".flatmtl-stage").first
        stage.scroll_into_view_if_needed()
        page.wait_for_timeout(3000)  # the tables of the other methods
        stage.evaluate(WATCH)
        x = stage.get_by_label("start x")
        x.focus()
        waits = presses(page, lambda k: page.keyboard.press("ArrowUp" if k % 2 else "ArrowDown"))
        print(f"start, the kernel answers:     {milliseconds(waits)}")
        page.wait_for_timeout(3000)
        for _ in range(40):  # at ρ = 0 all methods say the same
            stage.get_by_role("slider").press("ArrowRight")
        page.wait_for_timeout(500)
        stage.evaluate(WATCH)
        names = list(FLAT_DESCENTS)[:-1]  # from this start decomposed PCGrad says the same as direct
        method = stage.get_by_label("method")
        waits = presses(page, lambda k: method.select_option(names[k % len(names)]))
        print(f"method, table in the page:     {milliseconds(waits)}\n")
        for notebook in sorted(harness.REPOSITORY.glob("notebooks/*.ipynb")):
            if "_instrument(" in notebook.read_text():
                sliders(browser, url, notebook.name)


def sliders(browser, url: str, notebook: str) -> None:
    """Print the waits of each slider of a notebook, its table in the page."""
    page = browser.new_page(viewport=WINDOW)
    harness.open_notebook(page, url, notebook)
    harness.run_all(page)
    harness.wait_until_run(page, 600)
    page.wait_for_timeout(3000)
    seen = set()
    for stage in page.locator(".flatmtl-stage").all():
        stage.scroll_into_view_if_needed()
        title = stage.get_attribute("aria-label")
        if title in seen:
            continue
        seen.add(title)
        stage.locator(".moving .main-svg").first.wait_for(state="attached", timeout=30_000)
        page.wait_for_timeout(1000)
        name = f"{notebook[:2]} {title:<22}"
        print(
            f"{name} 1280x720    {milliseconds(slid(page, stage))}; play {played(page, stage):.0f} a second"
        )
        solid = stage.get_by_role("button", name="3-D view")
        if solid.count():
            solid.click()
            page.wait_for_timeout(2000)
            print(f"{name} in 3-D      {milliseconds(slid(page, stage))}")
            solid.click()
        page.set_viewport_size(SCREEN)
        stage.get_by_role("slider").press("f")
        page.wait_for_timeout(2000)
        print(f"{name} full screen {milliseconds(slid(page, stage))}", flush=True)
        page.keyboard.press("f")
        page.set_viewport_size(WINDOW)
        page.wait_for_timeout(1000)
    page.close()


def slid(page, stage) -> list[float]:
    """Milliseconds of each press of an arrow key on a stage's slider, to its end and back."""
    stage.evaluate(WATCH)
    slider, keys = stage.get_by_role("slider"), ("ArrowRight", "ArrowLeft")
    slider.focus()
    page.keyboard.press("Home")
    turns = int(slider.get_attribute("max"))
    return presses(page, lambda k: page.keyboard.press(keys[k // turns % 2]))


def played(page, stage) -> float:
    """Pictures per second while "play" sweeps the slider."""
    stage.get_by_role("slider").press("Home")
    stage.evaluate(WATCH.replace("!pressed || ", ""))
    play = stage.get_by_role("button", name="Play or pause")
    start = time.perf_counter()
    play.click()
    page.wait_for_function("b => b.getAttribute('aria-pressed') === 'false'", arg=play.element_handle())
    return page.evaluate("() => window.waits.length") / (time.perf_counter() - start)


def in_the_kernel() -> None:
    """Print what a new start costs in Python."""
    torch.set_num_threads(1)
    rhos = torch.linspace(0, 1, 81, dtype=torch.float64)
    start = torch.tensor(PROBLEMS["valleys"].starts[0], dtype=torch.float64)
    for name, make in FLAT_DESCENTS.items():
        times = []
        for _ in range(15):
            begin = time.perf_counter()
            descend(PROBLEMS["valleys"], start, rhos, [make()], steps=60)
            times.append(1000 * (time.perf_counter() - begin))
        print(f"81 radii x 60 steps, {name:<20} {statistics.median(times):4.0f} ms")
    starts = torch.rand(100, 2, dtype=torch.float64, generator=torch.manual_seed(0)) * 4 - 2
    for A in (PCGrad, MGDA, CAGrad):
        methods = [Method(Mean(), "erm"), Method(Mean(), "direct")]
        methods += [Method(A(), rule) for rule in ("erm", "direct", "decomposed", "second")]
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            descend(PROBLEMS["valleys"], starts, 0.4, methods, steps=200)
            times.append(1000 * (time.perf_counter() - begin))
        print(f"100 starts x 6 methods x 200 steps, {A.__name__:<7} {statistics.median(times):4.0f} ms")
    for make in (lab.rho_instrument, lab.descent_instrument, lab.ball_instrument):
        stage, times = make(), []
        for k in range(15):
            begin = time.perf_counter()
            ((x, y),) = stage.points
            stage.points = [[x + (0.1 if k % 2 else -0.1), y]]
            times.append(1000 * (time.perf_counter() - begin))
        print(f"{make.__name__}, a new point:   {statistics.median(times):4.0f} ms")


if __name__ == "__main__":
    print(
        f"{datetime.date.today()}, {platform.machine()} CPU, {PRESSES} presses each, Chromium without GPU\n"
    )
    in_the_browser()
    print()
    in_the_kernel()
