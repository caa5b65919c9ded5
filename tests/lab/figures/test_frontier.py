"""Benefit against cost: everything is named, and no name lies on another name or on a dot."""

import itertools

import numpy as np
import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.figures.frontier import DOT, half_size, offsets

COSTS = {"LS": 1.0, "SAM on the mean": 2.0, "F-LS": 11 / 3, "SAMO": 13 / 3}
GAINS = {"LS": (0, 0, 0), "SAM on the mean": (90, 80, 97), "F-LS": (100, 100, 100), "SAMO": (95, 60, 130)}


@pytest.fixture
def figure():
    fronts = {"a": ["LS", "SAM on the mean", "F-LS"], "b": ["LS", "F-LS"]}
    return lab.figures.frontier(COSTS, {"a": GAINS, "b": GAINS}, fronts, "cost")


def test_every_method_is_a_dot_with_its_interval_and_its_name(figure):
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert [trace.name for trace in dots] == [*COSTS] * 2
    for trace in dots:
        mean, low, high = GAINS[trace.name]
        assert (trace.x[0], trace.y[0]) == (pytest.approx(COSTS[trace.name], rel=1e-3), mean)
        assert (trace.y[0] - trace.error_y.arrayminus[0], trace.y[0] + trace.error_y.array[0]) == (low, high)
    notes = [note.text for note in figure.layout.annotations if note.showarrow]
    on_a = ["<b>LS</b>", "<b>SAM on the mean</b>", "<b>F-LS</b>", "SAMO"]
    assert sorted(notes) == sorted([*on_a, "<b>LS</b>", "SAM on the mean", "<b>F-LS</b>", "SAMO"])


def test_the_front_rises_in_steps(figure):
    a, b = (trace for trace in figure.data if trace.mode == "lines")
    assert list(a.x) == [1, 2, 2, 3.667, 3.667]
    assert list(a.y) == [0, 0, 90, 90, 100]
    assert list(b.y) == [0, 0, 100]


def test_families_have_a_colour_and_a_marker_of_their_own(figure):
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data if trace.mode == "markers"}
    assert len(looks) == len(COSTS)


@pytest.mark.parametrize("seed", range(4))
def test_no_name_lies_on_another_or_on_a_dot(seed):
    rng = np.random.default_rng(seed)
    dots = {f"a method, number {k}": rng.uniform((20, 20), (600, 380)) for k in range(25)}
    boxes = [
        (dots[name] + way, half_size(name)) for name, way in offsets(dots, np.array([870.0, 400.0])).items()
    ]
    assert len(boxes) == 25
    boxes += [(dot, np.full(2, DOT)) for dot in dots.values()]
    names = boxes[:25]
    for (one, half), (other, half_of_other) in itertools.combinations(boxes, 2):
        if any(one is place for place, _ in names):
            assert (np.abs(one - other) >= half + half_of_other).any()
    for place, half in names:
        assert (place - half >= 0).all()
        assert (place + half <= (870, 400)).all()
