"""Curves, lines, dots and stems with their names."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.curve import (
    CONFLICT,
    Curves,
    draw_line,
    draw_lines,
    draw_stems,
    shade,
)
from flatmtl_lite.lab.instruments.parts.panel import LINE, Panel
from tests.lab.instruments.parts.pictures import drawn, moving, pixels, resting

X = torch.linspace(0, 2, 5, dtype=torch.float64)
LOOKS = {"a": ("first", dict(color="#000000")), "b": ("second", dict(color="#777777", dash="dot"))}
AXES = dict(x=dict(range=[0, 2]), y=dict(range=[0, 4]))


def made(a, b, origin=None, styles=LOOKS, **axes):
    """A panel with two curves over X, its traces and its points."""
    panel = Curves("rises", **AXES | axes, styles=styles, at=X, heights=[a, b], origin=origin)
    return panel, drawn(panel), moving(panel)


def test_it_draws_the_curves_the_dots_and_the_line_of_the_slider():
    _, traces, points = made(X, 2 * X)
    assert traces["a"].line.width == 3
    assert traces["b"].line.dash == "dot"
    assert points["b"].tolist() == [[[x, 2 * x] for x in X.tolist()]]
    assert points["a-here"][3, :4:2].tolist() == [[1.5, 1.5], [1.5, 3.0]]
    assert points["a-here"][3, 1:4:2].isnan().all()  # no line between the dots
    assert points["a-here"][3, 4:].tolist() == [[1.5, 0], [1.5, 4]]
    assert traces["a-here"].marker.size == (10, 0, 10, 0, 0, 0)


def test_names_stand_at_the_right_edge_a_line_apart():
    panel, traces, points = made(X, X)
    assert [text.strip() for text in traces["a-names"].text] == ["first", "second"]
    names = points["a-names"]
    assert names[0, :, 0].tolist() == pytest.approx([2, 2])
    gap = (pixels(panel, names[0, 0]) - pixels(panel, names[0, 1]))[1].abs().item()
    assert gap == pytest.approx(LINE)
    assert names[0, :, 1].mean().item() == pytest.approx(2)  # about their curves
    assert panel.after > 0  # room for them beside the panel


def test_a_curve_without_a_name_takes_no_room():
    panel, traces, points = made(X, X, styles={uid: ("", look) for uid, (_, look) in LOOKS.items()})
    assert "a-names" not in traces
    assert "a-names" not in points
    assert panel.after == 0


@pytest.mark.parametrize("origin", [0, 2])
def test_growing_curves_carry_their_names_ahead_of_the_dots(origin):
    _, _, points = made(X, 4 - X, origin)
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
    _, _, points = made(10**X, 0.01 + 0 * X, y=log)
    (first, second) = points["a-names"][0, :, 1].tolist()
    assert 50 < first < 100.1
    assert 0.0099 < second < 0.02
    assert points["a-here"][0, -2:, 1].tolist() == pytest.approx([0.01, 100])


NAMED = {"up": ("up", dict(color="#000000")), "down": ("down", dict(color="#777777", width=1))}


def panel():
    return Panel(x=dict(range=[0, 1]), y=dict(range=[-1, 1]))


def test_lines_carry_their_names_off_the_lines():
    place = panel()
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    rising = torch.stack([torch.stack([x, k * x], -1) for k in (0.2, 0.9)])
    still = torch.stack([x, -0.5 * x], -1)[None]
    draw_lines(place, NAMED, [rising, still[:, [0, -1]]])
    traces, points = drawn(place), moving(place)
    assert [traces[uid].line.width for uid in NAMED] == [3, 1]
    assert list(traces["up-names"].text) == ["<b>up</b>", "<b>down</b>"]
    assert torch.equal(points["up"], rising)
    assert torch.equal(points["down"], still[:, [0, -1]])
    names = points["up-names"]
    assert names.shape == (2, 2, 2)
    for k in range(2):
        for line in (rising[k], still[0]):
            away = (pixels(place, line)[:, None] - pixels(place, names[k])).abs()
            assert ((away[..., 0] > 8) | (away[..., 1] > 9)).all()


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
    dots = torch.tensor([[[1.0, 0.5], [2.0, 0.7]]])
    draw_stems(panel, "first", "#000000", dots, dots * torch.tensor([1.0, 0.0]), "square")
    points = moving(panel)
    assert drawn(panel)["first"].marker.symbol == "square"
    assert torch.equal(points["first"], dots)
    lines = points["first-stems"].reshape(2, 3, 2)
    assert lines[:, :2].tolist() == [[[1, 0], [1, 0.5]], [[2, 0], [2, torch.tensor(0.7).item()]]]
    assert lines[:, 2].isnan().all()  # the pen is lifted
