"""A climb shows every visited point and the highest."""

import torch

from flatmtl_lite.lab.instruments.parts.looks import Climb
from flatmtl_lite.lab.instruments.parts.panel import Panel
from tests.lab.instruments.parts.pictures import drawn


def test_it_draws_the_visits_and_the_highest_of_them():
    panel = Panel(x=dict(range=[0, 1]), y=dict(range=[0, 1]))
    climb = Climb(panel, "ten", "#009E73")
    traces = drawn(panel)
    assert traces["ten"].mode == "lines+markers"
    assert traces["ten-at"].marker.symbol == "diamond"
    visited = torch.rand(3, 11, 2)
    points = climb.at(visited, visited[:, 4])
    assert torch.equal(points["ten"], visited)
    assert torch.equal(points["ten-at"], visited[:, 4:5])
