"""The angles of random vectors, and measured angles next to them."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.figures.chance import angle_density, nine_in_ten


@pytest.mark.parametrize("parameters", [2, 10, 100])
def test_chance_is_what_random_vectors_do(parameters):
    generator = torch.Generator().manual_seed(0)
    G = torch.randn(20_000, 2, parameters, generator=generator, dtype=torch.float64)
    angles = fm.diagnostics.angles(G)[:, 0, 1]
    size = torch.tensor([float(parameters)])
    within = (angles - 90).abs().quantile(0.9).item()
    assert nine_in_ten(size).item() == pytest.approx(within, rel=0.02)
    density = angle_density(torch.tensor([30.0, 90.0]), size)
    at, top = ((angles - c).abs().lt(3).double().mean().item() for c in (30, 90))
    assert (density[0] / density[1]).item() == pytest.approx(at / top, abs=0.1)


def test_measured_angles_stand_beside_chance():
    figure = lab.angles_beside_chance([0.0, 0.1, -0.1], 10_000)
    assert list(figure.data[0].x) == [90, 84.261, 95.739]
    assert max(figure.data[1].y) == pytest.approx(1)
