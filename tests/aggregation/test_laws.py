"""Every aggregator keeps the two laws of scale, on any shape, rank and spread of norms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmtl_lite as fm

GRAMIAN = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.GramianAggregator)]
every_aggregator = pytest.mark.parametrize("name", fm.AGGREGATORS)
DTYPES = [torch.float64, torch.float32]


def error(direction, expected, G):
    """The distance of two directions, relative to the longest task gradient of each problem."""
    distance = (direction - expected).double().norm(dim=-1)
    return (distance / G.double().norm(dim=-1).amax(-1)).max().item()


@every_aggregator
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_gradients_give_themselves(name, dtype, sample, fresh):
    g = sample("normal", 1, 7).to(dtype)
    for T in (1, 2, 3, 10, 40):
        G = g.expand(-1, T, -1)
        assert error(fresh(name)(G), g.squeeze(-2), G) <= {torch.float64: 1e-10}.get(dtype, 1e-5), T


@every_aggregator
@pytest.mark.parametrize("dtype", DTYPES)
def test_scaled_gradients_give_the_scaled_direction(name, dtype, sample, fresh):
    # the directions of conflicting gradients are short: rounding of G shows at the square root of eps
    tolerance = 1e-6 if dtype == torch.float64 else 1e-2
    for nature, T, P in [("normal", 3, 8), ("descent", 5, 9), ("no_descent", 4, 6)]:
        G = sample(nature, T, P, decades=2).to(dtype)
        once = fresh(name)(G)
        for scale in (3.7, 1e-3, 1e4, 1e-12, 1e12, 1e-25, 1e25):
            scaled = fresh(name)(scale * G).double() / scale
            assert error(scaled, once, G) <= tolerance, (nature, scale)


@every_aggregator
def test_scaled_gradients_do_so_where_float32_squares_leave_the_range(name, sample, fresh):
    """Beyond the range of squares another path computes the Gramian, which must know its accuracy too.

    With five gradients in three dimensions two cosine eigenvalues are 0 up to that accuracy.
    """
    G = sample("normal", 5, 3).float()
    once = fresh(name)(G)
    for scale in (1e-22, 1e22):
        assert error(fresh(name)(scale * G).double() / scale, once, G) <= 0.05, scale


@every_aggregator
def test_large_finite_gradients_are_accepted(name, fresh):
    G = torch.full((3, 4), 1e38)
    torch.testing.assert_close(fresh(name)(G), G[0])


@every_aggregator
@pytest.mark.parametrize(("T", "P"), [(2, 5), (5, 3), (6, 20)])
def test_a_batch_gives_the_directions_of_its_problems(name, T, P, mixture, fresh, fresh_weights):
    G, _ = mixture(["normal", "descent", "no_descent"], T, P, batch=8, decades=[1])
    one_by_one = torch.stack([fresh(name)(g) for g in G])
    assert one_by_one.shape == (24, P)
    assert error(fresh(name)(G), one_by_one, G) <= 1e-9
    two_dims = fresh(name)(G.reshape(6, 4, T, P))
    assert two_dims.shape == (6, 4, P)
    assert error(two_dims.reshape(24, P), one_by_one, G) <= 1e-9
    if name in GRAMIAN:
        M = (G @ G.mT).reshape(6, 4, T, T)
        assert fresh_weights(name)(M).shape == (6, 4, T)


@every_aggregator
def test_an_empty_batch_gives_no_directions(name, fresh):
    assert fresh(name)(torch.zeros(0, 3, 5)).shape == (0, 5)
    assert fresh(name)(torch.zeros(2, 0, 3, 5)).shape == (2, 0, 5)


@every_aggregator
def test_half_precision_is_as_good_as_its_rounding(name, sample, fresh):
    for dtype in (torch.float16, torch.bfloat16):
        G = sample("descent", 4, 30).to(dtype)
        assert error(fresh(name)(G), fresh(name)(G.float()), G) <= 4 * torch.finfo(dtype).eps, dtype


@st.composite
def gradients(draw):
    """(T, P) in float64 of any rank, with rows up to 12 decades apart, some of them 0 or repeated."""
    T, P = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    rank = draw(st.integers(1, min(T, P)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    left = torch.randn(T, rank, generator=generator, dtype=torch.float64)
    right = torch.randn(rank, P, generator=generator, dtype=torch.float64)
    exponents = draw(st.lists(st.integers(-6, 6), min_size=T, max_size=T))
    G = (left @ right) * 10.0 ** torch.tensor(exponents, dtype=torch.float64).unsqueeze(-1)
    fates = draw(st.lists(st.sampled_from(["keep"] * 6 + ["zero", "repeat"]), min_size=T, max_size=T))
    for i, fate in enumerate(fates):
        if fate != "keep":
            G[i] = 0 if fate == "zero" else G[0]
    return G


@every_aggregator
@settings(max_examples=50, deadline=None, derandomize=True)
@given(G=gradients(), exponent=st.integers(-60, 60))
def test_any_matrix_gives_a_finite_homogeneous_direction_no_longer_than_its_rows(name, G, exponent, fresh):
    direction = fresh(name)(G)
    assert direction.shape == G.shape[1:]
    assert direction.isfinite().all()
    length = G.norm(dim=-1).max()
    assert direction.norm() <= length * (1 + 1e-9)
    # a power of two changes no digit, so the scaled problem is the same problem
    scaled = fresh(name)(G * 2.0**exponent) / 2.0**exponent
    assert (scaled - direction).norm() <= 1e-12 * length
    batch = fresh(name)(torch.stack([G, 2 * G, torch.zeros_like(G)]))
    assert (batch[0] - direction).norm() <= 1e-7 * length
    assert (batch[1] - 2 * direction).norm() <= 2e-7 * length
    assert (batch[2] == 0).all()
