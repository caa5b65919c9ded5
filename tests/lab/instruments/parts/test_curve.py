"""Curves, lines, dots and stems with their names."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.curve import CONFLICT, Curves, Dots, Lines, Stems, draw_line, shade
from flatmtl_lite.lab.instruments.parts.picture import LINE, Panel
from tests.lab.instruments.parts.pictures import drawn, pixels, resting

X = torch.linspace(0, 2, 5, dtype=torch.float64)
LOOKS = {"a": ("first", dict(color="#000000")), "b": ("second", dict(color="#777777", dash="dot"))}
AXES = dict(x=dict(range=[0, 2]), y=dict(range=[0, 4]))


def made(origin=None, styles=LOOKS, **axes):
    panel = Curves("rises", **AXES | axes, styles=styles, origin=origin)
    return panel, drawn(panel)


def test_it_draws_the_curves_the_dots_and_the_line_of_the_slider():
    panel, traces = made()
    assert traces["a"].line.width == 3
    assert traces["b"].line.dash == "dot"
    points = panel.at(X, {"a": X, "b": 2 * X})
    assert points["b"].tolist() == [[[x, 2 * x] for x in X.tolist()]]
    assert points["a-here"][3].tolist() == [[1.5, 1.5], [1.5, 3.0]]
    assert points["a-cursor"][3].tolist() == [[1.5, 0], [1.5, 4]]


def test_names_stand_at_the_right_edge_a_line_apart():
    panel, traces = made()
    assert [text.strip() for text in traces["a-names"].text] == ["first", "second"]
    names = panel.at(X, {"a": X, "b": X})["a-names"]
    assert names[0, :, 0].tolist() == [2, 2]
    gap = (pixels(panel, names[0, 0]) - pixels(panel, names[0, 1]))[1].abs().item()
    assert gap == pytest.approx(LINE)
    assert names[0, :, 1].mean().item() == pytest.approx(2)  # about their curves
    assert panel.after > 0  # room for them beside the panel


def test_a_curve_without_a_name_takes_no_room():
    panel, traces = made(styles={uid: ("", look) for uid, (_, look) in LOOKS.items()})
    assert "a-names" not in traces
    assert "a-names" not in panel.at(X, {"a": X, "b": X})
    assert panel.after == 0


@pytest.mark.parametrize("origin", [0, 2])
def test_growing_curves_carry_their_names_ahead_of_the_dots(origin):
    panel, _ = made(origin)
    points = panel.at(X, {"a": X, "b": 4 - X})
    for k in range(5):
        seen = points["a"][k].isfinite().all(-1)
        assert seen.tolist() == [min(k, origin) <= j <= max(k, origin) for j in range(5)]
    ahead = points["a-names"][..., 0] - X[:, None]
    assert (ahead[origin:4] > 0).all()
    assert (ahead[1:origin] < 0).all()
    names = points["a-names"][[0, 4], :, 0]
    assert ((names > 0) & (names < 2)).all()  # within the panel


def test_on_a_logarithmic_axis_names_stand_at_their_curves_too():
    log = dict(type="log", range=[-2, 2])
    panel, _ = made(y=log)
    points = panel.at(X, {"a": 10**X, "b": 0.01 + 0 * X})
    (first, second) = points["a-names"][0, :, 1].tolist()
    assert 50 < first < 100.1
    assert 0.0099 < second < 0.02
    assert points["a-cursor"][0, :, 1].tolist() == pytest.approx([0.01, 100])


NAMED = {
    "up": ("up", dict(color="#000000")),
    "down": ("down", dict(color="#777777")),
    "thin": ("", dict(color="#777777", width=1)),
}


def panel():
    return Panel(x=dict(range=[0, 1]), y=dict(range=[-1, 1]))


def test_lines_carry_their_names_off_the_lines():
    place = panel()
    lines = Lines(place, NAMED)
    traces = drawn(place)
    assert [traces[uid].line.width for uid in NAMED] == [3, 3, 1]
    assert list(traces["up-names"].text) == ["<b>up</b>", "<b>down</b>"]
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    moving = torch.stack([torch.stack([x, k * x], -1) for k in (0.2, 0.9)])
    still = torch.stack([x, -0.5 * x], -1)[None]
    points = lines.at({"up": moving, "down": still, "thin": still[:, [0, -1]]})
    assert torch.equal(points["up"], moving)
    assert torch.equal(points["thin"], still[:, [0, -1]])
    names = points["up-names"]
    assert names.shape == (2, 2, 2)
    for k in range(2):
        for line in (moving[k], still[0]):
            away = (pixels(place, line)[:, None] - pixels(place, names[k])).abs()
            assert ((away[..., 0] > 8) | (away[..., 1] > 9)).all()


def test_lines_without_names_need_none():
    place = panel()
    lines = Lines(place, {"thin": NAMED["thin"]}, fill="tozeroy")
    assert drawn(place)["thin"].fill == "tozeroy"
    assert list(lines.at({"thin": torch.zeros(1, 2, 2)})) == ["thin"]


def test_dots_carry_their_names():
    place = panel()
    dots = Dots(place, "size", {"small": "#000000", "large": "#777777"})
    trace = drawn(place)["size"]
    assert list(trace.marker.color) == ["#000000", "#777777"]
    points = torch.tensor([[[0.2, 0.0], [0.8, 0.5]]], dtype=torch.float64)
    shown = dots.at(points, points)
    assert torch.equal(shown["size"], points)
    away = (pixels(place, shown["size-names"]) - pixels(place, points)).norm(dim=-1)
    assert (away < 60).all()


def test_resting_things_stay_where_they_are_drawn():
    place = panel()
    draw_line(place, "chance", [0, 0.5, 1], [0.1, 0.2, 0.3], dict(color="#000000"), 1, "top left")
    place.dots(None, "#777777", "square", x=[0.3], y=[0.4])
    shade(place, [0, 1, 1], [0, 0, 1])
    line, name, dots, area = resting(place)
    assert list(line.y) == [0.1, 0.2, 0.3]
    assert (name.text, name.x, name.y, name.textposition) == (("chance",), (0.5,), (0.2,), "top left")
    assert (dots.x, dots.y, dots.marker.symbol) == ((0.3,), (0.4,), "square")
    assert (area.fill, area.fillcolor) == ("toself", CONFLICT)


def test_each_dot_has_a_stem_from_its_foot():
    panel = Panel(x=dict(range=[0, 3]), y=dict(range=[0, 1]))
    stems = Stems(panel, "first", "#000000", "square")
    traces = drawn(panel)
    assert traces["first"].marker.symbol == "square"
    dots = torch.tensor([[[1.0, 0.5], [2.0, 0.7]]])
    points = stems.at(dots, dots * torch.tensor([1.0, 0.0]))
    assert torch.equal(points["first"], dots)
    lines = points["first-stems"].reshape(2, 3, 2)
    assert lines[:, :2].tolist() == [[[1, 0], [1, 0.5]], [[2, 0], [2, torch.tensor(0.7).item()]]]
    assert lines[:, 2].isnan().all()  # the pen is lifted
