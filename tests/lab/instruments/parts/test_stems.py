"""Stems stand on their feet."""

import torch

from flatmtl_lite.lab.instruments.parts.picture import Panel
from flatmtl_lite.lab.instruments.parts.stems import Stems
from tests.lab.instruments.parts.pictures import drawn


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
