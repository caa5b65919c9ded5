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
        plot.data = data;
        plot.classList.add('drawn');
        await window.hold;
    },
    purge: plot => plot.classList.remove('drawn'),
    animate: async () => {},
    relayout: async () => {},
};
const carried = new DataView(new TextEncoder().encode('window.Plotly = library').buffer);
const pause = () => new Promise(resolve => setTimeout(resolve, 100));
// the limit is for hangs: a busy machine may take its time over a frame
const until = async holds => {
    for (let k = 0; k < 4000 && !holds(); k++) await new Promise(resolve => setTimeout(resolve, 30));
};
"""


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


def test_a_model_that_carries_plotly_serves_those_that_wait(blank):
    run = """async () => {
        const stages = [open(new Model()), open(new Model({plotly_js: carried}))];
        await until(() => stages.every(stage => stage.drawn() === 3));
        return [stages.map(stage => stage.drawn()), stages[1].model.asked];
    }"""
    assert blank.evaluate(run) == [[3, 3], 0]


def test_a_point_that_stays_where_it_is_asks_no_kernel(blank):
    blank.clock.install()
    blank.evaluate("() => { window.stage = open(new Model({plotly_js: carried})); }")
    field, state = blank.get_by_label("start y"), blank.locator(".state")
    for typed, at, saves in (("2", 2, 0), ("9", 2, 0), ("1.5", 1.5, 1)):
        field.fill(typed)
        field.press("Enter")
        blank.clock.run_for(5000)
        assert blank.evaluate("[stage.model.get('points'), stage.model.saves]") == [[[1, at]], saves]
        assert ("not answered" in state.text_content()) is (saves > 0)


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
        assert blank.locator(".figure").get_attribute("aria-label") == "computing …"


def test_a_key_press_changes_one_live_region(blank):
    blank.evaluate("() => { window.stage = open(new Model({plotly_js: carried, locked: 'Wait.'})); }")
    live = blank.locator("output, [role=status], [aria-live]")
    assert live.evaluate_all("nodes => nodes.map(node => node.className)") == ["lock", "state"]
    for axis, ends in (("x", ["-5", "5"]), ("y", ["-2", "2"])):
        field = blank.get_by_label(f"start {axis}")
        assert [field.get_attribute(end) for end in ("min", "max")] == ends
