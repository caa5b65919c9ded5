"""Places of names: near their things, and at the ends of curves."""

import math

import numpy as np
import pytest
import torch

from flatmtl_lite.lab.instruments.parts.labels import (
    APART,
    SAVED,
    _steady,
    draw_labels,
    last_seen,
    place,
    spread,
)
from flatmtl_lite.lab.instruments.parts.panel import LINE, Panel
from tests.lab.instruments.parts.pictures import drawn, moving, pixels


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


def test_a_name_comes_back_to_its_thing_as_soon_as_it_can(panel):
    """Dots cover the near places at the first positions of the slider alone."""
    thing = torch.tensor([[0.5, 5.0]]).expand(30, 1, 2)
    x, y = panel.unit
    near = torch.cartesian_prod(torch.arange(-25, 26, 5) / x, torch.arange(-25, 26, 5) / y)
    dots = (thing + near.expand(30, -1, 2)).masked_fill(torch.arange(30)[:, None, None] > 2, torch.nan)
    away = (place(panel, thing, ["a"], dots, APART, 1) - thing).abs()[:, 0] * torch.tensor([x, y])
    assert away[0].max() > 25
    assert away[-1].max() < 25


def test_a_name_changes_sides_only_where_that_saves_enough():
    cost = np.zeros((9, 2))
    cost[4, 0] = SAVED  # not worth going there and back
    assert _steady(cost) == [0] * 9 or _steady(cost) == [1] * 9
    cost[5:, 0] = SAVED
    cost[:4, 1] = SAVED
    assert _steady(cost) == [0] * 4 + [1] * 5


def test_a_place_is_free_in_the_largest_arrangement_too(panel):
    """A thing at the right of the name's own lies farther away, in pixels, on a larger screen."""
    thing, other = torch.tensor([[[0.5, 5.0]]]), torch.tensor([[[0.55, 5.0]]])  # 10 pixels apart, or 40
    for width, side in ((200.0, 1), (800.0, -1)):
        panel.sizes = [(200.0, 100.0), (width, 100.0)]
        across, up = (place(panel, thing, ["a name"], other.expand(1, 6, 2), 15, 1) - thing)[0, 0].tolist()
        assert (math.copysign(1, across), up) == (side, pytest.approx(0))


def test_a_thing_at_the_edge_has_its_name_within_the_panel(panel):
    x, y = panel.unit
    for thing in ([0.5, 10.0], [0.0, 0.0], [1.0, 5.0], [0.0, 10.0]):
        at = place(panel, torch.tensor([[thing]]), ["a name"], torch.zeros(1, 0, 2), APART, 1)[0, 0]
        assert 30 / x < at[0] < 1 - 30 / x
        assert LINE / 2 / y < at[1] < 10 - LINE / 2 / y


def test_labels_stand_beside_their_things(panel):
    things = {
        "small": ("#000000", torch.tensor([[0.2, 2.0]])),
        "large": ("#777777", torch.tensor([[0.8, 7.0]])),
    }
    draw_labels(panel, things, [torch.zeros(1, 0, 2)], "sizes")
    shown, points = moving(panel)["sizes"], torch.stack([thing for _, thing in things.values()], 1)
    assert list(drawn(panel)["sizes"].text) == ["<b>small</b>", "<b>large</b>"]
    assert torch.equal(moving(panel)["sizes-things"], points)
    assert ((pixels(panel, shown) - pixels(panel, points)).norm(dim=-1) < 60).all()


def test_a_name_without_room_in_the_panel_is_left_out_where_that_is_asked_for(panel):
    panel.sizes = [(60.0, 400.0)] * 2
    for name, shown in (("ab", True), ("a long name", False)):
        at = place(panel, torch.tensor([[[0.5, 5.0]]]), [name], torch.zeros(1, 0, 2), 1, 1, within=True)
        assert at.isfinite().all().item() is shown
