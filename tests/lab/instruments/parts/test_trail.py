"""The trail that grows, and the plane of two losses that holds one."""

import torch

from flatmtl_lite.lab.instruments.parts.picture import Panel, Picture
from flatmtl_lite.lab.instruments.parts.tradeoff import Tradeoff
from flatmtl_lite.lab.instruments.parts.trail import Trail
from flatmtl_lite.toy import PROBLEMS


def test_the_trail_ends_at_the_marker():
    panel = Panel(x=dict(range=[0, 9]), y=dict(range=[0, 9]))
    trail = Trail(panel, "here")
    way = torch.arange(8.0).reshape(4, 2)
    points = trail.at(way)
    assert {trace.uid for trace in panel.parts} == points.keys()
    for k in range(4):
        assert points["here"][k].tolist() == [way[k].tolist()]
        for uid in ("here-trail", "here-trail-edge"):
            assert torch.equal(points[uid][k, : k + 1], way[: k + 1])
            assert points[uid][k, k + 1 :].isnan().all()


def test_the_losses_are_drawn_with_the_front():
    problem = PROBLEMS["ridges"]
    panel = Tradeoff(problem)
    figure = Picture(None, [[panel]]).figure()
    assert figure.layout.xaxis.title.text == "loss of task 1"
    front, label = (trace for trace in figure.data if not trace.uid and trace.x[0] is not None)
    assert torch.allclose(torch.tensor([front.x[0], front.y[0]]), problem.losses(problem.front()[:1]))
    assert label.text == ("Pareto front",)
    losses = torch.tensor([[1.0, 2.0], [0.5, 1.0]])
    assert panel.at(losses)["losses"].tolist() == [[[1, 2]], [[0.5, 1]]]
