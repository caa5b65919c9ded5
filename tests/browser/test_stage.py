"""The stage under a learner's hands: keys, mouse, a prediction, an exercise; with a kernel and without."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.rho import FLAT_DESCENTS
from flatmtl_lite.toy import PROBLEMS, Method, descend
from tests.browser import harness

pytestmark = pytest.mark.browser

TRACE = """uid => {
    const plots = document.querySelector('.flatmtl-stage').querySelectorAll('.js-plotly-plot');
    const trace = [...plots].flatMap(plot => plot._fullData).find(trace => trace.uid === uid);
    return [...trace.x].map((x, k) => [x, trace.y[k]]);
}"""


def drawn(page, uid: str) -> torch.Tensor:
    """The points of a trace of the first stage, as plotly has them."""
    return torch.tensor(page.evaluate(TRACE, uid), dtype=torch.float64)


def path_of(problem: str, start: list[float], rho: float, method: Method) -> torch.Tensor:
    return descend(PROBLEMS[problem], torch.tensor(start, dtype=torch.float64), rho, [method])[0]


def shows(page, uid: str, points: torch.Tensor) -> None:
    """Wait until a trace has these points."""
    near = {"rtol": 0, "atol": 1e-6, "equal_nan": True}

    def same() -> bool:
        now = drawn(page, uid)
        return now.shape == points.shape and torch.allclose(now, points, **near)

    if not harness.eventually(page, same):
        torch.testing.assert_close(drawn(page, uid), points, **near)


def test_two_predicts_turns_drags_and_solves(run_notebook, page):
    run_notebook("02_sharp_and_flat.ipynb")
    stage = page.locator(".flatmtl-stage").first
    slider, state = stage.get_by_role("slider", name="ρ"), stage.locator(".state")
    stage.scroll_into_view_if_needed()  # a stage out of sight is not drawn
    stage.locator(".moving .js-line").first.wait_for(state="attached")

    # locked until the prediction is recorded, by the keyboard alone
    assert slider.is_disabled()
    prediction = page.locator(".flatmtl-prediction").first
    prediction.get_by_role("radio").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert prediction.get_by_label("changes over to the flat valley").is_checked()
    assert slider.is_disabled()  # nothing says yet how sure the learner is: Enter has gone there
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_function("() => !document.querySelector('.flatmtl-stage input').disabled")
    assert "Recorded: changes over to the flat valley" in prediction.get_by_role("status").text_content()
    assert prediction.get_by_label("80%").is_checked()
    has_focus = "node => node === document.activeElement"
    again = prediction.get_by_role("button", name="Predict again")
    assert again.evaluate(has_focus)
    again.press("Enter")
    assert prediction.get_by_label("changes over").evaluate(has_focus)
    assert prediction.get_by_role("button", name="Record my prediction").is_enabled()

    # the keyboard moves ρ, and what is drawn is the core's own
    before = stage.locator(".moving .js-line").first.get_attribute("d")
    slider.focus()
    for _ in range(33):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.flatmtl-stage .value').textContent === '0.4125'")
    assert slider.get_attribute("aria-valuetext") == "0.4125"
    assert "ρ = 0.4125: loss parts" in state.text_content()
    start = list(PROBLEMS["valleys"].starts[0])
    method = FLAT_DESCENTS["mean, ε per task"]()
    shows(page, "path", path_of("valleys", start, 0.4125, method))
    assert stage.locator(".moving .js-line").first.get_attribute("d") != before

    # dragging the start asks the kernel for a new table
    box = page.evaluate(
        """() => {
            const plot = document.querySelector('.flatmtl-stage .moving');
            plot.closest('.figure').scrollIntoView({block: 'center'});
            const {left, top, width} = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
            const scale = width / plot._fullLayout.width;
            const place = (x, y) => [
                left + scale * (xaxis._offset + xaxis.d2p(x)), top + scale * (yaxis._offset + yaxis.d2p(y))
            ];
            return {from: place(-1.1, 1.2), to: place(0.5, 1.0)};
        }"""
    )
    page.mouse.move(*box["from"])
    page.mouse.down()
    page.mouse.move(*box["to"], steps=6)
    page.mouse.up()
    moved = [float(stage.get_by_label(f"start {axis}").input_value()) for axis in "xy"]
    assert moved == pytest.approx([0.5, 1.0], abs=0.02)
    shows(page, "path", path_of("valleys", moved, 0.4125, method))

    # the state can be copied, and one call opens it again
    stage.get_by_role("button", name="Copy this state").click()
    recipe = stage.locator(".recipe").text_content()
    again = eval(recipe, {"lab": lab})
    assert (again.index, again.points) == (33, [moved])

    # the colour and the 3-D view too
    stage.get_by_label("colour").select_option("task 2")
    solid = stage.get_by_role("button", name="3-D view")
    solid.click()
    stage.get_by_role("button", name="Copy this state").click()
    again = eval(stage.locator(".recipe").text_content(), {"lab": lab})
    assert (again.view, again.solid, again.points) == ("task 2", True, [moved])
    solid.click()

    # typed coordinates count on Enter, and are not overwritten under the fingers
    y = stage.get_by_label("start y")
    y.fill("99")
    assert y.input_value() == "99"
    y.press("Enter")
    assert y.input_value() == "2"  # the upper end of the picture
    shows(page, "path", path_of("valleys", [moved[0], 2.0], 0.4125, method))
    y.fill(str(moved[1]))
    y.press("Enter")
    shows(page, "path", path_of("valleys", moved, 0.4125, method))

    # another method: its table is in the page or comes from the kernel
    stage.get_by_label("method").select_option("PCGrad, decomposed")
    shows(page, "path", path_of("valleys", moved, 0.4125, FLAT_DESCENTS["PCGrad, decomposed"]()))

    # an exercise, from missing through a classic mistake to right
    feedback = page.locator("[role=status] b")
    assert feedback.first.text_content() == "… missing"
    for body, verdict in (
        ("rho * g", "◑ almost"),
        ("rho * g / g.norm() if g.norm() > 0 else g", "✓ correct"),
    ):
        cell = page.locator(".jp-CodeCell", has_text="def perturbation(g, rho):")
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(f"def perturbation(g, rho):\n    return {body}")
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(
            "verdict => document.querySelector('[role=status] b').textContent === verdict",
            arg=verdict,
        )


HANDLES = """() => {
    const plots = [...document.querySelectorAll('.flatmtl-stage .js-plotly-plot')].slice(0, 3);
    plots[2].closest('.figure').scrollIntoView({block: 'center'});
    const {left, top, width} = plots[2].getBoundingClientRect(), {xaxis, yaxis} = plots[2]._fullLayout;
    const scale = width / plots[2]._fullLayout.width;
    const place = (x, y) => [
        left + scale * (xaxis._offset + xaxis.d2p(x)), top + scale * (yaxis._offset + yaxis.d2p(y))
    ];
    const handle = k => plots.flatMap(plot => plot._fullData).find(trace => trace.uid === `point-${k}`);
    return {at: [0, 1].map(k => place(handle(k).x[0], handle(k).y[0])), to: place(-1, -1)};
}"""


DIRECTION_IS = """([x, y]) => {
    const trace = document.querySelector('.flatmtl-stage .moving')._fullData.find(t => t.uid === 'direction');
    return Math.hypot(trace.x[1] - x, trace.y[1] - y) < 1e-6;
}"""


def test_four_drags_two_gradients(run_notebook, page):
    run_notebook("instructor/04_aggregators.ipynb")
    stage = page.locator(".flatmtl-stage").first
    stage.scroll_into_view_if_needed()
    stage.locator(".moving .js-line").first.wait_for(state="attached")
    page.get_by_label("only above 120°").first.check()
    page.get_by_label("80%").first.check()
    page.get_by_role("button", name="Record my prediction").first.click()
    page.wait_for_function("() => !document.querySelector('.flatmtl-stage input').disabled")
    page.get_by_text("Recorded: only above").wait_for()  # that line moves the stage down
    assert "60° apart" in stage.locator(".state").text_content()

    def points() -> list[list[float]]:
        labels = [[f"task {k} {axis}" for axis in "xy"] for k in (1, 2)]
        return [[float(stage.get_by_label(label).input_value()) for label in pair] for pair in labels]

    def mean_is_drawn() -> bool:
        d = fm.Mean()(torch.tensor(points(), dtype=torch.float64))
        return page.evaluate(DIRECTION_IS, d.tolist())

    # task 2's tip rides on the slider: pulled, it sends the slider back to 0 and is where it was let go
    box = page.evaluate(HANDLES)
    page.mouse.move(*box["at"][1])
    page.mouse.down()
    page.mouse.move(*box["to"], steps=6)
    page.mouse.up()
    assert harness.eventually(page, lambda: points()[1] == pytest.approx([-1, -1], abs=0.03))
    assert points()[0] == [2, 0]
    assert stage.locator(".value").text_content() == "0"
    assert harness.eventually(page, mean_is_drawn)  # on a busy machine the last move may still be on its way

    # task 1's rests; pulled from near its place it moves alone, and from far away nothing does
    moved = points()[1]
    box = page.evaluate(HANDLES)
    x, y = box["at"][0]
    page.mouse.move(x - 12, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 40, steps=4)
    page.mouse.up()
    one = points()[0]
    assert one[0] < 2
    assert one[1] > 0
    assert points()[1] == moved
    page.mouse.move(x - 120, y - 100)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    assert points() == [one, moved]

    # every coordinate can be typed, and the state copied
    field = stage.get_by_label("task 1 y")
    field.fill("1.5")
    field.press("Enter")
    assert points() == [[one[0], 1.5], moved]
    assert harness.eventually(page, mean_is_drawn)
    stage.get_by_role("button", name="Copy this state").click()
    again = eval(stage.locator(".recipe").text_content(), {"lab": lab})
    assert again.points == [[one[0], 1.5], moved]
    assert again.state == stage.locator(".state").text_content()


def test_a_page_of_its_own_needs_no_kernel_and_no_network(page, tmp_path):
    stage = lab.rho_instrument("triangle", rho=0.25, method="PCGrad, direct")
    file = tmp_path / "stage.html"
    file.write_text(lab.page(stage), encoding="utf-8")
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.locator(".moving .js-line").first.wait_for(state="attached")
    slider = page.get_by_role("slider", name="ρ")
    start, tasks = list(PROBLEMS["triangle"].starts[0]), PROBLEMS["triangle"].tasks
    for key, rho in (("ArrowRight", 0.2625), ("End", 1.0), ("Home", 0.0), ("PageUp", None)):
        slider.focus()
        page.keyboard.press(key)
        rho = float(page.locator(".value").text_content()) if rho is None else rho
        assert page.locator(".value").text_content() == f"{rho:.4g}"
        method = FLAT_DESCENTS["PCGrad, direct"]()
        shows(page, "path", path_of("triangle", start, rho, method))
        stars = torch.stack([drawn(page, f"look-{k}")[2] for k in range(tasks)])
        lengths = (stars - torch.tensor(start)).norm(dim=-1)
        within = lengths[lengths.isfinite()].tolist()  # the others look beyond the map
        assert within == pytest.approx([rho] * len(within), abs=1e-6)
        assert len(within) == tasks or rho > 0.5
    page.get_by_label("method").select_option("PCGrad, decomposed")
    decomposed = FLAT_DESCENTS["PCGrad, decomposed"]  # each draws the same orders
    shows(page, "path", path_of("triangle", start, rho, decomposed()))
    # angles that do not exist at ρ = 0 are left out
    slider.focus()
    page.keyboard.press("Home")
    shows(page, "path", path_of("triangle", start, 0.0, decomposed()))
    assert drawn(page, "between-loss-here")[:6:2, 1].isnan().tolist() == [False, True, False]
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    # controls that would need a kernel are not there
    assert page.get_by_label("start x").count() == 0
