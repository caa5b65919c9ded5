"""A Gramian method is a weighting of the Gramian alone, whatever the order and the rotation of the rows."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import cone, gramian, simplex

GRAMIAN = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.GramianAggregator)]
gramian_methods = pytest.mark.parametrize("name", GRAMIAN)
DTYPES = [torch.float64, torch.float32]
RANDOM_ORDER = ("pcgrad", "gradvac")


def relative(distance, G):
    """Lengths (n,) relative to the longest task gradient of each problem."""
    return distance.double().norm(dim=-1) / G.double().norm(dim=-1).amax(-1)


@gramian_methods
@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 2), (6, 20)])
def test_the_direction_is_the_weights_times_the_gradients(name, T, P, mixture, fresh, fresh_weights):
    matrices, _ = mixture(["normal", "descent", "no_descent", "rank_2"], T, P)
    for dtype, tolerance in [(torch.float64, 1e-10), (torch.float32, 1e-5)]:
        G = matrices.to(dtype)
        weights = fresh_weights(name)(gramian(G))
        assert weights.shape == (200, T)
        assert weights.dtype == torch.float64
        expected = (weights.unsqueeze(-2) @ G.double()).squeeze(-2)
        # terms that cancel bring the rounding of their own size
        terms = (weights.abs() * G.double().norm(dim=-1)).sum(-1) / G.double().norm(dim=-1).amax(-1)
        assert (relative(fresh(name)(G) - expected, G) <= tolerance * terms.clamp_min(1)).all(), dtype


@gramian_methods
def test_rotated_gradients_give_the_rotated_direction(name, sample, fresh):
    G = sample("normal", 4, 6)
    Q = torch.linalg.qr(sample("normal", 6, 6, batch=1)[0]).Q
    assert relative(fresh(name)(G @ Q) - fresh(name)(G) @ Q, G).max() <= 1e-10


@gramian_methods
def test_the_order_of_tasks_does_not_matter(name, mixture, fresh_weights):
    for T in (2,) if name in RANDOM_ORDER else (2, 3, 7):
        G, _ = mixture(["normal", "descent"], T, 9, decades=[2])
        order = torch.randperm(T, generator=torch.Generator().manual_seed(T))
        weights = fresh_weights(name)(gramian(G))
        permuted = fresh_weights(name)(gramian(G[:, order]))
        torch.testing.assert_close(permuted, weights[:, order], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["mgda", "upgrad", "cagrad", "conicgrad", "dual_proj"])
@pytest.mark.parametrize("T", [2, 3])
def test_all_faces_at_once_give_the_same_as_the_active_set(name, T, mixture, fresh, monkeypatch):
    G, _ = mixture(["normal", "descent", "no_descent", "rank_2"], T, 6, decades=[3])
    at_once = fresh(name)(G)
    for solver in (cone, simplex):
        monkeypatch.setattr(solver, "FEW", 0)
    assert relative(at_once - fresh(name)(G), G).max() <= 1e-7


@pytest.mark.parametrize("T", [1, 2, 3])
def test_a_function_of_the_rows_neither_draws_nor_remembers(T, make, sample):
    first, G = sample("normal", T, 6, batch=2)
    losses = torch.linspace(0.5, 2.0, T, dtype=torch.float64)
    for name in fm.AGGREGATORS:
        A = make(name, T)
        if A.is_function(T):
            A(first)
            assert torch.equal(A(G), make(name, T)(G, losses=losses)), name
    functions = {name for name in fm.AGGREGATORS if make(name, T).is_function(T)}
    remembering = {name for name in GRAMIAN if fm.AGGREGATORS[name].needs_tasks}
    assert functions == set(GRAMIAN) - remembering - (set() if T <= 2 else set(RANDOM_ORDER))


@pytest.mark.parametrize("name", GRAMIAN)
def test_a_square_that_rounds_to_below_0_counts_as_0(name, fresh_weights):
    """The differences of nearly equal rows have such squares, computed from the products of the rows."""
    M = torch.tensor([[1.0, 0.0, 0.5], [0.0, -1e-12, 0.0], [0.5, 0.0, 2.0]], dtype=torch.float64)
    expected = fresh_weights(name)(M.clamp_min(0))
    assert expected.isfinite().all()
    assert torch.equal(fresh_weights(name)(M), expected)


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def many_gramians(request):
    """50,000 of a dtype, row norms over 60 decades (float32: Gramian entries over 60), all ranks."""
    decades = 60 if request.param == torch.float64 else 30
    problems = []
    for T, count in {2: 15_000, 3: 15_000, 4: 10_000, 5: 8000, 8: 2000}.items():
        generator = torch.Generator().manual_seed(T)
        G = torch.randn(count, T, T, generator=generator, dtype=torch.float64)
        rank = torch.randint(1, T + 1, (count, 1, 1), generator=generator)
        G = torch.nn.functional.normalize(G * (torch.arange(T) < rank), dim=-1)
        norms = 10 ** (decades * (torch.rand(count, T, generator=generator, dtype=torch.float64) - 0.5))
        C = G @ G.mT
        problems.append((C, norms, (C * norms.unsqueeze(-1) * norms.unsqueeze(-2)).to(request.param)))
    return problems


@gramian_methods
def test_100000_gramians_over_60_decades_give_finite_weights_and_no_long_direction(
    name, many_gramians, fresh_weights
):
    for C, norms, M in many_gramians:
        weights = fresh_weights(name)(M)
        assert weights.isfinite().all()
        terms = weights * norms / norms.amax(-1, keepdim=True)
        length = torch.einsum("bi,bij,bj->b", terms, C, terms).clamp_min(0).sqrt()
        assert length.max() <= 1 + (1e-6 if M.dtype == torch.float64 else 1e-2)
