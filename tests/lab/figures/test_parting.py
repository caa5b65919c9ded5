"""The map of the angle between direct and decomposed."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.toy import PROBLEMS, Method, decompose

TRIANGLE = PROBLEMS["triangle"]


@pytest.mark.parametrize("aggregate", [fm.MGDA(), fm.PCGrad(), fm.CAGrad(c=0.4)])
def test_the_map_is_the_angle_at_each_point(aggregate):
    angles = lab.parting(TRIANGLE, aggregate, rho=0.5, points=9)
    x, y = (torch.linspace(low, high, 9, dtype=torch.float64) for low, high in TRIANGLE.window)
    for row, column in ((0, 8), (6, 3), (2, 4)):
        d = decompose(TRIANGLE, torch.stack([x[column], y[row]]), 0.5, Method())
        both = [rule(d, type(aggregate)()) for rule in (fm.direct, fm.decomposed)]
        angle = fm.diagnostics.angles(torch.stack(both))[0, 1]
        assert angles[row, column].item() == pytest.approx(angle.item(), abs=1e-4)


def test_a_random_aggregator_gives_the_same_map_again():
    aggregate = fm.PCGrad()
    first, second = (lab.parting(TRIANGLE, aggregate, rho=0.5, points=9) for _ in range(2))
    assert torch.equal(first, second)


def test_the_picture_shows_the_map_and_each_tasks_minimum():
    figure = lab.parting_map(TRIANGLE, {"MGDA": fm.MGDA(), "mean": fm.Mean()}, rho=0.5)
    heat = [trace for trace in figure.data if trace.type == "heatmap"]
    expected = lab.parting(TRIANGLE, fm.MGDA(), rho=0.5)
    drawn = torch.tensor(heat[0].z, dtype=torch.float64)
    assert torch.allclose(drawn, expected, atol=0.06, equal_nan=True)
    assert torch.tensor(heat[1].z).max() < 0.1
    minima = [trace for trace in figure.data if trace.type == "scatter"]
    assert len(minima) == 2
    for trace in minima:
        assert [text.strip("</b>") for text in trace.text] == ["1", "2", "3"]
        for x, y, (_, minimum) in zip(trace.x, trace.y, TRIANGLE.bowls, strict=True):
            assert (x, y) == pytest.approx(tuple(minimum.tolist()), abs=0.1)
