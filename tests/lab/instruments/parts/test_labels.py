"""Heights of names at the ends of curves."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.labels import last_seen, spread
from flatmtl_lite.lab.instruments.parts.picture import LINE, Panel
from tests.lab.instruments.parts.pictures import drawn


@pytest.fixture
def panel():
    panel = Panel(x=dict(range=[0, 1]), y=dict(range=[0, 10]))
    drawn(panel)
    return panel


def test_heights_that_lie_apart_stay(panel):
    heights = torch.tensor([8.0, 2.0, 5.0])
    assert torch.equal(spread(heights, panel), heights)


@pytest.mark.parametrize(
    "heights", [[5.0, 5.0, 5.0], [0.0, 0.1, 0.1], [10.0, 9.9, 20.0], [0.0, 10.0, 5.0, 5.1]]
)
def test_heights_get_a_line_of_text_each_within_the_panel(panel, heights):
    apart = LINE / panel.unit[1]
    places = spread(torch.tensor(heights), panel)
    assert places.argsort().tolist() == torch.tensor(heights).argsort().tolist()
    assert (places.sort().values.diff() > apart - 1e-5).all()
    assert places.min() > apart / 2 - 1e-5
    assert places.max() < 10 - apart / 2 + 1e-5


def test_the_last_point_that_is_seen_lies_in_the_panel(panel):
    line = torch.tensor([[0.2, 1.0], [0.5, 9.0], [0.7, 11.0], [0.9, torch.nan]])
    assert last_seen(line, panel).tolist() == [0.5, 9.0]
    assert last_seen(line[2:], panel).tolist() == [1, 0]  # nothing is seen
