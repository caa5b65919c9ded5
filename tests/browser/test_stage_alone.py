"""stage.js on a blank page: a model without a kernel, and a plotting library that only notes its calls."""

import pytest
import torch
from plotly.graph_objects import Figure

from flatmtl_lite.lab import Stage, Table
from flatmtl_lite.lab.stage.page import stage_js

pytestmark = pytest.mark.browser

MOCK = """
class Model {
    constructor(changed = {}) {
        Object.assign(this, {state: {...given, ...changed}, reactions: {}, saves: 0, asked: 0});
        this.state.tables = this.state.tables.map(numbers => new DataView(new Float64Array(numbers).buffer));
    }
    get(name) { return this.state[name]; }
    set(name, value) { this.state[name] = value; this.tell(`change:${name}`); }
    on(event, react) { (this.reactions[event] ??= []).push(react); }
    off(event, react) { this.reactions[event] = this.reactions[event].filter(other => other !== react); }
    tell(event, ...news) { for (const react of this.reactions[event] ?? []) react(...news); }
    save_changes() { this.saves++; }
    send() { this.asked++; }
    get listeners() { return Object.values(this.reactions).flat().length; }
}
function open(model) {
    const el = document.body.appendChild(document.createElement('div'));
    const stop = flatmtlStage.render({model, el});
    return {model, el, stop, drawn: () => el.querySelectorAll('.drawn').length};
}
const library = {
    async newPlot(plot, data) {
        Object.assign(plot, {data, layout: {}, _fullData: data, _fullLayout: {_subplots: {cartesian: []}}});
        plot.classList.add('drawn');
        await window.hold;
    },
    purge: plot => plot.classList.remove('drawn'),
    animate: async () => {},
    relayout: async () => {},
    restyle: async () => {},
    deleteTraces: async () => {},
    addTraces: async () => {},
};
const carried = new DataView(new TextEncoder().encode('window.Plotly = library').buffer);
const pause = () => new Promise(resolve => setTimeout(resolve, 100));
// the limit is for hangs: a busy machine may take its time over a frame
const until = async holds => {
    for (let k = 0; k < 4000 && !holds(); k++) await new Promise(resolve => setTimeout(resolve, 30));
};
"""


# a stage with many slider positions
LONG = """() => {
    const values = [...Array(81).keys()].map(String), tables = [Array(4 + 81 * 4).fill(0), []];
    window.stage = open(new Model({plotly_js: carried, values, states: [values, []], tables}));
}"""


@pytest.fixture
def blank(page):
    """A page with stage.js, a model ``Model`` of a stage with two choices, and what goes wrong on it."""
    figure = Figure(layout=dict(xaxis_range=[-5, 5], yaxis_range=[-2, 2]))
    figure.add_scatter(uid="line")
    figure.add_scatter(uid="point-0")
    options = dict(title="Test", label="ρ", values=["0", "1"], choices=["near", "far"])
    table = Table({"line": torch.ones(2, 2, 2)}, ["first", "second"])
    stage = Stage(figure, lambda choice, point: table, points={"start": (1, 2)}, **options)
    given = {name: getattr(stage, name) for name in Stage.class_own_traits(sync=True)}
    given |= {"plotly_js": None, "tables": [[1.0] * 10, []]}
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.evaluate("given => { window.given = given; }", given)
    page.add_script_tag(content=stage_js() + MOCK)
    yield page
    assert wrong == []


def test_a_dead_kernel_keeps_no_other_stage_from_plotly(blank):
    run = """async () => {
        const [gone, dead, living] = [open(new Model()), open(new Model()), open(new Model())];
        gone.stop();
        const without = [gone, dead, living].map(stage => stage.model.asked);
        living.model.tell('msg:custom', 'plotly', [carried]);
        await until(() => dead.drawn() + living.drawn() === 6);
        const left = [gone, dead, living].map(stage => stage.model.reactions['msg:custom'].length);
        return {without, left, drawn: [gone, dead, living].map(stage => stage.drawn())};
    }"""
    assert blank.evaluate(run) == {"without": [1, 1, 1], "left": [0, 0, 0], "drawn": [0, 3, 3]}


def test_plotly_that_came_from_elsewhere_serves_a_waiting_stage_too(blank):
    run = """async () => {
        const stage = open(new Model());
        window.Plotly = library;  // a figure of the notebook has loaded it
        stage.model.tell('msg:custom', 'plotly', [carried]);
        await until(() => stage.drawn() === 3);
        return stage.drawn();
    }"""
    assert blank.evaluate(run) == 3


def test_a_model_that_carries_plotly_serves_those_that_wait(blank):
    run = """async () => {
        const stages = [open(new Model()), open(new Model({plotly_js: carried}))];
        await until(() => stages.every(stage => stage.drawn() === 3));
        return [stages.map(stage => stage.drawn()), stages[1].model.asked];
    }"""
    assert blank.evaluate(run) == [[3, 3], 0]


def test_a_typed_point_asks_the_kernel_once_and_out_of_range_is_answered(blank):
    blank.clock.install()
    blank.evaluate("() => { window.stage = open(new Model({plotly_js: carried})); }")
    field, note = blank.get_by_label("start y"), blank.locator(".lock")
    for typed, at, saves, said in (
        ("2", 2, 0, ""),
        ("9", 2, 0, "Got 9; expected a number from −2 to 2. Took 2."),
        ("1.5", 1.5, 1, "not answered"),
    ):
        field.fill(typed)
        field.press("Enter")
        blank.clock.run_for(5000)
        assert blank.evaluate("[stage.model.get('points'), stage.model.saves]") == [[[1, at]], saves]
        assert said in note.text_content()
        assert note.is_visible() is bool(said)


def test_without_a_kernel_a_point_stays_and_the_stage_says_why_at_once(blank):
    run = """() => {
        const model = new Model({plotly_js: carried});
        const statusChanged = {connect: react => (window.tell = react), disconnect: () => {}};
        model.widget_manager = {kernel: {statusChanged}};
        window.stage = open(model);
        tell(null, 'busy');
        tell(null, 'restarting');
        tell(null, 'idle');
    }"""
    blank.evaluate(run)
    field = blank.get_by_label("start y")
    field.fill("1.5")
    field.press("Enter")
    assert "kernel of this cell is gone. Run the cell again." in blank.locator(".lock").text_content()
    assert field.input_value() == "2"
    assert blank.evaluate("[stage.model.get('points'), stage.model.saves]") == [[[1, 2]], 0]
    blank.get_by_label("method").select_option("far")  # its table is not in the page
    assert blank.get_by_label("method").input_value() == "near"
    blank.get_by_role("slider").press("ArrowRight")  # the table of the slider is
    assert blank.locator(".state").text_content() == "second"
    assert not blank.locator(".lock").is_visible()


def test_a_handle_that_rides_on_the_slider_never_leaves_an_old_line_under_it(blank):
    run = """() => {
        const stage = open(new Model({plotly_js: carried, moving: [[0, 2], [1, 1]], resting: [], index: 1}));
        const field = stage.el.querySelector('input[type=number]');
        field.value = 3;
        field.dispatchEvent(new Event('change'));
        const line = () => ['.value', '.state'].map(name => stage.el.querySelector(name).textContent);
        const during = line();
        return until(() => stage.drawn() === 3).then(() => {
            stage.model.set('tables', stage.model.get('tables'));
            return [during, line()];
        });
    }"""
    assert blank.evaluate(run) == [["0", "computing …"], ["0", "first"]]


def test_undo_redo_and_reset(blank):
    blank.clock.install()
    blank.evaluate("() => { window.stage = open(new Model({plotly_js: carried})); }")
    blank.locator(".moving.drawn").wait_for(state="attached")
    slider, value = blank.get_by_role("slider"), blank.locator(".value")
    slider.press("ArrowRight")
    blank.clock.run_for(400)
    field = blank.get_by_label("start y")
    field.fill("1.5")
    field.press("Enter")
    blank.clock.run_for(400)

    def now() -> list:
        return [value.text_content(), *blank.evaluate("stage.model.get('points')")[0]]

    assert now() == ["1", 1, 1.5]
    for key, state in (
        ("z", ["1", 1, 2]),
        ("z", ["0", 1, 2]),
        ("z", ["0", 1, 2]),
        ("y", ["1", 1, 2]),
        ("y", ["1", 1, 1.5]),
        ("r", ["0", 1, 2]),
    ):
        slider.press(key)
        blank.clock.run_for(400)
        assert now() == state, key
    blank.get_by_role("button", name="Undo").dispatch_event("click")
    assert now() == ["1", 1, 1.5]


@pytest.mark.parametrize(("motion", "stops"), [("no-preference", 81), ("reduce", 9)])
def test_play_sweeps_the_slider_and_pauses(blank, motion, stops):
    blank.emulate_media(reduced_motion=motion)
    run = """async () => {
        const values = [...Array(81).keys()].map(String);
        const stage = open(new Model({plotly_js: carried, values, states: [values, []], tables: [rows, []]}));
        await until(() => stage.drawn() === 3);
        const seen = new Set(['0']);
        stage.model.on('change:index', () => seen.add(stage.el.querySelector('.state').textContent));
        const play = stage.el.querySelector('[aria-label^=Play]');
        play.click();
        const pressed = play.getAttribute('aria-pressed');
        await until(() => play.getAttribute('aria-pressed') === 'false');
        const swept = [seen.size, stage.model.get('index')];
        play.click();
        await until(() => stage.model.get('index') > 0);
        play.click();
        const paused = stage.model.get('index');
        await pause();
        await pause();
        return {pressed, swept, stays: stage.model.get('index') === paused, paused};
    }"""
    blank.evaluate("() => { window.rows = Array(4 + 81 * 4).fill(0); }")
    result = blank.evaluate(run)
    assert result["pressed"] == "true"
    assert result["swept"][1] == 80
    assert result["swept"][0] <= stops  # a busy machine skips some
    assert result["swept"][0] >= min(stops, 9)
    assert result["stays"]
    assert 0 < result["paused"] < 80


def test_play_has_four_speeds(blank):
    blank.clock.install()
    blank.evaluate(LONG)
    blank.locator(".moving.drawn").wait_for(state="attached")
    slider, button = blank.get_by_role("slider"), blank.locator(".tools button").nth(1)
    tried = set()
    for key, name, text in (
        ("", "normal", "1×"),
        (">", "double", "2×"),
        (">", "double", "2×"),
        ("<", "normal", "1×"),
        ("<", "half", "½×"),
        ("<", "quarter", "¼×"),
        ("<", "quarter", "¼×"),
    ):
        if key:
            slider.press(key)
            assert blank.locator(".spoken").text_content() == f"{name} speed"
        assert button.text_content() == text
        assert button.get_attribute("aria-label") == f"Speed of play: {name}"
        if name in tried:
            continue
        tried.add(name)
        slider.press("Home")
        begin = blank.evaluate("performance.now()")
        slider.press("p")
        blank.clock.run_for(900)
        slider.press("p")
        passed = blank.evaluate("performance.now()") - begin  # the clock runs on between the calls
        steps = (
            80 / {"quarter": 14400, "half": 7200, "normal": 3600, "double": 1800}[name]
        )  # in a millisecond
        assert 900 * steps - 2 <= int(blank.locator(".value").text_content()) <= passed * steps + 1
    button.dispatch_event("click")
    assert button.text_content() == "½×"
    slider.press("r")
    assert button.text_content() == "1×"
    blank.get_by_role("button", name="Keys").dispatch_event("click")
    assert "Slower or faster play" in blank.locator(".keys").text_content()


def test_a_held_key_and_quick_presses_make_one_step_to_undo(blank):
    blank.clock.install()
    blank.evaluate(LONG)
    blank.locator(".moving.drawn").wait_for(state="attached")
    slider, value = blank.get_by_role("slider"), blank.locator(".value")
    slider.focus()
    for wait in (400, 400, 700):  # three quick presses, then a rest
        blank.keyboard.press("ArrowRight")
        blank.clock.run_for(wait)
    blank.keyboard.down("ArrowRight")
    blank.clock.run_for(660)  # the keyboard begins to repeat late
    for _ in range(5):
        blank.keyboard.down("ArrowRight")
        blank.clock.run_for(30)
    blank.keyboard.up("ArrowRight")
    blank.clock.run_for(700)
    blank.keyboard.press("ArrowRight")
    assert value.text_content() == "10"
    for at in ("9", "3", "0", "0"):
        blank.keyboard.press("z")
        blank.clock.run_for(700)
        assert value.text_content() == at
    for at in ("3", "9", "10"):
        blank.keyboard.press("y")
        assert value.text_content() == at


def test_numbers_below_zero_have_the_minus_sign_of_the_axes_and_both_can_be_typed(blank):
    blank.evaluate(
        "() => { window.stage = open(new Model({plotly_js: carried, values: ['-0.5', '1'], index: 0})); }"
    )
    blank.locator(".moving.drawn").wait_for(state="attached")
    assert blank.locator(".value").text_content() == "−0.5"
    assert blank.get_by_role("slider").get_attribute("aria-valuetext") == "−0.5"
    field = blank.get_by_label("start y")
    for typed, at in (("-1.5", -1.5), ("−1.25", -1.25)):
        field.fill("")
        blank.keyboard.insert_text(typed)
        field.press("Enter")
        assert blank.evaluate("stage.model.get('points')") == [[1, at]]
    field.fill("-9")
    field.press("Enter")
    said = "Got −9; expected a number from −2 to 2. Took −2."
    assert blank.locator(".lock").text_content() == said


def test_a_locked_stage_keeps_its_tools_locked(blank):
    blank.evaluate(
        "() => { window.stage = open(new Model({plotly_js: carried, locked: 'Predict first.'})); }"
    )
    blank.locator(".moving.drawn").wait_for(state="attached")
    for name in ("Play or pause", "Undo", "Redo", "Reset"):
        assert blank.get_by_role("button", name=name).is_disabled()
    blank.locator(".flatmtl-stage").press("p")
    assert blank.evaluate("stage.model.get('index')") == 0


@pytest.mark.parametrize(("locked", "first"), [("", "Play or pause"), ("Predict first.", "Pin the present")])
def test_the_tools_are_one_stop_of_the_tab_key(blank, locked, first):
    blank.evaluate("locked => { window.stage = open(new Model({plotly_js: carried, locked})); }", locked)
    blank.locator(".moving.drawn").wait_for(state="attached")
    tools = blank.get_by_role("toolbar").get_by_role("button")

    def stops() -> list[str]:
        names = "buttons => buttons.filter(button => button.tabIndex === 0).map(button => button.title)"
        return tools.evaluate_all(names)

    blank.locator("body").press("Tab") if locked else blank.get_by_label("start y").press("Tab")
    focused = "() => document.activeElement.title"
    assert stops() == [blank.evaluate(focused)]
    assert stops()[0].startswith(first)
    for key, name in (("End", "Keys"), ("ArrowRight", first), ("ArrowLeft", "Keys"), ("Home", first)):
        blank.keyboard.press(key)
        assert stops() == [blank.evaluate(focused)]
        assert stops()[0].startswith(name)


@pytest.mark.parametrize("after", ["at once", "while it draws", "drawn"])
def test_a_stage_that_is_removed_leaves_nothing_behind(blank, after):
    run = """async ([after, plots]) => {
        let release;
        if (after === 'while it draws') window.hold = new Promise(resolve => (release = resolve));
        const stage = open(new Model({plotly_js: carried}));
        await until(() => stage.drawn() === plots);
        const drawn = stage.drawn();
        const slider = stage.el.querySelector('input');
        slider.value = 1;
        slider.dispatchEvent(new Event('input'));
        stage.stop();
        release?.();
        await pause();
        await pause();
        return [drawn, stage.drawn(), stage.model.listeners, stage.model.saves];
    }"""
    drawn = {"at once": 0, "while it draws": 1, "drawn": 3}[after]
    assert blank.evaluate(run, [after, drawn]) == [drawn, 0, 0, 0]


def test_a_choice_without_a_table_says_so_whatever_else_changes(blank):
    blank.evaluate("() => { window.stage = open(new Model({plotly_js: carried})); }")
    for name, value in (("choice", 1), ("points", [[0, 0]]), ("locked", "Predict first.")):
        blank.evaluate("([name, value]) => stage.model.set(name, value)", [name, value])
        assert blank.locator(".state").text_content() == "computing …"
        assert blank.locator(".canvas").get_attribute("aria-label") == "computing …"


def test_a_key_press_changes_one_live_region(blank):
    blank.evaluate("() => { window.stage = open(new Model({plotly_js: carried, locked: 'Wait.'})); }")
    live = blank.locator("output, [role=status], [aria-live]")
    assert live.evaluate_all("nodes => nodes.map(node => node.className)") == ["state", "spoken", "lock"]
    for axis, ends in (("x", ["-5", "5"]), ("y", ["-2", "2"])):
        field = blank.get_by_label(f"start {axis}")
        assert [field.get_attribute(end) for end in ("min", "max")] == ends
