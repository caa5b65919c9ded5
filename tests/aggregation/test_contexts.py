"""Every aggregator gives within a user's autocast block or default device what it gives outside."""

import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import active_set, base, gramian, products

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


# default device ---------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere():
    """A block in which PyTorch makes its tensors on a device that holds no numbers; no table is kept yet."""
    for kept in (base.identity, active_set.all_faces, products._mirror):
        kept.cache_clear()
    yield torch.device("meta")
    for kept in (base.identity, active_set.all_faces, products._mirror):
        kept.cache_clear()


@every_aggregator
@pytest.mark.parametrize(("T", "P"), [(1, 5), (2, 5), (3, 20_001), (5, 7)])
def test_the_default_device_does_not_matter(name, T, P, make, sample, elsewhere):
    """The calls after the first are those that remember."""
    G, losses = sample("normal", T, P, batch=4), torch.linspace(0.5, 2.0, T)
    A, twin = make(name, T), make(name, T)
    with elsewhere:
        found = [A(rows, losses=k * losses) for k, rows in enumerate(G, 1)]
    for k, rows in enumerate(G, 1):
        assert twin(rows, losses=k * losses).equal(found[k - 1])


@every_aggregator
@pytest.mark.parametrize("rule", ["erm", "direct", "decomposed", "second", "each"])
def test_the_default_device_does_not_matter_to_a_rule(name, rule, make, sample, elsewhere):
    A, twin = make(name), make(name)
    if A.needs_tasks and rule in ("second", "each"):
        pytest.skip("refuses the rule")
    d = fm.Decomposition(*sample("normal", 3, 7, batch=2), losses=LOSSES)
    with elsewhere:
        found = getattr(fm, rule)(fm.Decomposition(d.loss, d.flat, losses=LOSSES), A)
    assert found.equal(getattr(fm, rule)(d, twin))


@pytest.mark.parametrize("name", ["rlw", "pcgrad", "gradvac", "graddrop"])
def test_draws_are_made_on_the_device_of_the_generator(name, sample, monkeypatch):
    """PyTorch refuses to draw on one device with the generator of another."""
    G, devices = sample("normal", 3, 7, batch=1)[0], []
    for kind in (torch.rand, torch.randn):

        def watched(*shape, kind=kind, **options):
            devices.append(options["device"])
            return kind(*shape, **options)

        monkeypatch.setattr(torch, kind.__name__, watched)
    A = fm.aggregator(name)
    A(G, losses=LOSSES)
    assert devices == [A.generator.device]
