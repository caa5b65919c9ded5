"""A small plane with many paths, and the plane of two losses."""

import torch

from flatmtl_lite.lab.instruments.parts.landscape import Plane, Tradeoff
from flatmtl_lite.lab.instruments.parts.picture import Picture
from flatmtl_lite.lab.instruments.parts.points import squares
from flatmtl_lite.toy import PROBLEMS
from tests.lab.instruments.parts.pictures import drawn, moving, resting


def test_it_draws_rings_paths_ends_and_words():
    bottom = torch.tensor([-1.0, -0.1])
    paths = torch.rand(2, 3, 4, 2)
    data = paths, paths[:, :, -1], ["1 flat", "2 flat"]
    plane = Plane(PROBLEMS["valleys"], "direct", "#E69F00", {"sharp": bottom}, 0.4, *data)
    ground, ring, name = resting(plane)
    assert ground.type == "contour"
    radii = (torch.tensor([ring.x, ring.y]).T - bottom).norm(dim=-1)
    assert torch.allclose(radii, torch.tensor(0.4))
    assert name.text == ("sharp",)
    assert drawn(plane)["paths-direct"].line.color == "#E69F00"
    points = moving(plane)
    lines = points["paths-direct"].reshape(2, 3, 5, 2)
    assert torch.equal(lines[:, :, :4], paths)
    assert lines[:, :, 4].isnan().all()  # the pen is lifted
    assert points["title-direct"][1] == [["<b>direct</b>: 1 flat"], ["<b>direct</b>: 2 flat"]]


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
