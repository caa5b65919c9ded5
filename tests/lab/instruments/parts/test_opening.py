"""A stage opens with one drawing, and each moved point takes one more."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.opening import handles, menu, open_stage, slider
from flatmtl_lite.lab.instruments.parts.panel import Panel
from flatmtl_lite.lab.instruments.parts.picture import Picture

VALUES = torch.tensor([0.0, 1.0], dtype=torch.float64)
WINDOW = ((-1, 1), (0, 2))


def test_the_figure_and_the_first_table_come_from_one_drawing():
    drawn = []

    def draw(scale, choice, point):
        drawn.append((choice, point))
        panel = Panel(x=dict(range=WINDOW[0]), y=dict(range=WINDOW[1]))
        panel.dots("point-0", "#000000")
        panel.dots("there", "#000000", points=lambda: scale / panel.unit[0] * torch.ones(2, 1, 2))
        return Picture(None, [[panel]]), ["low", "high"]

    controls = slider("up", VALUES, "up", 0) | menu("loss", ["a", "b"], "b")
    controls |= handles({"start": (0, 1)}, WINDOW)
    stage = open_stage("Test", "test({value})", controls, None, draw, 3.0)
    assert drawn == [("b", (0.0, 1.0))]
    assert stage.state == "low"
    there = next(trace for trace in stage.drawn().data if trace.uid == "there")
    assert 0 < there.x[0] < 0.1  # three pixels, in the units of the axis
    stage.points = [[0.5, 0.5]]
    assert drawn[1:] == [("b", (0.5, 0.5))]


def test_a_choice_or_a_point_that_is_not_there_is_named_before_anything_is_drawn():
    with pytest.raises(ValueError, match="Got loss='c'; expected one of a, b"):
        menu("loss", ["a", "b"], "c")
    for point in ((2, 1), (0, float("nan")), "ab", (1,)):
        with pytest.raises(ValueError, match=r"Got start=.*; expected two numbers .* x from -1 to 1"):
            handles({"start": point}, WINDOW)
