"""The stage without a browser: its table, its point, its choices, and the page it writes."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from plotly.offline import get_plotlyjs

from flatmtl_lite.lab import Stage, Table, page
from flatmtl_lite.lab.stage.table import keep_near, with_minus

VALUES = ["0", "0.5", "1"]


@pytest.fixture
def asked():
    return []


@pytest.fixture
def stage(asked):
    """A line that follows the slider from the point; "far" goes ten times as far."""

    def compute(choice, point):
        asked.append((choice, point))
        length = torch.linspace(0, 10 if choice == "far" else 1, 3, dtype=torch.float64)
        tips = torch.stack([point[0] + length, torch.full_like(length, point[1])], -1)
        line = torch.stack([torch.tensor(point, dtype=torch.float64).expand(3, 2), tips], 1)
        states = [f"{choice} {value} from {point[0]:g}" for value in VALUES]
        return Table({"line": line}, states)

    figure = go.Figure(layout=dict(xaxis_range=[-5, 5], yaxis_range=[-2, 2]))
    figure.add_scatter(x=[0, 1], y=[0, 1], name="still")
    figure.add_scatter(uid="line")
    figure.add_scatter(uid="point-0")
    options = dict(title="Test", label="ρ", values=VALUES, choices=["near", "far"], points={"start": (1, 0)})
    return Stage(figure, compute, recipe="make({value}, {choice}, {point})", **options)


def rows(stage, choice=0):
    """The table as the page reads it: what rests, and a row a position."""
    numbers = np.frombuffer(stage.tables[choice], "<f8")
    resting = 2 * sum(n for _, n in stage.resting)
    return numbers[:resting], numbers[resting:].reshape(len(VALUES), -1)


def test_the_table_holds_every_position(stage):
    assert (stage.resting, stage.moving) == ([[2, 1]], [[1, 2]])
    resting, moving = rows(stage)
    assert resting.tolist() == [1, 0]
    assert moving.tolist() == [[1, 1, 0, 0], [1, 1.5, 0, 0], [1, 2, 0, 0]]
    assert stage.states[0] == ["near 0 from 1", "near 0.5 from 1", "near 1 from 1"]


def test_only_the_shown_choice_is_computed_at_first(stage, asked):
    assert asked == [("near", (1.0, 0.0))]
    assert stage.tables[1] == b""
    stage.choice = 1
    assert asked[1:] == [("far", (1.0, 0.0))]
    assert rows(stage, 1)[1][2].tolist() == [1, 11, 0, 0]
    stage.choice = 0
    assert len(asked) == 2


def test_a_moved_point_makes_old_tables_void(stage, asked):
    stage.fill()
    stage.points = [[-1, 1]]
    assert asked[2:] == [("near", (-1.0, 1.0))]
    assert rows(stage)[0].tolist() == [-1, 1]
    assert stage.tables[1] == b""


@pytest.mark.parametrize("fast", ["0", "1"])
def test_the_others_are_filled_in_when_idle_but_not_in_fast_mode(stage, asked, monkeypatch, fast):
    monkeypatch.setenv("FLATMTL_FAST", fast)

    async def move_and_wait():
        stage.points = [[2, 0]]
        stage.points = [[3, 0]]
        assert stage.tables[1] == b""
        await asyncio.sleep(0.6)

    with ThreadPoolExecutor(1) as pool:  # the browser tests leave a loop running in this thread
        pool.submit(lambda: asyncio.run(move_and_wait())).result()
    moved = [("near", (2.0, 0.0)), ("near", (3.0, 0.0))]
    assert asked[1:] == (moved if fast == "1" else [*moved, ("far", (3.0, 0.0))])
    stage.choice = 1
    assert rows(stage, 1)[0].tolist() == [3, 0]


def test_tables_and_states_travel_in_one_message(stage, monkeypatch):
    sent = []
    monkeypatch.setattr(stage.comm, "send", lambda data, buffers: sent.append(set(data["state"])))
    stage.points = [[2, 0]]
    assert sent == [{"points"}, {"tables", "states"}]


def test_drawn_is_the_figure_at_the_present_position(stage):
    stage.index = 2
    figure = stage.drawn()
    assert list(figure.data[1].x) == [1, 2]
    assert list(figure.data[0].x) == [0, 1]
    assert stage.state == "near 1 from 1"


def test_its_text_stands_for_it(stage):
    bundle, _ = stage._repr_mimebundle_()
    assert bundle["text/plain"] == "near 0 from 1"
    assert "image/png" not in bundle


def test_the_figure_keeps_the_names_of_its_traces(stage):
    assert [trace.get("uid") for trace in json.loads(stage.figure)["data"]] == [None, "line", "point-0"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(choice="middle"), "'middle'"),
        (dict(index=3), "index=3"),
        (dict(index=-1), "index=-1"),
        (dict(values=[]), "values=[]"),
        (dict(points={"start": (9, 0)}), "(9, 0)"),
        (dict(points={"start": (1,)}), "(1,)"),
        (dict(points={"start": "ab"}), "'ab'"),
        (dict(points={"start": (float("nan"), 0)}), "nan"),
    ],
)
def test_bad_input_is_named(options, word):
    figure = go.Figure(layout=dict(xaxis_range=[-5, 5], yaxis_range=[-2, 2]))
    given = dict(title="", label="", values=VALUES, choices=["near", "far"]) | options
    with pytest.raises(ValueError, match="expected") as error:
        Stage(figure, lambda choice, point: Table({}, VALUES), **given)
    assert word in str(error.value)


def test_it_opens_with_another_colour_and_in_3_d():
    figure = go.Figure(layout=dict(xaxis_range=[-5, 5], yaxis_range=[-2, 2]))
    for view in ("mean loss", "task 1"):
        figure.add_contour(z=[[0, 1], [1, 2]], meta={"view": view})
    stage = Stage(figure, lambda choice: Table({}, VALUES), title="", label="", values=VALUES)
    assert stage.shown("task 1", solid=True) is stage
    assert (stage.view, stage.solid) == ("task 1", True)
    with pytest.raises(ValueError, match=r"colour='task 7'.*expected one of .*'mean loss', 'task 1'"):
        stage.shown("task 7")
    assert stage.view == "task 1"


@pytest.mark.parametrize("look", [dict(colour="task 1"), dict(solid=True)])
def test_a_stage_without_a_landscape_has_no_colours(stage, look):
    with pytest.raises(ValueError, match="no landscape"):
        stage.shown(**look)


def made(compute, uids=("line",), layout=None, **options) -> Stage:
    figure = go.Figure(layout=layout or dict(xaxis_range=[-5, 5], yaxis_range=[-2, 2]))
    figure.add_traces([go.Scatter(uid=uid) for uid in uids])
    return Stage(figure, compute, **dict(title="", label="", values=VALUES) | options)


@pytest.mark.parametrize("layout", [dict(title="none"), dict(xaxis_range=[-5, None], yaxis_range=[-2, 2])])
def test_a_first_panel_without_ranges_is_refused(layout):
    with pytest.raises(ValueError, match=r"None.*expected two numbers each"):
        made(lambda choice: Table({"line": torch.ones(1, 4, 2)}, VALUES), layout=layout)


@pytest.mark.parametrize(
    ("traces", "states", "message"),
    [
        ({}, VALUES, r"without \['line'\]; expected every"),
        ({"line": torch.ones(2, 4, 2)}, VALUES, r"'line' of shape \(2, 4, 2\); expected \(1 or 3, n, 2\)"),
        ({"line": torch.ones(3, 2)}, VALUES, r"'line' of shape \(3, 2\); expected \(1 or 3, n, 2\)"),
        ({"line": torch.ones(3, 4, 3)}, VALUES, r"'line' of shape \(3, 4, 3\); expected"),
        ({"line": torch.ones(3, 4, 2)}, VALUES[:2], "2 states; expected 3"),
    ],
)
def test_a_table_that_does_not_fit_is_named(traces, states, message):
    with pytest.raises(ValueError, match=message):
        made(lambda choice: Table(traces, states))


@pytest.mark.parametrize(("name", "place"), [("index", 3), ("index", -1), ("choice", 2)])
def test_a_place_that_is_not_there_is_refused(stage, name, place):
    with pytest.raises(ValueError, match=f"Got {name}={place}; expected 0 to"):
        setattr(stage, name, place)
    assert (stage.index, stage.choice) == (0, 0)


def test_a_point_from_the_page_outside_the_window_is_refused(stage):
    before = stage.tables
    with pytest.raises(ValueError, match=r"start=\[99.*expected two numbers"):
        stage.points = [[99, 0]]
    with pytest.raises(ValueError, match="Got 2 points; expected 1"):
        stage.points = [[1, 0], [2, 0]]
    assert stage.points == [[1, 0]]
    assert stage.tables == before


def between(ride: bool) -> Stage:
    """A line between two points; with ``ride`` the second handle moves up as the slider moves."""

    def compute(choice, one, two):
        up = torch.tensor([[0.0, 0.0], [0.0, 0.5], [0.0, 1.0]]) * ride
        ends = torch.tensor([one, two], dtype=torch.float64).expand(3, 2, 2).clone()
        ends[:, 1] += up
        return Table({"line": ends} | ({"point-1": ends[:, 1:]} if ride else {}), VALUES)

    figure = go.Figure(layout=dict(xaxis_range=[-5, 5], yaxis_range=[-2, 2]))
    for uid in ("line", "point-0", "point-1"):
        figure.add_scatter(uid=uid)
    points = {"one": (1, 0), "two": (-1, 1)}
    return Stage(figure, compute, title="Test", label="up", values=VALUES, points=points)


def test_several_points_can_be_moved():
    stage = between(ride=False)
    assert (stage.resting, stage.handles) == ([[1, 1], [2, 1]], [1, 2])
    stage.points = [[1, 0], [3, -2]]
    assert [list(trace.x) for trace in stage.drawn().data] == [[1, 3], [1], [3]]
    with pytest.raises(ValueError, match=r"Got two=\[0.0, 9.0\]"):
        stage.points = [[1, 0], [0, 9]]


def test_a_handle_may_ride_on_the_slider():
    stage = between(ride=True)
    assert (stage.resting, stage.moving) == ([[1, 1]], [[0, 2], [2, 1]])
    stage.index = 2
    assert list(stage.drawn().data[2].y) == [2]
    assert stage.points == [[1, 0], [-1, 1]]


def test_a_page_carries_everything(stage):
    text = page(stage, title="Mine")
    assert "<title>Mine</title>" in text
    assert get_plotlyjs()[:1000] in text
    assert "{{" not in text.replace(get_plotlyjs(), "")
    (held,) = re.findall(r'<script class="flatmtl-data" [^>]*>(.*?)</script>', text)
    model = json.loads(held)
    assert model["live"] is False
    assert (model["locked"], model["recipe"]) == ("", "")
    assert all(model["tables"])


def test_a_number_below_zero_has_the_minus_sign_of_the_axes(stage):
    stage.points = [[-1, 1]]
    assert stage.state == "near 0 from −1"
    assert "(-1.0, 1.0)" in stage.call  # code has the hyphen
    words = ["(-0.5, -2) and -.5", "1e-05, F-3, 2026-11-22, one-step"]
    assert list(map(with_minus, words)) == ["(−0.5, −2) and −.5", words[1]]


def test_names_keep_their_distance_in_pixels_from_their_things():
    """A name stands a tenth of the panel away in an arrangement of 100 pixels; the figure has 400 by 200."""
    layout = dict(width=400, height=200, xaxis_range=[-5, 5], yaxis=dict(type="log", range=[-1, 1]))
    figure = go.Figure(layout=layout)
    figure.update_layout(xaxis_domain=[0, 1], yaxis_domain=[0, 1])
    figure.add_scatter(uid="names", x=[1, np.nan], y=[10**0.2, 1], meta=dict(things="things", unit=(10, 50)))
    figure.add_scatter(uid="things", x=[0, 0], y=[1, 1])
    keep_near(figure)
    assert figure.data[0].x == pytest.approx([0.25, np.nan], nan_ok=True)
    assert figure.data[0].y == pytest.approx([10**0.1, 1])
