"""Every aggregator gives within a user's autocast block or default device what it gives outside."""

import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import gramian

every_aggregator = pytest.mark.parametrize("name", fm.AGGREGATORS)
LOSSES = torch.tensor([0.5, 2.0, 1.0])
AUTOCAST = [torch.bfloat16, torch.float16]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def cancelling(sample, *batch, P=7):
    """Rows of which a positive combination is 0, but for rounding: their products need all digits."""
    return sample("no_descent", 3, P, batch=math.prod(batch)).float().reshape(*batch, 3, P)


# autocast ---------------------------------------------------------------------------------------------------


@every_aggregator
@pytest.mark.parametrize("lower", AUTOCAST)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "P"), [((), 7), ((), 20_001), ((4,), 7)])
def test_autocast_changes_neither_direction_nor_dtype(name, batch, P, dtype, lower, make, sample):
    G = cancelling(sample, *batch, P=P).to(dtype)
    losses = LOSSES.expand(G.shape[:-1])
    expected = make(name)(G, losses=losses)
    with torch.autocast("cpu", lower):
        found = make(name)(G, losses=losses)
        assert torch.is_autocast_enabled("cpu")  # still, for the user's own products
    assert found.dtype == dtype
    assert found.equal(expected)


@every_aggregator
@pytest.mark.parametrize("rule", ["erm", "direct", "decomposed"])
def test_autocast_changes_no_rule(name, rule, make, sample):
    loss, flat = cancelling(sample, 2)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            d = fm.Decomposition(loss, flat, losses=LOSSES)
            found.append(getattr(fm, rule)(d, make(name)))
    assert found[1].dtype == torch.float32
    assert found[1].equal(found[0])


def test_autocast_leaves_a_pareto_stationary_point_one(sample):
    """Rows with Σ wᵢgᵢ = 0: products in bfloat16 would see a descent for all."""
    G = cancelling(sample, 50)
    with torch.autocast("cpu", torch.bfloat16):
        direction = fm.MGDA()(G)
        assert gramian(G).dtype == torch.float32
    assert (direction.norm(dim=-1) <= 1e-3 * G.norm(dim=-1).mean(-1)).all()
