"""Short strokes, and the plane of two losses."""

import torch

from flatmtl_lite.lab.instruments.parts.landscape import Tradeoff
from flatmtl_lite.lab.instruments.parts.picture import Picture
from flatmtl_lite.lab.instruments.parts.points import squares
from flatmtl_lite.toy import PROBLEMS


def test_an_end_is_a_short_stroke_about_its_point():
    ends = torch.rand(5, 2)
    strokes = squares(ends).reshape(5, 3, 2)
    assert torch.allclose(strokes[:, :2].mean(1), ends)
    assert strokes[:, 2].isnan().all()


def test_the_losses_are_drawn_with_the_front():
    problem = PROBLEMS["ridges"]
    losses = torch.tensor([[1.0, 2.0], [0.5, 1.0]])
    picture = Picture(None, [[Tradeoff(problem, losses)]])
    figure = picture.figure()
    assert figure.layout.xaxis.title.text == "loss of task 1"
    front, label = (trace for trace in figure.data if not trace.uid and trace.x[0] is not None)
    assert torch.allclose(torch.tensor([front.x[0], front.y[0]]), problem.losses(problem.front()[:1]))
    assert label.text == ("Pareto front",)
    assert picture.traces()["losses"].tolist() == [[[1, 2]], [[0.5, 1]]]
