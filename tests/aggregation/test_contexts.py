"""An aggregator gives the same result inside and outside of autocast and of another default device."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import active_set, gramian, unit_rows

LOSSES = torch.tensor([0.5, 2.0, 1.0])
NEED_TASKS = ["gradvac", "si", "gradnorm", "db_mtl", "moco", "excess_mtl"]


def cancelling(sample, batch, P=7):
    """Rows with a positive combination that is 0 up to rounding, so that their products need all digits."""
    return sample("no_descent", 3, P, batch=batch).float()


# autocast ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_autocast_changes_neither_direction_nor_dtype(kind, dtype, make, sample):
    matrices = cancelling(sample, 1)[0], cancelling(sample, 1, P=20_001)[0], cancelling(sample, 4)
    for G in (matrix.to(dtype) for matrix in matrices):
        losses = LOSSES.expand(G.shape[:-1])
        expected = make(kind)(G, losses=losses)
        for lower in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", lower):
                direction = make(kind)(G, losses=losses)
                assert torch.is_autocast_enabled("cpu")  # the user's own products still run in it
            assert direction.dtype == dtype
            assert direction.equal(expected)


def test_autocast_changes_no_rule(kind, make, sample):
    loss, flat = cancelling(sample, 2)
    d = fm.Decomposition(loss, flat, losses=LOSSES)
    for rule in (fm.erm, fm.direct, fm.decomposed):
        with torch.autocast("cpu", torch.bfloat16):
            within = rule(fm.Decomposition(loss, flat, losses=LOSSES), make(kind))
        assert within.dtype == torch.float32
        assert within.equal(rule(d, make(kind))), rule


def test_autocast_leaves_a_pareto_stationary_point_stationary(sample):
    """Products in bfloat16 would see a descent for all."""
    G = cancelling(sample, 50)
    with torch.autocast("cpu", torch.bfloat16):
        direction = fm.MGDA()(G)
        assert gramian(G).dtype == torch.float32
    assert (direction.norm(dim=-1) <= 1e-3 * G.norm(dim=-1).mean(-1)).all()


# default device ---------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere():
    """A block in which PyTorch makes its tensors on a device that holds no numbers, with empty caches."""
    for table in (unit_rows.identity, active_set.all_faces):
        table.cache_clear()
    yield torch.device("meta")
    for table in (unit_rows.identity, active_set.all_faces):
        table.cache_clear()


@pytest.mark.parametrize("name", fm.AGGREGATORS)
def test_the_default_device_does_not_matter(name, make, sample, elsewhere):
    """Later calls of the same object find its memory filled."""
    for T, P in [(1, 5), (2, 5), (3, 20_001), (5, 7)]:
        G, losses = sample("normal", T, P, batch=4), torch.linspace(0.5, 2.0, T)
        A, twin = make(name, T), make(name, T)
        with elsewhere:
            directions = [A(rows, losses=k * losses) for k, rows in enumerate(G, 1)]
        for k, rows in enumerate(G, 1):
            assert twin(rows, losses=k * losses).equal(directions[k - 1]), (T, P)


@pytest.mark.parametrize("rule", ["erm", "direct", "decomposed", "second", "each"])
def test_the_default_device_does_not_matter_to_a_rule(rule, make, sample, elsewhere):
    d = fm.Decomposition(*sample("normal", 3, 7, batch=2), losses=LOSSES)
    for name in ("mean", "cagrad", "pcgrad", "graddrop", *(NEED_TASKS if rule == "direct" else [])):
        with elsewhere:
            direction = getattr(fm, rule)(fm.Decomposition(d.loss, d.flat, losses=LOSSES), make(name))
        assert direction.equal(getattr(fm, rule)(d, make(name))), name


@pytest.mark.parametrize("name", ["rlw", "pcgrad", "gradvac", "graddrop"])
def test_draws_are_made_on_the_device_of_the_generator(name, sample, monkeypatch):
    """PyTorch refuses to draw on one device with the generator of another."""
    G, devices = sample("normal", 3, 7, batch=1)[0], []
    for draw in (torch.rand, torch.randn):

        def watched(*shape, draw=draw, **options):
            devices.append(options["device"])
            return draw(*shape, **options)

        monkeypatch.setattr(torch, draw.__name__, watched)
    A = fm.aggregator(name)
    A(G, losses=LOSSES)
    assert devices == [A.generator.device]
