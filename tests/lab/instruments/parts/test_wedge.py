"""The wedge in the plane."""

import torch

from flatmtl_lite.lab.instruments.parts.picture import Panel
from flatmtl_lite.lab.instruments.parts.wedge import Wedge


def test_the_wedge_and_the_hull_follow_the_steps():
    panel = Panel()
    wedge = Wedge(panel, reach=2.0)
    steps = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]]]).double()
    points = wedge.at(steps)
    assert [trace.uid for trace in panel.parts] == list(points)
    first, last = points["cone"][0, 1], points["cone"][0, -2]  # steps good for both: the first quadrant
    assert torch.allclose(first, torch.tensor([4.0, 0.0]).double(), atol=1e-9)
    assert torch.allclose(last, torch.tensor([0.0, 4.0]).double(), atol=1e-9)
    assert points["cone"][1].isnan().all()  # opposite steps: nothing is good for both
    assert points["hull"][0].tolist() == [[1, 0], [0, 1], [1, 0]]
