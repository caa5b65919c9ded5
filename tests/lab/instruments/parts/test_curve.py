"""Curves against the slider, with names that keep apart."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.curve import Curves
from flatmtl_lite.lab.instruments.parts.panel import LINE
from tests.lab.instruments.parts.pictures import drawn, pixels

X = torch.linspace(0, 2, 5, dtype=torch.float64)
LOOKS = {"a": ("first", dict(color="#000000")), "b": ("second", dict(color="#777777", dash="dot"))}
AXES = dict(x=dict(range=[0, 2]), y=dict(range=[0, 4]))


def made(origin=None, looks=LOOKS, **axes):
    panel = Curves("rises", **AXES | axes, looks=looks, origin=origin)
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
    panel, traces = made(looks={uid: ("", look) for uid, (_, look) in LOOKS.items()})
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
