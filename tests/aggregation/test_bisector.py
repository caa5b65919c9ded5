"""Two tasks: methods of different origin share one direction, the bisector, and differ in its length."""

import pytest
import torch
from torch.nn.functional import normalize

# the sum of unit gradients is NGDiff, and DiBS-MTL in its one-step form; a first call of DB-MTL has no memory
BISECTOR = ["nash_mtl", "imtl_g", "ngdiff", "config", "db_mtl"]


@pytest.mark.parametrize("name", BISECTOR)
@pytest.mark.parametrize("P", [2, 40])
def test_two_tasks_share_the_bisector(name, P, mixture, fresh):
    G, _ = mixture(["normal", "descent"], 2, P, decades=[0, 2])
    bisector = normalize(normalize(G, dim=-1).sum(-2), dim=-1)
    assert ((normalize(fresh(name)(G), dim=-1) - bisector).norm(dim=-1) <= 1e-7).all()


def test_their_lengths_differ(fresh):
    G = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    lengths = {name: fresh(name)(G).norm().item() for name in BISECTOR}
    expected = {"nash_mtl": 2.0, "imtl_g": 0.75 * 2**0.5, "ngdiff": 2.0, "config": 2**0.5, "db_mtl": 2.0}
    assert lengths == pytest.approx(expected)


def test_three_tasks_do_not(fresh):
    G = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    nash, imtl, units, config, log_units = (normalize(fresh(name)(G), dim=-1) for name in BISECTOR)
    assert config.allclose(imtl)
    assert log_units.allclose(units)
    for one, other in [(nash, imtl), (nash, units), (imtl, units)]:
        assert one @ other < 0.995


def test_all_of_them_may_stop_at_any_point_between_two_minima(fresh):
    """f = x² and (x - 1)²: the unit gradients are opposite on the whole of (0, 1)."""
    for x in (0.1, 0.5, 0.9):
        G = torch.tensor([[2 * x], [2 * (x - 1)]], dtype=torch.float64)
        for name in BISECTOR:
            assert fresh(name)(G).item() == 0, (name, x)
