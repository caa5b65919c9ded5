"""The cost instrument draws the cost model, and next to it what was counted."""

import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.cost import LOOKS, MOVES
from tests.lab.traces import drawn

COUNTED = {"F": 2.2, "SAMO": 2.6}


def heights(stage, uid="F-here"):
    return dict(zip(LOOKS, drawn(stage)[uid][:-2:2, 1].tolist(), strict=True))


@pytest.mark.parametrize(
    ("moves", "setting", "options"),
    [
        ("tasks T", 7, dict(tasks=7)),
        ("backward / forward b", 13, dict(ratio=4.0)),
        ("every k steps", 10, dict(every=10)),
        ("share of the batch", 10, dict(share=0.5)),
    ],
)
def test_the_dots_are_the_formulas_and_the_slider_moves_what_the_menu_says(moves, setting, options):
    expected = pytest.approx(lab.relative_costs(**options))
    assert heights(lab.cost_instrument(moves, setting)) == expected
    assert heights(lab.cost_instrument(moves, **options)) == expected  # it opens at the value itself


def test_the_ticks_say_what_the_slider_moves():
    for moves, tick in zip(MOVES, ("T = 5", "b = 2", "k = 5", "25%"), strict=True):
        stage = lab.cost_instrument(moves)
        (ticks,) = [trace for trace in stage.drawn().data if trace.uid == "ticks"]
        assert (ticks.x[1], ticks.text[1]) == (5, tick)
        assert stage.drawn().layout.yaxis.range[0] < ticks.y[1] < 0


@pytest.mark.parametrize("moves", MOVES)
def test_what_was_counted_stands_where_it_was_counted(moves):
    stage = lab.cost_instrument(moves, 20, measured=COUNTED)
    places = {"tasks T": 2, "backward / forward b": 5, "every k steps": 5, "share of the batch": 5}
    rings = drawn(stage)["measured"]
    here = ~rings[:, 1].isnan()
    assert rings[here].tolist() == [[places[moves], 2.2], [places[moves], 2.6]]
    assert [name for name, there in zip(LOOKS, here.tolist(), strict=True) if there] == list(COUNTED)


def test_what_was_counted_is_left_out_where_another_quantity_differs():
    other = lab.cost_instrument("tasks T", every=4, measured=COUNTED)
    assert drawn(other)["measured"][:, 1].isnan().all()
    moved = lab.cost_instrument("every k steps", every=4, measured=COUNTED)
    assert not drawn(moved)["measured"][0].isnan().any()


def test_the_state_names_every_cost():
    stage = lab.cost_instrument()
    assert stage.state.startswith(
        "T = 2, b = 2, k = 5, share 25%. Relative to the base: F 2.20; F, every k 1.24;"
    )
    assert all(name in stage.state for name in LOOKS)


def test_nothing_lies_beyond_the_panel():
    for moves in MOVES:
        stage = lab.cost_instrument(moves, tasks=20, every=1)
        low, high = stage.drawn().layout.yaxis.range
        for setting in range(20):
            stage.index = setting
            costs = torch.tensor(list(heights(stage).values()))
            assert ((costs > 0) & (costs < high)).all()
        assert low < 0


def test_bad_input_is_named():
    for options, word in (
        (dict(measured={"F-LS": 2.2}), "['F-LS']"),
        (dict(moves="batch"), "'batch'"),
        (dict(setting=21), "setting=21"),
        (dict(tasks=0), "tasks=0"),
    ):
        with pytest.raises(ValueError, match="expected") as error:
            lab.cost_instrument(**options)
        assert word in str(error.value)
