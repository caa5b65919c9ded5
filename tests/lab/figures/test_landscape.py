"""Pictures of toy problems."""

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.figures import landscape, style
from flatmtl_lite.toy import PROBLEMS, Method, descend


def test_where_starts_end_draws_the_ends():
    methods = {"mean": Method(fm.Mean(), "erm"), "PCGrad": Method(fm.PCGrad(), "erm")}
    starts = torch.tensor([[1.0, 2.0], [-3.0, 4.0]])
    figure = lab.where_starts_end(PROBLEMS["ridges"], methods, starts)
    ends = descend(PROBLEMS["ridges"], starts, 0.0, list(methods.values()))[..., -1, :]
    drawn = [trace for trace in figure.data if trace.name == "end"]
    for trace, end in zip(drawn, ends, strict=True):
        assert np.stack([trace.x, trace.y], -1) == pytest.approx(end.numpy(), abs=1e-3)


def test_the_ground_is_darkest_at_the_lowest_loss_of_the_chosen_task():
    valleys = PROBLEMS["valleys"]
    losses = landscape.grid(valleys)[2]
    for task, loss in ((None, losses.mean(-1)), (0, losses[..., 0]), (1, losses[..., 1])):
        drawn = landscape.ground(valleys, task)
        assert np.asarray(drawn.z) == pytest.approx(loss.numpy(), abs=1e-3)
        assert drawn.zmin == pytest.approx(loss.min().item())
    assert [color for _, color in drawn.colorscale] == [color for _, color in style.GROUND]


def test_each_minimum_carries_the_number_and_colour_of_its_task():
    discs = landscape.minima(PROBLEMS["valleys"])
    for x, y, text, color in zip(discs.x, discs.y, discs.text, discs.marker.color, strict=True):
        task = int(text.strip("</b>")) - 1
        point = torch.tensor([[x, y]], dtype=torch.float64)
        slope = PROBLEMS["valleys"].gradients(point.unsqueeze(-2))[0, task]
        assert slope.norm() < 1e-3
        assert color == style.TASKS[task]
    assert len(discs.x) == 4  # each task has a sharp and a flat valley
