"""The large picture in a real browser: it fits, nothing overlaps, themes and tools work."""

import itertools
import math

import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.lab.figures.style import DARK, INKS
from flatmtl_lite.lab.instruments.parts.weighing import METHODS
from tests.browser import harness

pytestmark = pytest.mark.browser
# the notebook area of JupyterLab in windows of 1280x720, 1024x768, 1280x720 at 150 %, and 1920x1080
WINDOWS = [(1130, 604), (880, 652), (740, 364), (1780, 964)]
OPENED = {
    "rho": lambda: lab.rho_instrument("valleys"),
    "rho, three tasks": lambda: lab.rho_instrument("triangle"),
    "descent": lab.descent_instrument,
    "rules": lab.rules_instrument,
    "gradients": lab.gradients_instrument,
    "ball": lab.ball_instrument,
    "valley": lambda: lab.valley_instrument(method="SAM, ρ = 0.5"),
}
# the boxes of all texts, and of what must hold them, in pixels of the window
BOXES = """() => {
    const box = ({left, top, right, bottom}) => [left, top, right, bottom];
    const seen = node => {
        const {width, height} = node.getBoundingClientRect();
        return width > 0 && height > 0 && getComputedStyle(node).visibility !== 'hidden';
    };
    const figure = document.querySelector('.flatmtl-stage .figure').getBoundingClientRect();
    const texts = [...document.querySelectorAll('.flatmtl-stage .figure svg text')]
        .filter(node => node.textContent.trim() && seen(node))
        .map(node => [node.textContent, box(node.getBoundingClientRect())])
        .filter(([, [, top]]) => top < figure.bottom - 2); // the others lie behind "more"
    const slider = document.querySelector('.flatmtl-stage input[type=range]').getBoundingClientRect();
    return {texts, figure: box(figure), slider: box(slider)};
}"""
TICK = 5  # at most so many characters


@pytest.fixture
def opened(browser, tmp_path):
    """Open a stage as a page without a kernel; errors on the page fail the test."""
    contexts, wrong = [], []

    def open_page(stage, size, theme="light"):
        file = tmp_path / "stage.html"
        file.write_text(lab.page(stage), encoding="utf-8")
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(viewport=viewport, color_scheme=theme, accept_downloads=True))
        contexts[-1].set_default_timeout(1000 * harness.LIMIT)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.as_uri())
        page.locator(".moving .main-svg").first.wait_for(state="attached")
        assert harness.eventually(page, lambda: page.locator(".moving text, .resting text").count() > 0)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def turn(page, index: int) -> None:
    slider = page.get_by_role("slider")
    slider.evaluate("(e, i) => { e.value = i; e.dispatchEvent(new Event('input', {bubbles: true})); }", index)
    page.wait_for_timeout(200)


def overlap(one, other) -> bool:
    """True if two boxes overlap by more than the rims of their letters."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 3 and down > 0.35 * min(one[3] - one[1], other[3] - other[1])


@pytest.mark.parametrize("name", OPENED)
def test_slider_and_picture_fit_the_window_and_no_text_is_clipped_or_covered(opened, name):
    stage = OPENED[name]()
    page = opened(stage, WINDOWS[0])
    last = len(stage.values) - 1
    for width, height in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(400)
        for index in (0, last // 4, last // 2, last):
            turn(page, index)
            boxes = page.evaluate(BOXES)
            left, top, right, bottom = boxes["figure"]
            place = f"{width}x{height}, position {index}"
            assert boxes["slider"][1] >= 0
            assert bottom <= height + 1, place
            assert bottom - top >= 0.5 * height, place  # it uses the window
            for text, (x0, y0, x1, y1) in boxes["texts"]:
                inside = left - 2 <= x0 and x1 <= right + 2 and top - 2 <= y0 and y1 <= bottom + 2
                assert inside, f"{text!r} is clipped at {place}"
            for (text, one), (other, two) in itertools.combinations(boxes["texts"], 2):
                assert not overlap(one, two), f"{text!r} and {other!r} overlap at {place}"


def test_colours_follow_the_theme_at_once(opened):
    page = opened(lab.rho_instrument("valleys", rho=0.5), (1280, 720), "dark")
    stage = page.locator(".flatmtl-stage")
    color = "() => document.querySelector('.moving')._fullData.find(t => t.uid === 'loss').line.color"
    title = "() => document.querySelector('.moving')._fullData.find(t => t.uid === 'cut-title').text[0]"
    assert stage.get_attribute("data-theme") == "dark"
    assert page.evaluate(color) == DARK["#000000"]
    assert DARK[INKS["#0072B2"]] in page.evaluate(title)
    page.emulate_media(color_scheme="light")
    assert harness.eventually(page, lambda: page.evaluate(color) == "#000000")
    assert stage.get_attribute("data-theme") == "light"


def test_the_landscape_turns_to_3d_and_the_path_lies_on_it(opened):
    page = opened(lab.rho_instrument("valleys"), (1280, 720))
    page.get_by_role("button", name="3-D view").click()
    page.locator(".relief canvas").wait_for()
    path = "() => document.querySelector('.relief').data.filter(t => t.mode === 'lines').at(-1)"
    turn(page, 0)
    before = page.evaluate(path)
    turn(page, 40)
    assert harness.eventually(page, lambda: page.evaluate(path)["x"] != before["x"])
    after = page.evaluate(path)
    flat = page.evaluate("() => document.querySelector('.moving').data.find(t => t.uid === 'path')")
    assert after["x"] == pytest.approx(list(flat["x"].values()) if isinstance(flat["x"], dict) else flat["x"])
    assert min(after["z"]) < -0.8  # it ends low, in a valley
    page.set_viewport_size(dict(width=1920, height=1080))  # another arrangement: everything is drawn again
    width = "() => document.querySelector('.relief').clientWidth"
    assert harness.eventually(page, lambda: page.evaluate(width) > 800)
    assert harness.eventually(page, lambda: page.evaluate(path)["x"] == after["x"])
    page.get_by_label("colour").select_option("task 1")
    page.get_by_role("button", name="3-D view").click()
    assert page.locator(".relief").count() == 0


def test_minima_the_front_and_a_ghost_stand_in_the_3d_view_too(opened):
    page = opened(lab.descent_instrument("ridges", step=40), (1280, 720))
    page.get_by_role("button", name="3-D view").click()
    page.locator(".relief canvas").wait_for()
    texts = "() => document.querySelector('.relief').layout.scene.annotations.map(a => a.text)"
    assert sorted(page.evaluate(texts)) == ["<b>1</b>", "<b>2</b>", "Pareto front"]
    of_lines = "filter(t => t.mode === 'lines').map(t => t.line.dash)"
    lines = f"() => document.querySelector('.relief').data.{of_lines}"
    assert page.evaluate(lines) == ["dot", "solid"]  # the front and the path
    page.get_by_role("slider").press("g")
    assert harness.eventually(page, lambda: page.evaluate(lines) == ["dot", "dot", "solid"])
    page.get_by_role("slider").press("g")
    assert harness.eventually(page, lambda: page.evaluate(lines) == ["dot", "solid"])


def test_panels_below_the_fold_are_drawn_while_they_are_open(opened):
    page = opened(lab.rho_instrument("valleys", rho=0.25), (1280, 720))
    uids = "() => document.querySelector('.moving').data.map(t => t.uid)"
    here = """() => {
        const {x} = document.querySelector('.moving').data.find(t => t.uid === 'within-0-here') ?? {x: []};
        return x[0];
    }"""
    curves = "() => document.querySelector('.resting').data.map(t => t.uid)"
    before, resting = page.evaluate(uids), page.evaluate(curves)
    assert "within-0-here" not in before
    page.get_by_role("slider").press("g")
    turn(page, 40)
    page.get_by_role("slider").press("m")
    assert harness.eventually(page, lambda: page.evaluate(here) == pytest.approx(0.5))
    turn(page, 60)
    assert harness.eventually(page, lambda: page.evaluate(here) == pytest.approx(0.75))
    page.set_viewport_size(dict(width=1300, height=730))  # of the same arrangement
    page.emulate_media(color_scheme="dark")  # everything is drawn again
    assert harness.eventually(page, lambda: page.evaluate(here) == pytest.approx(0.75))
    page.get_by_role("slider").press("m")
    assert harness.eventually(page, lambda: page.evaluate(uids) == before)
    page.get_by_role("slider").press("g")  # the ghost goes, and the curves stay
    assert harness.eventually(page, lambda: page.evaluate(curves) == resting)


def test_the_line_of_text_keeps_its_height(opened):
    stage = lab.rho_instrument("valleys")
    stage.states = [["short"] * 80 + ["a text that takes several lines " * 9]] * len(stage.choices)
    page = opened(stage, WINDOWS[1])
    tops = set()
    for index in (0, 80, 0):
        turn(page, index)
        tops.add(page.locator(".figure").bounding_box()["y"])
    assert len(page.locator(".state").text_content()) == 5
    assert len(tops) == 1


def test_a_text_that_was_empty_is_drawn_when_it_comes(opened):
    def run(answers):
        given = {"test": [50, 50], "sharpness": [0.1, 0.1], "slice": [[1, 1], [0, 0], [1, 1]]}
        return [dict(given, rho=rho, cosine={"loss": 0}, answers=a) for rho, a in zip((0, 0.1), answers)]

    images, classes = torch.zeros(1, 36, 36, dtype=torch.uint8), {"digit": "01", "garment": ["hat", "bag"]}
    answers = [[[[0, 90], [1, 80]]], [[[1, 70], [0, 60]]]]  # right at ρ = 0, wrong at ρ = 0.1
    page = opened(lab.knob_instrument({"run": run(answers)}, images, [[0, 1]], classes), (1280, 720))
    words = "() => [...document.querySelectorAll('.moving text')].map(t => t.textContent.trim())"
    for index, texts in ((0, ("0 90 % ✓", "bag 80 % ✓")), (1, ("1 70 % ✗", "hat 60 % ✗"))) * 2:
        turn(page, index)
        assert harness.eventually(page, lambda texts=texts: set(texts) <= set(page.evaluate(words)))


def test_the_list_of_keys_has_no_key_for_panels_that_are_not_there(opened):
    page = opened(lab.descent_instrument(), (1780, 964))
    page.get_by_role("slider").press("?")
    more = page.locator(".keys dd", has_text="More panels")
    assert page.locator(".keys dd", has_text="Full screen").is_visible()
    assert not more.is_visible()
    page.set_viewport_size(dict(width=880, height=652))  # where some panels lie below the fold
    assert harness.eventually(page, more.is_visible)


def test_arrow_keys_turn_the_3d_view_that_has_the_focus(opened):
    page = opened(lab.rho_instrument("valleys", rho=0.5), (1280, 720))
    page.get_by_role("button", name="3-D view").click()
    page.locator(".relief canvas").wait_for()
    view = page.get_by_role("application", name="3-D view")
    camera = "document.querySelector('.relief')._fullLayout.scene.camera"
    eye = f"() => ['x', 'y', 'z'].map(side => {camera}.eye[side])"
    before, index = page.evaluate(eye), page.locator(".value").text_content()
    view.focus()
    for key in ("ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        assert harness.eventually(page, lambda old=before: page.evaluate(eye) != old)
        after = page.evaluate(eye)
        if key == "ArrowRight":
            assert after[2] == pytest.approx(before[2])  # round the middle, at the same height
            assert math.hypot(*after[:2]) == pytest.approx(math.hypot(*before[:2]))
        else:
            assert after[2] > before[2]
        before = after
    for key in ("ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    for _ in range(20):
        page.keyboard.press("ArrowDown")  # it never goes below the ground
    assert harness.eventually(page, lambda: page.evaluate(eye)[2] < 0)
    assert page.evaluate(eye)[2] > -0.24
    assert page.locator(".value").text_content() == index
    page.keyboard.press("?")
    assert "turn the 3-D view" in page.locator(".keys").text_content()
    page.keyboard.press("3")  # the other keys work from there too
    assert page.locator(".relief").count() == 0
    page.keyboard.press("Home")  # the focus stays in the stage
    assert page.evaluate("() => document.activeElement.type") == "range"


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_full_screen_fills_the_screen(opened, size):
    page = opened(lab.rho_instrument("valleys", rho=0.5), size)
    page.get_by_role("slider").press("f")
    assert harness.eventually(page, lambda: page.evaluate("() => !!document.fullscreenElement"))
    covered = """() => {
        const {top, bottom, width} = document.querySelector('.canvas').getBoundingClientRect();
        return [width / innerWidth, bottom / innerHeight, top / innerHeight];
    }"""
    figure = "() => document.querySelector('.figure').getBoundingClientRect().bottom / innerHeight"
    assert harness.eventually(page, lambda: page.evaluate(covered)[0] > 0.95)
    assert harness.eventually(page, lambda: 0.95 < page.evaluate(figure) <= 1)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_more_brings_its_panels_into_view(opened, motion):
    page = opened(lab.rho_instrument("valleys", rho=0.5), (1130, 604))
    page.emulate_media(reduced_motion=motion)
    asked = []
    page.expose_function("asked", lambda behavior: asked.append(behavior))
    page.evaluate("""() => {
        const scroll = Element.prototype.scrollIntoView;
        Element.prototype.scrollIntoView = function (how) { asked(how.behavior); scroll.call(this, how); };
    }""")
    page.get_by_role("slider").press("m")
    bottom = "() => document.querySelector('.figure').getBoundingClientRect().bottom - innerHeight"
    assert harness.eventually(page, lambda: page.evaluate(bottom) <= 1)
    assert asked == ["auto" if motion == "reduce" else "smooth"]
    page.get_by_role("slider").press("m")  # the stage comes back
    top = "() => document.querySelector('.flatmtl-stage').getBoundingClientRect().top"
    assert harness.eventually(page, lambda: page.evaluate(top) >= -1)
    assert asked == 2 * ["auto" if motion == "reduce" else "smooth"]


def test_a_pinned_state_stays_as_a_ghost(opened):
    page = opened(lab.rho_instrument("valleys", rho=0.25), (1280, 720))
    end = "() => document.querySelector('.moving')._fullData.find(t => t.uid === 'path').x.at(-1)"
    pinned = page.evaluate(end)

    def ghosts() -> list[float]:
        ends = "t => t.line?.dash === 'dot' ? [t.x.at(-1)] : []"
        return page.evaluate(f"() => document.querySelector('.resting')._fullData.flatMap({ends})")

    pin = page.get_by_role("button", name="Pin")
    pin.click()
    turn(page, 60)
    assert harness.eventually(page, lambda: page.evaluate(end) != pinned)
    assert pinned in ghosts()
    page.set_viewport_size(dict(width=1920, height=1080))  # another arrangement: everything is drawn again
    assert harness.eventually(page, lambda: page.evaluate(end) != pinned and pinned in ghosts())
    page.get_by_role("button", name="3-D view").click()
    page.locator(".relief canvas").wait_for()
    page.get_by_role("button", name="3-D view").click()
    assert pin.get_attribute("aria-pressed") == "true"
    pin.click()
    assert harness.eventually(page, lambda: pin.get_attribute("aria-pressed") == "false")
    assert pinned not in ghosts()


@pytest.mark.parametrize(("button", "start"), [("PNG", b"\x89PNG"), ("SVG", b"<svg")])
def test_the_picture_can_be_saved(opened, button, start):
    page = opened(lab.rho_instrument("valleys", rho=0.25), (1280, 720))
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save as {button}").click()
    assert download.value.suggested_filename == f"ρ instrument, ρ = 0.25.{button.lower()}"
    assert download.value.path().read_bytes().startswith(start)


def test_values_stand_under_the_pointer_and_more_shows_the_other_panels(opened):
    page = opened(lab.rho_instrument("valleys"), (1280, 720))
    box = page.locator(".moving").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    readout = page.locator(".readout")
    assert readout.is_visible()
    for word in ("θ₁", "θ₂", "mean loss", "task 1", "task 2"):
        assert word in readout.text_content()
    figure = page.locator(".figure")
    tall = figure.bounding_box()["height"]
    page.get_by_role("button", name="More panels").click()
    assert figure.bounding_box()["height"] > 1.3 * tall
    page.get_by_role("button", name="Keys").click()
    assert "Full screen" in page.locator(".keys").text_content()
    page.get_by_role("slider").press("f")
    assert harness.eventually(page, lambda: page.evaluate("() => !!document.fullscreenElement"))


def test_a_dot_says_its_names_under_the_pointer(opened):
    page = opened(lab.gradients_instrument(((2.0, 0.0), (0.5, 0.87))), (1280, 720))
    place = """(method) => {
        const plot = document.querySelector('.moving');
        const {x, y} = plot.data.find(({uid}) => uid === 'others');
        const {xaxis, yaxis} = plot._fullLayout;
        const box = plot.getBoundingClientRect(), scale = box.width / plot._fullLayout.width;
        return [box.left + scale * (xaxis._offset + xaxis.d2p(x[method])),
                box.top + scale * (yaxis._offset + yaxis.d2p(y[method]))];
    }"""
    readout = page.locator(".readout")
    page.mouse.move(*page.evaluate(place, METHODS.index("mean")))
    assert readout.text_content().startswith("mean, pcgrad, upgrad, gradvac · step in θ₁")
    page.mouse.move(*page.evaluate(place, METHODS.index("aligned_mtl")))
    assert readout.text_content().startswith("aligned_mtl · step in θ₁")


def test_a_pull_to_the_side_turns_the_cone_and_its_ends_meet(opened):
    page = opened(lab.cone_instrument(camera=10), (1280, 720))
    value, box = page.locator(".slider .value"), page.locator(".moving").bounding_box()
    scale = page.evaluate("() => document.querySelector('.moving').getBoundingClientRect().width") / 1180
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300 - 24 * scale, box["y"] + 200)
    assert value.text_content() == "30"
    page.mouse.move(box["x"] + 300 + 24 * scale, box["y"] + 200)
    assert value.text_content() == "350"
    page.mouse.up()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    assert value.text_content() == "350"
