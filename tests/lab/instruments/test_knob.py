"""The knob instrument shows what was recorded, and what the plane does at the same ρ."""

import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.aggregation import Mean
from flatmtl_lite.lab.figures.display import fold_of
from flatmtl_lite.lab.publish.site import stage_of
from flatmtl_lite.toy import PROBLEMS, Method, descend
from tests.lab.traces import shown

NOTE = 22  # height of a line of text on its ground, in pixels
RADII = [0.0, 0.01, 0.1, 0.4]
CLASSES = {"digit": ["0", "1"], "garment": ["shirt", "shoe"]}
IMAGES = torch.arange(2 * 36 * 36, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(2, 36, 36)
LABELS = [[0, 1], [1, 1]]


def row(turns: str, value: float, best: float) -> dict:
    away = abs(value - best)
    return {
        turns: value,
        "test": [80 - 10 * away, 70 - 10 * away],
        "sharpness": [0.1 / (1 + value), 0.2 / (1 + value)],
        "cosine": {"loss": 0.1 - away} | ({"flat": 0.3} if value else {}),
        "slice": [[1 + value + abs(k), 2 + value + abs(k)] for k in (-1, 0, 1)],
        "answers": [[[0, 90], [1, 80]], [[0, 55], [1, 60]]],
    }


def stage(turns: str = "rho", **options):
    values = RADII if turns == "rho" else [1, 2, 8]
    runs = {
        name: [row(turns, value, best) for value in values] for name, best in (("F-LS", 0.1), ("SAM", 0.4))
    }
    return lab.knob_instrument(runs, IMAGES, LABELS, CLASSES, turns, **options)


def test_it_shows_what_was_recorded():
    knob = stage(at=0.1, shown="SAM")
    assert (knob.values[knob.index], knob.choices[knob.choice]) == ("0.1", "SAM")
    assert shown(knob, "test-0-here")[:4:2].tolist() == [[0.1, pytest.approx(77)], [0.1, pytest.approx(67)]]
    assert shown(knob, "sharpness-1")[2].tolist() == [0.1, pytest.approx(0.2 / 1.1)]
    assert shown(knob, "slice-0").tolist() == [[-1, 2.1], [0, 1.1], [1, 2.1]]
    assert shown(knob, "cosine-loss")[:3, 1].tolist() == pytest.approx([-0.3, -0.29, -0.2])
    assert shown(knob, "cosine-loss")[3].isnan().all()  # the curve grows with the slider
    assert shown(knob, "cosine-flat")[0].isnan().any()  # at ρ = 0 nothing is perturbed
    texts = {trace.uid: trace.text for trace in knob.drawn().data if trace.uid in ("right", "wrong")}
    assert texts["right"] == ("<b>0</b> 90 % ✓", "<b>shoe</b> 80 % ✓", " ", "<b>shoe</b> 60 % ✓")
    assert texts["wrong"] == (" ", " ", "<b>0</b> 55 % ✗", " ")
    assert knob.state.startswith("SAM, ρ = 0.1: test accuracy 77.0 % and 67.0 %; sharpness 0.091 and 0.182")


def test_the_plane_takes_the_same_radius():
    knob, plane = stage(at=0.4), PROBLEMS["valleys"]
    start = torch.tensor(plane.starts[0], dtype=torch.float64)
    end = descend(plane, start, 0.4, [Method(Mean(), "direct")])[0, -1]
    assert shown(knob, "end")[0].tolist() == pytest.approx(end.tolist(), abs=1e-6)


def test_a_radius_of_0_has_its_place_on_the_axis():
    assert shown(stage(at=0), "test-0-here")[:4:2, 0].tolist() == [0.005, 0.005]


def test_it_goes_through_training_too():
    knob = stage("epoch", at=8)
    assert shown(knob, "test-0")[:, 0].tolist() == [1, 2, 8]
    assert knob.label == "epoch"
    assert "path" not in {trace.uid for trace in knob.drawn().data}


def test_the_call_opens_it_again_with_its_images_and_stars():
    mine = [{"rho": 0.16, "test": [60.0, 50.0], "sharpness": [0.02, 0.03]}]
    knob = stage(mine=mine, at=0.1)
    traces = [trace for trace in knob.drawn().data if trace.type == "scatter"]
    stars = [trace for trace in traces if trace.marker.symbol == "star"]
    assert [(trace.x[0], trace.y[0]) for trace in stars] == [(0.16, v) for v in (60, 50, 0.02, 0.03)]
    again = stage_of(knob.call)
    assert (again.index, again.tables, again.figure) == (knob.index, knob.tables, knob.figure)


@pytest.mark.parametrize(
    ("options", "word"),
    [(dict(turns="radius"), "'radius'"), (dict(shown="LS"), "'LS'"), (dict(at=2.0), "at=2.0")],
)
def test_bad_input_is_named(options, word):
    runs = {"F-LS": [row("rho", rho, 0.1) for rho in RADII]}
    with pytest.raises(ValueError, match="expected") as error:
        lab.knob_instrument(runs, IMAGES, LABELS, CLASSES, **options)
    assert word in str(error.value)


@pytest.mark.parametrize(
    ("lengths", "words"), [({"LS": 4, "F-LS": 3}, "'F-LS': 3"), ({"LS": 0}, "'LS': 0"), ({}, "no")]
)
def test_all_runs_have_as_many_positions(lengths, words):
    runs = {name: [row("rho", rho, 0.1) for rho in RADII[:n]] for name, n in lengths.items()}
    with pytest.raises(ValueError, match="the same number of positions") as error:
        lab.knob_instrument(runs, IMAGES, LABELS, CLASSES)
    assert words in str(error.value)


def test_the_line_on_a_still_picture_covers_no_answer():
    figure = stage(at=0.1)._still()
    (note,) = [note for note in figure.layout.annotations if "still picture" in str(note.text)]
    lowest = figure.layout.yaxis.domain[0]  # of the panel of images
    assert note.yanchor == "bottom"
    assert note.y == pytest.approx(1 - fold_of(figure))
    assert note.y + NOTE / figure.layout.height < lowest
